import { describe, expect, test } from "bun:test";
import { limits } from "../../src/lib/limits.ts";
import { jobId } from "../../src/lib/ids.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { problemsOf } from "../../src/state/commands/problems.ts";
import { listAudit, listTemplates, findTemplate } from "../../src/state/queries.ts";
import { bind, type Parameters, type ParameterValue, render } from "../../src/state/template.ts";
import { admin, Cluster } from "./support.ts";

const filled = (spec: unknown, values: Record<string, ParameterValue> = {}): unknown =>
  render(spec, new Map(Object.entries(values)));

describe("placeholders", () => {
  test.each<[unknown, Record<string, ParameterValue>, unknown]>([
    ["echo {{a}} {{ b }}", { a: "x", b: 5 }, "echo x 5"],
    ["{{n}}", { n: 4 }, 4],
    ["{{yes}}", { yes: false }, false],
    [{ run: "r", timeout: "{{t}}" }, {}, { run: "r" }],
    [{ run: "r {{t}}." }, {}, { run: "r ." }],
    [["ls", "{{files}}", "-l"], { files: ["a", "b c"] }, ["ls", "a", "b c", "-l"]],
    [["ls", "{{file}}"], {}, ["ls"]],
    [{ matrix: { mode: "{{modes}}" } }, { modes: ["x", 1] }, { matrix: { mode: ["x", 1] } }],
    ["all: {{files}}", { files: ["a", "b"] }, "all: a,b"],
    ["docker ps --format '{{.Names}}' {{ }} {{1}}", {}, "docker ps --format '{{.Names}}' {{ }} {{1}}"],
    ["\\{{a}} {{a}}", { a: "{{b}}", b: "no" }, "{{a}} {{b}}"],
    [{ a: [{ b: "{{x}}" }, null, 5, true] }, { x: "y" }, { a: [{ b: "y" }, null, 5, true] }],
  ])("%j with %j is %j", (spec, values, expected) => {
    expect(filled(spec, values)).toEqual(expected);
  });

  test("what would be longer than any request is not made", () => {
    const spec = { run: Array.from({ length: 1000 }, () => "{{a}}") };
    expect(filled(spec, { a: "x".repeat(limits.bodyBytes / 1000 + 1) })).toBeUndefined();
    expect(filled(spec, { a: "x".repeat(100) })).toBeDefined();
  });
});

describe("values of parameters", () => {
  const parameters: Parameters = {
    version: { description: "what to deploy" },
    n: { type: "number", default: 2 },
    dry: { type: "boolean", required: false },
    zones: { type: "list", default: ["eu"], values: ["eu", "us"] },
    size: { values: ["s", 2] },
  };
  const given = (params: Record<string, unknown>): unknown => {
    const { values, problems } = bind(parameters, params);
    return problems.length > 0
      ? problems.map(({ path, message }) => `${path}: ${message}`)
      : Object.fromEntries(values);
  };

  test("are those that are given, as their type or as text, else the defaults; one may be absent", () => {
    expect(given({ version: "1", size: "s" })).toEqual({ version: "1", n: 2, zones: ["eu"], size: "s" });
    expect(given({ version: 3, n: "4", dry: "true", zones: "us, eu", size: "2" })).toEqual({
      version: "3",
      n: 4,
      dry: true,
      zones: ["us", "eu"],
      size: "2",
    });
    expect(given({ version: "", n: 0.5, dry: false, zones: [], size: "s" })).toEqual({
      version: "",
      n: 0.5,
      dry: false,
      zones: [],
      size: "s",
    });
  });

  test("that are wrong or missing are all told, each with its path", () => {
    expect(given({ n: "four", dry: "yes", zones: ["eu", "mars"], size: "xl", vresion: "1" })).toEqual([
      "params.vresion: the template has no such parameter",
      "params.version: is required: what to deploy",
      "params.n: must be a number",
      "params.dry: must be true or false",
      'params.zones: "mars" is none of eu, us',
      'params.size: "xl" is none of s, 2',
    ]);
    expect(given({ version: 2 ** 60, n: String(2 ** 60), size: "s" })).toEqual([
      "params.version: is too large to be kept as a number: write it in quotes",
      "params.n: is too large to be kept as a number: let the parameter be text",
    ]);
    expect(given({ version: { a: 1 }, size: "s", zones: 5 })).toEqual([
      "params.version: must be text",
      "params.zones: must be a list, or text with commas",
    ]);
  });
});

