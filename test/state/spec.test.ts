import { describe, expect, test } from "bun:test";
import { commandByName } from "../../src/state/commands/index.ts";
import { problemsOf } from "../../src/state/commands/problems.ts";
import { isNormalised, specSchema } from "../../src/state/commands/spec-schema.ts";
import { displayName, failuresAllowed, renderSpec, slotsOf } from "../../src/state/spec.ts";
import type { Spec } from "../../src/state/types.ts";

function problems(spec: unknown): Record<string, string> {
  const read = specSchema.safeParse(spec);
  expect(read.success).toBe(false);
  return Object.fromEntries(problemsOf(read.error!).map(({ path, message }) => [path, message]));
}

const read = (spec: unknown): Spec => specSchema.parse(spec);

const full = {
  name: "docs",
  run: ["make", "-j4"],
  env: { MODE: "release" },
  dir: "/srv/docs",
  stdin: "text",
  user: "www",
  limits: { cpu: "10m", memory: "512MiB", files: 64, processes: 20 },
  count: 8,
  on: "zone=eu,gpu!=none",
  slots: 2,
  resources: { cores: 0.5, license: 1, memory: "512MiB" },
  parallel: 10,
  priority: 60,
  timeout: "10m",
  grace: "5s",
  retries: { max: 3, backoff: "2s", factor: 2, cap: "1m", jitter: 0.1, on: ["failed"] },
  on_lost: "fail",
  max_failures: "10%",
  output: { tail: "2KiB", keep: "64MiB" },
  labels: { team: "docs" },
  ttl: "7d",
  after: [17, "build", { job: 18, when: "failed" }],
  key: "deploy-prod",
  on_conflict: "replace",
  start_at: "2026-12-01T02:00:00.000Z",
  deadline: "2h",
};

const asking = (more: object = {}): Record<string, unknown> => ({
  driver: "http",
  http: { url: "https://x/", ...more },
});

const rounded = "is too large to be kept as a number: write it in quotes";

