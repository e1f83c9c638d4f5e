import { describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import type { Environment } from "../../src/cli/context.ts";
import { formatInstant } from "../../src/lib/calendar.ts";
import { scheduleInput } from "../../src/state/commands/schedule-schema.ts";
import { renderSchedule } from "../../src/state/schedule-rendering.ts";
import { planOf } from "../../src/cli/cron-apply-plan.ts";
import type { ScheduleView } from "../../src/state/answers.ts";
import { cli, type Ran, ScratchDir, ServedMesh, TestIo } from "./support.ts";

const nowhere = { SKEIN_ADDR: "http://127.0.0.1:1" };

const team = `schedules:
  - name: backup
    cron: 30 2 * * *
    tz: Europe/Berlin
    labels: {team: docs, tier: a}
    job: {run: backup --all, timeout: 90s, env: {LEVEL: 1.10}}
  - {name: report, every: 1h, labels: {team: docs}, job: {run: report}}
`;

function applied(served: ServedMesh, text: string, words: readonly string[] = [], io?: TestIo): Promise<Ran> {
  return cli(["cron", "apply", "-f", "-", ...words], served.env, io ?? new TestIo({ stdin: text }));
}

async function shown(env: Environment, name: string): Promise<Record<string, unknown>> {
  return JSON.parse((await cli(["cron", "show", name, "-o", "json"], env)).out) as Record<string, unknown>;
}

async function names(env: Environment): Promise<string[]> {
  return (await cli(["cron", "ls", "-o", "quiet"], env)).out.split("\n").filter((name) => name !== "");
}

describe("apply", () => {
  test("sets what is new, then what is other, and nothing when it is run again", async () => {
    using served = new ServedMesh();
    expect(await applied(served, team)).toMatchObject({
      code: 0,
      out: "+ backup  30 2 * * *, Europe/Berlin\n+ report  every 1h, UTC\ndone: 2 new\n",
    });
    expect(await shown(served.env, "backup")).toMatchObject({ job: { env: { LEVEL: "1.10" } } });
    const revision = (await shown(served.env, "backup"))["revision"];
    expect((await applied(served, team)).out).toBe("= 2 are as declared\nnothing is to be changed\n");
    const other = team.replace("30 2", "45 2").replace("90s", "2m").replace("tier: a", "tier: b").replace("1h", "60m");
    const dry = await applied(served, other, ["--dry-run"]);
    expect(dry.out.split("\n")).toEqual([
      "~ backup",
      "    cron: 30 2 * * * -> 45 2 * * *",
      "    labels.tier: a -> b",
      "    job.timeout: 1m30s -> 2m",
      "= 1 is as declared",
      "nothing was set: it would be 1 changed",
      "",
    ]);
    expect((await shown(served.env, "backup"))["revision"]).toBe(revision);
    expect((await applied(served, other)).out).toEndWith("done: 1 changed\n");
    expect(await shown(served.env, "backup")).toMatchObject({ cron: "45 2 * * *", job: { timeout: "2m" } });
    expect((await applied(served, other)).out).toEndWith("nothing is to be changed\n");
  });

  test("leaves alone what is paused, and what has ended", async () => {
    using served = new ServedMesh();
    const now = Date.now();
    const [past, earlier] = [now - 3_600_000, now - 7_200_000].map((at) => formatInstant(at));
    const once = `{name: once, at: "${past}", job: {run: x}}`;
    served.mesh.cluster.now = now;
    const often = { name: "often", every: "5s", job: { run: "x" } };
    served.setSchedules(now - 86_400_000, { name: "once", at: past, job: { run: "x" } }, often);
    await cli(["cron", "pause", "often"], served.env);
    const again = await applied(served, `[${once}, {name: often, every: 5s, job: {run: x}}]`);
    expect(again).toMatchObject({ code: 0, out: "= 2 are as declared\nnothing is to be changed\n" });
    const resumed = await applied(served, "{name: often, every: 5s, paused: false, job: {run: x}}");
    expect(resumed.out).toStartWith("~ often\n    paused: true -> false\n");
    const changed = await applied(served, once.replace("run: x", "run: y"));
    expect(changed.out).toBe("  once  is due no more: left out\nnothing is to be changed\n");
    // One whose time is moved is set, and what is set must have something to come.
    const late = await applied(served, `${once.replace(past!, earlier!)}\n---\n{name: new, every: 1s, job: {run: x}}`);
    expect(late.code).toBe(2);
    expect(late.err).toContain("nothing was set: ");
    expect(late.err).toContain("\n  stdin:1: at: has passed");
    expect(await names(served.env)).toEqual(["often", "once"]);
  });

  test("leaves out what is due no more, says so, and sets the others", async () => {
    using served = new ServedMesh();
    const now = Date.now();
    served.mesh.cluster.now = now;
    const past = formatInstant(now - 60_000);
    const text = [
      `{name: old, at: "${past}", job: {run: x}}`,
      `{name: over, every: 1h, end: "${past}", job: {run: x}}`,
      "{name: new, every: 1h, job: {run: x}}",
    ].join("\n---\n");
    const words = ["  old  is due no more: left out", "  over  is due no more: left out"];
    const dry = await applied(served, text, ["--dry-run", "-o", "json"]);
    expect(JSON.parse(dry.out)).toMatchObject({ new: ["new"], left_out: ["old", "over"] });
    const done = await applied(served, text);
    expect([done.code, done.out.split("\n")]).toEqual([0, ["+ new  every 1h, UTC", ...words, "done: 1 new", ""]]);
    expect(await names(served.env)).toEqual(["new"]);
    const again = await applied(served, text, ["--prune", "--label", "team=docs"]);
    expect(again.out.split("\n")).toEqual([...words, "= 1 is as declared", "nothing is to be changed", ""]);
  });

  test("says each difference of long values where they part", async () => {
    using served = new ServedMesh();
    const long = `{name: a, every: 1h, job: {run: "${"x".repeat(200)} --one ${"y".repeat(200)}"}}`;
    await applied(served, long);
    const { out } = await applied(served, long.replace("one", "two"), ["--dry-run"]);
    expect(out).toMatch(/\n {4}job\.run: …x+ --one y+… -> …x+ --two y+…\n/);
  });

  test("sets thousands in batches", async () => {
    using served = new ServedMesh();
    let requests = 0;
    served.node.onPropose = () => void requests++;
    const many = Array.from({ length: 2_500 }, (_, at) => ({ name: `s-${at}`, every: "1h", job: { run: "x" } }));
    const ran = await applied(served, JSON.stringify(many));
    expect([ran.code, requests]).toEqual([0, 3]);
    expect(ran.out).toContain("\n+ s-199  every 1h, UTC\n  and 2300 more\n");
    expect(ran.out).toEndWith("done: 2500 new\n");
    expect((await applied(served, JSON.stringify({ schedules: many }))).out).toEndWith("nothing is to be changed\n");
    expect(requests).toBe(3);
    const broken = many.map((one, at) => ({ ...one, ...(at === 1_700 ? { calendars: ["none"] } : { every: "2h" }) }));
    const half = await applied(served, JSON.stringify(broken, null, 1));
    expect(half.code).toBe(2);
    expect(half.err).toContain("1000 of 2500 were set before it went wrong: ");
    expect(half.err).toMatch(/\n {2}stdin:\d+: \[1700\]\.calendars\[0\]: there is no calendar none/);
  }, 120_000);
});

describe("mistakes", () => {
  test("of all files are told at once, with their lines, and nothing is set or asked for", async () => {
    using scratch = new ScratchDir();
    mkdirSync(join(scratch.path, "more"));
    mkdirSync(join(scratch.path, ".git"));
    const a = scratch.write(
      "a.yaml",
      `schedules:
  - name: backup
    cron: 0 0 30 2 *
    tz: Europe/Berln
    job: {run: ""}
  - name: two
    every: 1ms
    overlapp: skip
    job: {run: x, timeout: soon}
`,
    );
    const b = scratch.write("more/b.json", '[\n {"name": "c", "every": "5m",\n  "job": {"run": "x"}, "limit": 0}\n]\n');
    const c = scratch.write("more/c.yml", "name: fine\nevery: 5m\njob: {run: x}\n---\nname: fine\nevery: 5m\n---\n7\n");
    scratch.write("more/notes.txt", "no schedule");
    scratch.write(".git/x.yaml", "no: schedule");
    const { code, out, err } = await cli(["cron", "apply", "-f", scratch.path], nowhere);
    expect([code, out]).toEqual([2, ""]);
    const told = err.trim().split("\n");
    expect(told[0]).toBe("skein: nothing was set: 9 things are wrong");
    for (const [at, line] of [
      `${a}:3: schedules[0].cron: the 30th of February does not exist`,
      `${a}:4: schedules[0].tz: "Europe/Berln" is no time zone: is it Europe/Berlin?`,
      `${a}:5: schedules[0].job.run: must not be empty`,
      `${a}:7: schedules[1].every: "1ms" is shorter than 1s`,
      `${a}:8: schedules[1].overlapp: no such key`,
      `${a}:9: schedules[1].job.timeout: `,
      `${b}:3: [0].limit: must be at least 1`,
      `${c}:5: job: is required`,
      `${c}:8: is no schedule`,
    ].entries())
      expect([at, told.find((one) => one.startsWith(`  ${line}`))]).toEqual([at, expect.any(String)]);
  });

  test.each([
    ["", "is empty"],
    ["# nothing\n", "holds no schedule"],
    ["schedules: 7\n", "stdin:1: schedules: must be a list of schedules"],
    ["schedules: []\nversion: 2\n", "stdin:2: version: no such key beside schedules"],
    ["apiVersion: batch/v1\nkind: CronJob\n", "skein cron import"],
    ["a: [\n", "stdin:2: "],
    ['{"a": 1,\n "a": 2}', 'stdin:2: the key "a" is there twice'],
    [
      "- {name: a, every: 5m, job: {run: x}}\n- {name: a, every: 6m, job: {run: x}}\n",
      "stdin:2: [1].name: a is there already: stdin:1: [0].name",
    ],
  ])("%j is answered with %j", async (stdin, words) => {
    const { code, err } = await cli(["cron", "apply", "-"], nowhere, new TestIo({ stdin }));
    expect([code, err]).toEqual([2, expect.stringContaining(words)]);
  });

  test.each([
    [[], "which schedules?"],
    [["-f", "/nonexistent/x.yaml"], "there is no such file"],
    [["-", "--prune"], "--prune needs --label"],
    [["-", "--prune", "--label", ""], "--prune needs --label"],
    [["-", "--prune", "--label", "a b"], "--label: "],
    [["-", "--label", "a=b"], "add --prune"],
  ])("%j is refused", async (words, why) => {
    const { code, err } = await cli(["cron", "apply", ...words], nowhere, new TestIo({ stdin: team }));
    expect([code, err]).toEqual([2, expect.stringContaining(why)]);
  });

  test("an empty directory, and more mistakes than anybody reads", async () => {
    using scratch = new ScratchDir();
    expect((await cli(["cron", "apply", scratch.path], nowhere)).err).toContain("holds no .yaml, .yml or .json file");
    const many = new TestIo({ stdin: JSON.stringify(Array.from({ length: 5_000 }, () => 7)) });
    const { err } = await cli(["cron", "apply", "-"], nowhere, many);
    expect(err).toContain("nothing was set: 5000 things are wrong");
    expect(err).toEndWith("\n  and 4900 more\n");
  });
});

describe("--prune", () => {
  const others =
    "- {name: ours, every: 1h, labels: {team: docs}, job: {run: x}}\n- {name: theirs, every: 1h, labels: {team: web}, job: {run: x}}\n- {name: bare, every: 1h, job: {run: x}}\n";

  test("removes only what has the label, and asks nobody only with --yes", async () => {
    using served = new ServedMesh();
    await applied(served, others);
    const prune = ["--prune", "--label", "team=docs"];
    const refused = await applied(served, team, prune);
    expect(refused.code).toBe(2);
    expect(refused.err).toContain("nothing was changed: this removes 1 (the first: ours)");
    expect(await names(served.env)).toEqual(["bare", "ours", "theirs"]);
    const dry = await applied(served, team, [...prune, "--dry-run", "-o", "json"]);
    expect(JSON.parse(dry.out)).toEqual({
      dry_run: true,
      new: ["backup", "report"],
      changed: [],
      removed: ["ours"],
      left_out: [],
      same: 0,
    });
    expect(dry.err).toBe("");
    const done = await applied(served, team, [...prune, "--yes"]);
    expect(done.out).toEndWith("- ours\ndone: 2 new and 1 removed\n");
    expect(await names(served.env)).toEqual(["backup", "bare", "report", "theirs"]);
    expect((await applied(served, team, prune)).out).toEndWith("nothing is to be changed\n");
    expect((await applied(served, "schedules: []", [...prune, "--yes"])).out).toBe(
      "- backup\n- report\ndone: 2 removed\n",
    );
  });

  test("at a terminal the plan is shown before the question, and only yes is yes", async () => {
    using served = new ServedMesh();
    const no = new TestIo({ tty: true, stdin: team, answer: "n" });
    expect((await applied(served, team, [], no)).code).toBe(6);
    expect(no.stdout.text).toContain("\u001b[32m+ backup");
    expect(no.stderr.text).toContain("2 new: is that right? Type yes: ");
    expect(await names(served.env)).toEqual([]);
    const yes = new TestIo({ tty: true, stdin: team, answer: "yes" });
    expect(await applied(served, team, ["-o", "json"], yes)).toMatchObject({ code: 0 });
    expect(yes.stderr.text).toContain("+ report  every 1h, UTC");
    expect(JSON.parse(yes.stdout.text)).toMatchObject({ new: ["backup", "report"], dry_run: false });
  });
});

test("a name of digits is not the id of another one", async () => {
  using served = new ServedMesh();
  await applied(served, "{name: a, every: 1h, job: {run: x}}");
  const { id } = (await shown(served.env, "a")) as { id: number };
  const { out } = await applied(served, `{name: "${id}", every: 1h, job: {run: x}}`);
  expect(out).toBe(`+ ${id}  every 1h, UTC\ndone: 1 new\n`);
});

test("whatever a schedule says, what the mesh shows of it is no change", () => {
  const word = fc.stringMatching(/^[a-z]{1,5}$/);
  const schedule = fc.record(
    {
      cron: fc.constantFrom("30 2 * * MON-FRI", "@hourly", "H H * * *"),
      tz: fc.constantFrom("UTC", "Europe/Berlin"),
      start: fc.constant("2026-01-01T00:00:00+01:00"),
      jitter: fc.constantFrom("90s", "0s", "1m"),
      missed: fc.constantFrom("latest", "all", "skip"),
      catch_up: fc.constantFrom("60m", "2h"),
      overlap: fc.constantFrom("skip", "allow"),
      paused: fc.boolean(),
      limit: fc.integer({ min: 1, max: 9 }),
      labels: fc.dictionary(word, word, { maxKeys: 3 }),
      tags: fc.array(word, { maxLength: 2 }),
      history: fc.constantFrom(1, 1000),
      calendars: fc.array(fc.constantFrom("a", "only:b"), { maxLength: 2 }),
      job: fc.record(
        {
          run: fc.oneof(word, fc.array(word, { minLength: 1, maxLength: 3 })),
          env: fc.dictionary(word, word, { maxKeys: 3 }),
          retries: fc.constantFrom({ max: 3, backoff: "2s" }, { max: 1 }),
          targets: fc.constantFrom(["web[1-3]", "@inv"], ["a"]),
          labels: fc.dictionary(word, word, { maxKeys: 2 }),
        },
        { requiredKeys: ["run"] },
      ),
    },
    { requiredKeys: ["cron", "job"] },
  );
  fc.assert(
    fc.property(schedule, (fields) => {
      const read = scheduleInput.parse({ name: "a", ...fields });
      const view = { ...renderSchedule("a", read.definition, read.paused ?? false), id: 7, next: null } as never;
      const declared = { written: fields, read, where: () => "" };
      expect(planOf([declared], new Map([["a", view as ScheduleView]]), [], 0)).toMatchObject({ same: 1 });
    }),
  );
});