const deploy = {
  name: "deploy",
  description: "puts a version on the fleet",
  parameters: {
    version: {},
    zones: { type: "list" as const, default: ["eu"] },
    n: { type: "number" as const, default: 1 },
  },
  spec: {
    run: "deploy {{version}}",
    env: { VERSION: "{{version}}" },
    matrix: { zone: "{{zones}}" },
    labels: { app: "{{version}}" },
  },
};

describe("a template that is added", () => {
  const input = commandByName("template.set").input;
  const problems = (template: unknown): Record<string, string> => {
    const parsed = input.safeParse(template);
    return Object.fromEntries(
      parsed.success ? [] : problemsOf(parsed.error).map(({ path, message }) => [path, message]),
    );
  };

  test("is accepted where what is known of it makes a spec", () => {
    expect(problems(deploy)).toEqual({});
    expect(problems({ name: "a", spec: { run: "true" } })).toEqual({});
    const durations = { t: {}, n: { type: "number" }, l: { type: "list" } };
    const spec = {
      run: "x",
      timeout: "{{t}}",
      count: "{{n}}",
      env: { A: "{{t}}{{t}}" },
      labels: { a: "{{t}}" },
      retries: { max: "{{n}}" },
    };
    expect(problems({ name: "a", parameters: durations, spec })).toEqual({});
    expect(problems({ name: "a", parameters: durations, spec: { run: ["x", "{{l}}"] } })).toEqual({});
  });

  test("leaves to each task what it fills in itself, where there is a driver that does so", () => {
    const http = { url: "http://{{host}}/{{SKEIN_INDEX}}/\\{{zone}}" };
    const spec = { driver: "http", http, matrix: { zone: ["eu"] } };
    expect(problems({ name: "a", parameters: { host: {} }, spec })).toEqual({});
    expect(filled(spec, { host: "x" })).toMatchObject({ http: { url: "http://x/{{SKEIN_INDEX}}/{{zone}}" } });
    expect(problems({ name: "a", spec: { run: "echo {{SKEIN_INDEX}}" } })).toEqual({
      "spec.run": "{{SKEIN_INDEX}} is filled in by driver http alone",
    });
    const none = { driver: "http", http: { url: "http://x/{{SKEIN_TARGET}}" } };
    expect(Object.keys(problems({ name: "a", spec: none }))).toEqual(["spec.http.url"]);
    expect(problems({ name: "a", parameters: { SKEIN_A: {} }, spec: { run: "a" } })).toEqual({
      "parameters.SKEIN_A": "names that begin with SKEIN_ are taken",
    });
  });

  test("with problems is refused with all of them, each with its path", () => {
    const template = {
      name: "a b",
      parameters: {
        "1x": {},
        n: { type: "number", default: "x" },
        t: { default: "z", values: ["x", "y"], required: true },
        u: { type: "text", colour: "red" },
      },
      spec: { rum: "x {{n}}", timeout: "5x", env: { "{{t}}": "{{nobody}}" }, idempotency_key: "k" },
    };
    expect(Object.keys(problems(template)).toSorted()).toEqual([
      "name",
      "parameters.1x",
      "parameters.n.default",
      "parameters.t.default",
      "parameters.t.required",
      "parameters.u.colour",
      "spec.env.{{t}}",
      "spec.idempotency_key",
      "spec.run",
      "spec.timeout",
    ]);
  });

  test("has its spec checked where no parameter has a say", () => {
    const spec = { rum: "x", timeout: "5x", count: "{{n}}", retries: { max: -1, backoff: "{{t}}" } };
    expect(problems({ name: "a", parameters: { n: { type: "number" }, t: {} }, spec })).toEqual({
      "spec.rum": "no such key",
      "spec.run": "is required: what should the job run?",
      "spec.timeout": `"5x" is not a duration: write text with units, like "90s" or "1h30m"`,
      "spec.retries.max": "must be at least 0",
    });
    expect(problems({ name: "a", spec: { run: "x {{y}}" } })).toEqual({
      "spec.run": "{{y}} is not among the parameters",
    });
    expect(problems({ name: "a" })).toEqual({ spec: "must be a job spec: names and values" });
    expect(problems({ name: "a", spec: { run: "x".repeat(limits.templateBytes) } })).toEqual({
      "": `must not be longer than ${limits.templateBytes} characters`,
    });
  });
});