describe("a spec as people write it", () => {
  test("is read into milliseconds and bytes, with nothing where nothing was written", () => {
    expect(read({ run: "true" })).toEqual({ run: "true" });
    expect(read({ driver: "noop", noop: { for: "50ms", output: "1KiB", exit: 3 } })).toEqual({
      driver: "noop",
      noop: { forMs: 50, outputBytes: 1024, exit: 3 },
    });
    const spec = read(full);
    expect(spec.timeoutMs).toBe(600_000);
    expect(spec.retries).toEqual({ max: 3, backoffMs: 2000, factor: 2, capMs: 60_000, jitter: 0.1, on: ["failed"] });
    expect(spec.output).toEqual({ tailBytes: 2048, keepBytes: 67_108_864 });
  });

  test("resources: memory as a size, others as numbers, in the order of names, every problem at its path", () => {
    expect(read({ run: "x", resources: { memory: "1.5GiB", cores: 2, a: 0.125 } }).resources).toEqual({
      a: 0.125,
      cores: 2,
      memory: 1_610_612_736,
    });
    expect(read({ run: "x", resources: {} })).toEqual({ run: "x" });
    const bad = { memory: "lots", cores: 0.0001, "9x": 1, gpu: -1, license: "2", disk: Number.MAX_VALUE };
    const parsed = specSchema.safeParse({ run: "x", resources: bad });
    const paths = parsed.error?.issues.map(({ path }) => path.join(".")).sort();
    expect(paths).toEqual(
      Object.keys(bad)
        .map((name) => `resources.${name}`)
        .sort(),
    );
    const many = Object.fromEntries(Array.from({ length: 17 }, (_, number) => [`r${number}`, 1]));
    expect(specSchema.safeParse({ run: "x", resources: many }).success).toBe(false);
  });

  test("is shown as it was written, and read again gives the same", () => {
    expect(renderSpec(read(full))).toEqual(full);
    expect(read(renderSpec(read(full)))).toEqual(read(full));
  });

  test("a request may hold what its tasks have, and nothing else: every name that none has is told with its path", () => {
    const own = "{{SKEIN_JOB}}{{SKEIN_TASK}}{{SKEIN_ATTEMPT}}{{SKEIN_FENCE}}{{SKEIN_NODE}}";
    const fine = [
      { ...asking({ url: "http://{{SKEIN_TARGET}}:8080/x" }), targets: ["a", "b"] },
      {
        ...asking({ url: "http://web{{SKEIN_INDEX}}.lan:{{ port }}/{{more}}" }),
        matrix: { port: [80, 81] },
        include: [{ port: 80, more: "x" }],
      },
      { ...asking({ headers: { A: "{{SKEIN_INDEX}}" } }), count: 2 },
      { ...asking({ headers: { A: "{{SKEIN_TARGET}}" } }), each_node: true },
      asking({ url: `http://x/${own}`, body: { text: "\\{{any}} {{.Names}}", "{{Names}}x": 1 } }),
    ];
    for (const spec of fine.slice(0, -1)) expect(read(spec)).toMatchObject({ driver: "http" });
    const has = "SKEIN_JOB, SKEIN_TASK, SKEIN_ATTEMPT, SKEIN_FENCE, SKEIN_NODE";
    const none = (name: string, more = ""): string =>
      `{{${name}}} is nothing that a task has: ${has}${more}; the text itself is \\{{${name}}}`;
    expect(problems(fine.at(-1))).toEqual({ "http.body.{{Names}}x": none("Names") });
    expect(
      problems({
        ...asking({
          url: "http://x/{{SKEIN_INDEX}}",
          headers: { A: "{{zone}}", B: "{{a}}" },
          body: { a: [{ b: "{{SKEIN_TARGET}} " }], "{{zone}}": 1 },
        }),
        matrix: { zone: ["x"] },
      }),
    ).toEqual({
      "http.headers.B": none("a", ", SKEIN_INDEX, zone"),
      "http.body.a[0].b": none("SKEIN_TARGET", ", SKEIN_INDEX, zone"),
      "http.body.{{zone}}": "{{zone}} stands in a key: only values are filled in",
    });
    const long = { matrix: { a: ["x".repeat(100_000)] }, ...asking({ body: "{{a}}".repeat(1_000) }) };
    expect(problems(long)).toEqual({
      http: "could become longer than 16777216 characters when its placeholders are filled in",
    });
  });

  test("one task may say what is so of one anyway, and what its job becomes when it fails", () => {
    const one = { run: "x", parallel: 1, unit: 1, max_failures: 1 };
    expect(renderSpec(read(one))).toEqual(one);
    expect(read({ run: "x", count: 1, parallel: 10, unit: 30 })).toMatchObject({ count: 1, parallel: 10, unit: 30 });
  });

  test("passes the leader's check once it is normalised", () => {
    expect(isNormalised(JSON.parse(JSON.stringify(read(full))))).toBe(true);
    expect(isNormalised({ timeout: "5s" })).toBe(false);
  });

  test("five mistakes are all reported, each with its path", () => {
    const found = problems({
      count: 0,
      each_node: true,
      timeout: "-5s",
      retries: { max: -1, jiter: 1 },
      colour: "red",
      on: "a=b=c d",
    });
    expect(Object.keys(found).sort()).toEqual([
      "colour",
      "count",
      "on",
      "retries.jiter",
      "retries.max",
      "run",
      "timeout",
    ]);
    expect(found["timeout"]).toBe(`"-5s" is not a duration: write text with units, like "90s" or "1h30m"`);
    expect(found["colour"]).toBe("no such key");
    expect(found["run"]).toBe("is required: what should the job run?");
    expect(found["retries.max"]).toBe("must be at least 0");
  });

  test("of a list, paths name the job", () => {
    const parsed = commandByName("job.submit").input.safeParse({
      jobs: [{ run: "a" }, { run: "b", count: 0 }, { rum: "c" }],
    });
    expect(problemsOf(parsed.error!).map((one) => one.path)).toEqual(["jobs[1].count", "jobs[2].rum", "jobs[2].run"]);
  });

  test("what is wrong with names in a map is told with what is wrong with values in it", () => {
    const parsed = specSchema.safeParse({
      run: "x",
      env: { "A B": "1", D: null, "": "x" },
      labels: { "no good": "1", n: 1 },
      idempotency_key: "",
    });
    expect(problemsOf(parsed.error!).map(({ path, message }) => `${path}: ${message}`)).toEqual([
      "env.D: must be text, or {secret: name}",
      "env.A B: not a variable's name: letters, digits and _ only",
      "env.: not a variable's name: letters, digits and _ only",
      "labels.n: a label's value is text",
      "labels.no good: not a label: letters, digits and -_./ only, at most 128 characters",
      "idempotency_key: must not be empty",
    ]);
  });

  test.each([
    [{ run: "x", timeout: 90 }, "timeout", `write text with units, like "90s" or "1h30m"`],
    [{ run: "x", timeout: "0s" }, "timeout", "must be longer than 0"],
    [{ run: "" }, "run", "must not be empty"],
    [{ run: [] }, "run", "must not be empty"],
    [{ run: 5 }, "run", "must be text for /bin/sh -c, or a list of words"],
    [{ driver: "noop", run: "x" }, "run", "driver noop runs nothing: leave it out"],
    [{ run: "x", driver: "load" }, "driver", "driver load is not supported by this version yet"],
    [{ run: "x", driver: "tcl" }, "driver", `must be "shell", "ssh", "ansible", "http" or "noop"`],
    [{ run: "x", count: 10_000_001 }, "count", "must be at most 10000000"],
    [
      { run: "x", count: 2, each_node: true },
      "count",
      "cannot be combined with each_node, which makes one task per node",
    ],
    [{ run: "x", output: { tail: "65KiB" } }, "output.tail", "must be at most 64KiB"],
    [
      { run: "x", output: { keep: "1 elephant" } },
      "output.keep",
      `"1 elephant" is not a size: write a number of bytes, or text like "64MiB"`,
    ],
    [{ run: "x", env: { "A B": "1" } }, "env.A B", "not a variable's name: letters, digits and _ only"],
    [
      { run: "x", env: { A: { secret: "no way" } } },
      "env.A.secret",
      "a secret's name has letters, digits and ._- only, begins with a letter or digit, and has at most 128 characters",
    ],
    [{ run: "x", retries: { max: 1001 } }, "retries.max", "must be at most 1000"],
    [{ run: "x", retries: { max: 1, factor: 0.5 } }, "retries.factor", "must be at least 1"],
    [{ run: "x", retries: { max: 1, jitter: 2 } }, "retries.jitter", "must be at most 1"],
    [{ run: "x", retries: {} }, "retries.max", "must be a whole number from 0 to 1000"],
    [{ run: "x", retries: 3 }, "retries", "must be a map like {max: 3, backoff: 2s}"],
    [{ run: "x", max_failures: "10" }, "max_failures", `must be a number of tasks, or a share like "10%"`],
    [{ run: "x", dir: "tmp" }, "dir", "must be an absolute path"],
    [
      { run: "x", labels: { "no good": "1" } },
      "labels.no good",
      "not a label: letters, digits and -_./ only, at most 128 characters",
    ],
    [{ run: "x", user: "no way" }, "user", "must be a user's name, as the node knows it"],
    [{ run: "x", user: "-rf" }, "user", "must be a user's name, as the node knows it"],
    [{ driver: "noop", user: "www" }, "user", "driver noop starts no process: leave it out"],
    [{ driver: "noop", env: { A: "1" } }, "env", "driver noop starts no process: leave it out"],
    [{ driver: "noop", dir: "/srv" }, "dir", "driver noop starts no process: leave it out"],
    [{ driver: "noop", stdin: "" }, "stdin", "driver noop starts no process: leave it out"],
    [
      { run: "x", parallel: 2 },
      "parallel",
      "is for several tasks, and this is one: say with count, array, matrix, targets or each_node which",
    ],
    [
      { run: "x", unit: 30, each_node: false },
      "unit",
      "is for several tasks, and this is one: say with count, array, matrix, targets or each_node which",
    ],
    [{ ...asking(), limits: { files: 9 } }, "limits", "driver http starts no process: leave it out"],
    [{ run: "x", limits: {} }, "limits", "must name cpu, memory, files or processes"],
    [{ run: "x", limits: { cpu: "10ms" } }, "limits.cpu", "must be at least 1s"],
    [{ run: "x", limits: { memory: 5 } }, "limits.memory", "must be at least 1MiB"],
    [{ run: "x", limits: { files: 1 } }, "limits.files", "must be at least 8"],
    [{ run: "x", limits: { disk: 1 } }, "limits.disk", "no such key"],
    [{ driver: "http" }, "http", "is required: what should be asked?"],
    [{ run: "x", http: { url: "http://x" } }, "http", "is for driver http only"],
    [{ ...asking(), run: "x" }, "run", "driver http starts no process: leave it out"],
    [asking({ url: "x" }), "http.url", `"x" is not a URL: write https://host/path`],
    [asking({ url: "file:///x" }), "http.url", "must begin with http:// or https://"],
    [
      asking({ url: "https://me:pw@host/" }),
      "http.url",
      "must not hold a password: write headers: {Authorization: {secret: name}}",
    ],
    [asking({ method: "FETCH" }), "http.method", "must be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"],
    [asking({ method: "GET", body: "x" }), "http.body", "a GET has no body: leave one of them out"],
    [asking({ body: 5 }), "http.body", "must be text, {secret: name}, or a map or list that is sent as JSON"],
    [asking({ headers: { "a b": "x" } }), "http.headers.a b", "not a header's name"],
    [asking({ headers: { A: "x\ny" } }), "http.headers.A", "must be one line"],
    [asking({ headers: { A: "1", a: "2" } }), "http.headers.a", "is there twice, in other letters"],
    [asking({ headers: { Host: "x" } }), "http.headers.Host", "is set by the request itself: leave it out"],
    [asking({ expect: 99 }), "http.expect", `must be a status from 100 to 599, a class like "2xx", or a list of them`],
    [{ run: "x", priority: 101 }, "priority", "must be at most 100"],
    [{ run: "x", after: 17 }, "after", "must be a list: [17, {job: 18, when: failed}]"],
    [{ run: "x", after: [] }, "after", "must not be empty"],
    [
      { run: "x", after: [0] },
      "after[0]",
      "must be a job's id, the name of a job of the same request, or {job: 17, when: succeeded|failed|done}",
    ],
    [
      { run: "x", after: [{ job: 1, when: "late" }] },
      "after[0]",
      "must be a job's id, the name of a job of the same request, or {job: 17, when: succeeded|failed|done}",
    ],
    [{ run: "x", after: [1, { job: 1, when: "done" }] }, "after[1]", "names 1 a second time"],
    [{ run: "x", key: "" }, "key", "must not be empty"],
    [{ run: "x", on_conflict: "refuse" }, "on_conflict", "says what becomes of jobs with the same key: give a key"],
    [{ run: "x", key: "k", on_conflict: "wait" }, "on_conflict", `must be "queue", "refuse" or "replace"`],
    [
      { run: "x", start_at: "tomorrow" },
      "start_at",
      `"tomorrow" is not an instant: write it as in "2026-12-01T02:00:00Z", with its zone`,
    ],
    [
      { run: "x", start_at: "2027-02-30T00:00:00Z" },
      "start_at",
      `"2027-02-30T00:00:00Z" is not an instant: write it as in "2026-12-01T02:00:00Z", with its zone`,
    ],
    [{ run: "x", env: { ID: 2 ** 64 } }, "env.ID", rounded],
    [{ run: "x", matrix: { id: [2 ** 53 - 1, 2 ** 53] } }, "matrix.id[1]", rounded],
    [{ run: "x", matrix: { a: [1] }, include: [{ b: -(2 ** 53) }] }, "include[0].b", rounded],
    [asking({ headers: { A: 2 ** 53 } }), "http.headers.A", rounded],
    [asking({ body: { ids: [1, { id: 2 ** 60 }] } }), "http.body.ids[1].id", rounded],
    [{ run: "x", deadline: "0s" }, "deadline", "must be longer than 0"],
  ])("%j is refused at %s", (spec, path, message) => {
    expect(problems(spec)).toEqual({ [path]: message });
  });

  test.each(["load"])("%s is a key of the contract that this version does not run: refused, not ignored", (key) => {
    expect(problems({ run: "x", [key]: "anything" })).toEqual({ [key]: "not supported by this version yet" });
  });

  test.each([[null], ["run: x"], [[]], [5]])("%j is not a spec", (value) => {
    expect(Object.keys(problems(value))).toEqual([""]);
  });
});