describe("templates in the state", () => {
  test("have a revision that grows with each change, and is never given twice to a name", () => {
    const cluster = Cluster.of(1);
    cluster.level = 3;
    const set = (template: object): number => cluster.must("template.set", template as never, admin).revision;
    expect([set(deploy), set(deploy), set({ ...deploy, description: "x" })]).toEqual([1, 1, 2]);
    expect(set({ ...deploy, name: "other" })).toBe(1);
    expect(listTemplates(cluster.database, { limit: 1 })).toMatchObject({
      items: [{ name: "deploy", revision: 2 }],
      next: "deploy",
    });
    expect(listTemplates(cluster.database, { limit: 1, next: "deploy" }).items.map(({ name }) => name)).toEqual([
      "other",
    ]);
    cluster.must("template.remove", { template: "other" }, admin);
    cluster.must("template.remove", { template: "deploy" }, admin);
    expect(findTemplate(cluster.database, "deploy")).toBeUndefined();
    expect(cluster.refused("template.remove", { template: "deploy" }, admin)[0]).toBe("not-found");
    expect(set(deploy)).toBe(3);
    expect(findTemplate(cluster.database, "deploy")).toMatchObject({ ...deploy, revision: 3, set_by: "anna" });
    const told = listAudit(cluster.database, { what: "template", limit: 10 }).items.map(({ what, outcome }) => [
      what,
      outcome,
    ]);
    expect(told[0]).toEqual(["template deploy@3", "ok"]);
    expect(told.at(-1)).toEqual(["template deploy@1", "ok"]);
  });

  test("are bounded", () => {
    const cluster = Cluster.of(1);
    cluster.level = 3;
    for (let at = 0; at < limits.templates; at++)
      cluster.must("template.set", { name: `t${at}`, spec: { run: "x" } }, admin);
    expect(cluster.refused("template.set", { name: "more", spec: { run: "x" } }, admin)[0]).toBe("conflict");
    expect(cluster.must("template.set", { name: "t0", spec: { run: "y" } }, admin).revision).toBe(2);
  });

  test("a job says which one it was made of, and so does its retry", () => {
    const cluster = Cluster.of(1);
    cluster.level = 3;
    const { first } = cluster.must("job.submit", { jobs: [{ run: "x" }], template: "deploy@3" }, admin);
    cluster.assign(first, 1, [0, 1]);
    cluster.finish(first, 0, 1, 1, "failed");
    const retry = cluster.must(
      "job.retry",
      { id: jobId(first), only: "all", tasks: null, key: null, digest: "" },
      admin,
    );
    expect([cluster.job(first).template, cluster.job(first).retry_of]).toEqual(["deploy@3", undefined]);
    expect(cluster.job(retry.first)).toMatchObject({ template: "deploy@3", retry_of: first });
    const submit = commandByName("job.submit");
    const needed = (template?: string): number =>
      submit.needs!(submit.prepare({ jobs: [{ run: "x" }], template }, admin));
    expect([needed(), needed("deploy@3")]).toEqual([1, 3]);
  });
});