describe("what a spec means", () => {
  test("a name for people is always there", () => {
    expect(displayName({ name: "x", run: "y" })).toBe("x");
    expect(displayName({ run: ["make", "docs"] })).toBe("make docs");
    expect(displayName({ run: `echo ${"a".repeat(60)}\nsecond line` })).toHaveLength(40);
    expect(displayName({ driver: "noop" })).toBe("noop");
  });

  test("slots: one for shell, none for noop", () => {
    expect([slotsOf({ run: "x" }), slotsOf({ driver: "noop" }), slotsOf({ run: "x", slots: 0 })]).toEqual([1, 0, 0]);
  });

  test("a share of failures is not rounded up", () => {
    expect(failuresAllowed({ maxFailures: "10%" }, 8)).toBe(0);
    expect(failuresAllowed({ maxFailures: "10%" }, 30)).toBe(3);
    expect(failuresAllowed({ maxFailures: 2 }, 8)).toBe(2);
    expect(failuresAllowed({}, 8)).toBeUndefined();
  });
});

test("a request is read and written back as it was written", () => {
  const http = (fields: object): Spec => specSchema.parse(asking(fields));
  expect(http({})).toEqual({ driver: "http", http: { method: "GET", url: "https://x/" } });
  expect(displayName(http({ method: "put", body: "" }))).toBe("PUT https://x/");
  expect(slotsOf(http({}))).toBe(0);
  const fields = {
    method: "POST",
    url: "https://x/",
    headers: { "X-Plain": "1", Authorization: { secret: "token" } },
    body: { a: [1, { secret: "no reference, it has another key", b: 2 }] },
    expect: ["2xx", 404],
  };
  const spec = http(fields);
  expect(spec.secrets).toEqual({ headers: { Authorization: "token" } });
  expect(spec.http!.body).toBe(JSON.stringify(fields.body));
  expect(renderSpec(spec)).toEqual({ driver: "http", http: fields });
  expect(isNormalised(spec)).toBe(true);
  const secret = http({ body: { secret: "token" }, expect: 204 });
  expect([secret.secrets, secret.http!.body]).toEqual([{ body: "token" }, undefined]);
  expect(renderSpec(secret)["http"]).toEqual({
    method: "POST",
    url: "https://x/",
    body: { secret: "token" },
    expect: 204,
  });
});
