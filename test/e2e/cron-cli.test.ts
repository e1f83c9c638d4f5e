import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh, patienceMs, until } from "../../scripts/mesh.ts";
import type { FireView, ScheduleDetailView } from "../../src/state/answers.ts";
import { skein, temporaryDirectory } from "./harness.ts";

/** Schedules by the binary, as people type them, on one node that fires them by the clock. */
let mesh: Mesh;
let scratch: ReturnType<typeof temporaryDirectory>;

beforeAll(async () => {
  scratch = temporaryDirectory();
  mesh = await Mesh.start({ nodes: 1, flags: ["--slots", "4"] });
}, 600_000);

afterAll(async () => {
  await mesh.stop();
  scratch[Symbol.dispose]();
}, 600_000);

const cron = (words: readonly string[], stdin = "") =>
  skein(scratch.path, ["cron", ...words, "--data", mesh.nodes[0]!.data], { stdin });

/** Of a verb that is to go well. Flags come before what is after `--`. */
async function said(...words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await cron(words);
  expect([words, code, stderr]).toEqual([words, 0, ""]);
  return stdout;
}

async function added(name: string, ...words: readonly string[]): Promise<string> {
  const command = words.indexOf("--");
  const data = ["--data", mesh.nodes[0]!.data];
  const all = ["cron", "add", name, ...words.slice(0, command), ...data, ...words.slice(command)];
  const { code, stdout, stderr } = await skein(scratch.path, all);
  expect([all, code, stderr]).toEqual([all, 0, ""]);
  return stdout;
}

/** What made jobs, newest first. */
async function fires(name: string): Promise<readonly FireView[]> {
  const text = await said("fires", name, "--reason", "fired", "--limit", "1000", "-o", "json");
  return (JSON.parse(text) as { readonly fires: readonly FireView[] }).fires;
}

async function show(name: string): Promise<ScheduleDetailView> {
  return JSON.parse(await said("show", name, "-o", "json")) as ScheduleDetailView;
}

async function untilFires(name: string, count: number): Promise<readonly FireView[]> {
  let found: readonly FireView[] = [];
  return until(
    async () => ((found = await fires(name)).length >= count ? found : undefined),
    patienceMs,
    () => `${name} has ${found.length} of ${count} lines: ${JSON.stringify(found.slice(0, 5))}`,
  );
}

/** What a schedule says, in the form in which files say it. */
const everySecond = ["--cron", "* * * * * *", "--overlap", "allow", "--label", "team=docs", "--tag", "fast"];

test("a schedule is added, fires each second once, is paused, resumed, fired by hand and forgotten", async () => {
  const told = await added("tick", ...everySecond, "--", "true");
  expect(told).toStartWith("schedule tick is set\nevery second, in UTC (no --tz was given)\n");
  expect(told.match(/^20\d\d-/gm)).toHaveLength(5);
  const file = path.join(scratch.path, "one.yaml");
  writeFileSync(file, "{name: other, every: 5m, job: {run: x}}\n");
  const both = await cron(["add", "tock", "--every", "5m", "-f", file]);
  expect([both.code, both.stderr]).toEqual([2, expect.stringContaining("\n  --every: goes not with -f")]);
  expect(await said("ls", "-o", "quiet")).toBe("tick\n");

  const fired = await untilFires("tick", 4);
  for (const { job, lag_ms: lag } of fired) {
    expect(job).toBeGreaterThan(0);
    // In time or a little late, and never before.
    expect(lag).toBeGreaterThanOrEqual(0);
  }
  expect(new Set(fired.map(({ job }) => job)).size).toBe(fired.length);
  expect(await said("ls", "--label", "team=docs")).toMatch(/\ntick +\* \* \* \* \* \* +UTC +active +(in |now)/);
  expect(await said("show", "tick")).toMatch(/\nworked out by +node 1\n/);
  expect((await said("next", "tick", "-o", "quiet")).trim().split("\n")).toHaveLength(5);

  expect(await said("pause", "--label", "team=docs", "-o", "json")).toBe('{"names":["tick"],"changed":1}\n');
  const { runs } = await show("tick");
  expect((await show("tick")).state).toBe("paused");
  const id = Number(await said("fire", "tick"));
  expect((await show("tick")).last).toMatchObject({ job: id });
  const waited = await cron(["fire", "tick", "--wait", "-o", "quiet"]);
  expect([waited.code, Number(waited.stdout)]).toEqual([0, expect.any(Number)]);
  expect(Number(waited.stdout)).toBeGreaterThan(id);
  expect((await fires("tick")).slice(0, 2).map(({ message }) => message)).toEqual(
    Array.from({ length: 2 }, () => expect.stringMatching(/^by /) as string),
  );
  // What is due and what somebody asks for are told apart: `limit` counts the former alone.
  expect((await show("tick")).runs).toBe(runs);

  await said("resume", "tick");
  const before = (await fires("tick")).length;
  await untilFires("tick", before + 2);
  // Each second between the first and the last is there, fired or with the reason why not (the pause).
  const lines = JSON.parse(await said("fires", "tick", "--limit", "1000", "-o", "json")) as { fires: FireView[] };
  const instants = lines.fires
    .filter(({ message }) => message === undefined || !message.startsWith("by "))
    .flatMap(({ at, count = 1 }) => Array.from({ length: count }, (_, more) => Date.parse(at) + more * 1_000))
    .toSorted((a, b) => a - b);
  expect(instants).toEqual(instants.map((_, at) => instants[0]! + at * 1_000));

  expect(await said("rm", "tick")).toBe("schedule tick is forgotten\n");
  expect((await cron(["show", "tick"])).code).toBe(3);
}, 600_000);

test("six mistakes of one file are told at once, each with its line, and nothing is set", async () => {
  const file = path.join(scratch.path, "six.yaml");
  writeFileSync(
    file,
    `schedules:
  - {name: fine, every: 5m, job: {run: "true"}}
  - name: february
    cron: 0 0 30 2 *
    tz: Europe/Berln
    job: {run: x}
  - name: fast
    every: 1ms
    overlapp: skip
    job: {run: x, timeout: soon}
  - {name: fine, every: 6m, job: {run: x}}
`,
  );
  const { code, stdout, stderr } = await cron(["apply", "-f", file, "--yes"]);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toStartWith("skein: nothing was set: 6 things are wrong\n");
  for (const told of [
    ":4: schedules[1].cron: the 30th of February does not exist",
    ":5: schedules[1].tz: ",
    ":8: schedules[2].every: ",
    ":9: schedules[2].overlapp: no such key",
    ":10: schedules[2].job.timeout: ",
    `:11: schedules[3].name: fine is there already: ${file}:2: `,
  ])
    expect(stderr).toContain(`\n  ${file}${told}`);
  expect(await said("ls", "-o", "quiet")).toBe("");
  const missing =
    "{name: a, every: 5m, calendars: [holidays], job: {run: x}}\n---\n{name: b, every: 5m, template: gone}\n";
  const late = await cron(["apply", "-f", "-"], missing);
  expect(late.code).toBe(2);
  expect(late.stderr).toContain("\n  stdin:1: calendars[0]: there is no calendar holidays");
  expect(late.stderr).toContain("\n  stdin:3: template: there is no template gone");
  expect(await said("ls", "-o", "quiet")).toBe("");
}, 600_000);

test("a declared set is applied, and exported and applied again it changes nothing, ended ones as well", async () => {
  const soon = new Date(Date.now() + 8_000).toISOString();
  const declared = JSON.stringify({
    schedules: [
      { name: "once", at: soon, labels: { team: "web" }, job: { run: "true" } },
      {
        name: "nightly",
        cron: "30 2 * * *",
        tz: "Europe/Berlin",
        jitter: "10m",
        labels: { team: "docs" },
        job: { run: "x" },
      },
      { name: "off", every: "1h", paused: true, job: { run: ["x", "y"], env: { A: "1" }, retries: { max: 2 } } },
    ],
  });
  const first = await cron(["apply", "-f", "-"], declared);
  expect([first.code, first.stderr]).toEqual([0, ""]);
  expect(first.stdout).toEndWith("done: 3 new\n");
  await until(
    async () => ((await show("once")).state === "ended" ? true : undefined),
    patienceMs,
    () => "once has not ended",
  );
  expect((await fires("once")).map(({ at }) => at)).toEqual([soon]);
  for (const text of [declared, await said("export"), await said("export", "--format", "json")]) {
    const again = await cron(["apply", "-f", "-"], text);
    expect(again).toMatchObject({ code: 0, stdout: "= 3 are as declared\nnothing is to be changed\n", stderr: "" });
  }
  const other = declared
    .replace("30 2", "45 2")
    .replace(/\{"name":"off".*?\}\}\}/, '{"name":"new","every":"1h","job":{"run":"x"}}');
  const words = ["apply", "-f", "-", "--prune", "--label", "team=docs"];
  const dry = await cron([...words, "--dry-run"], other);
  expect(dry.stdout).toBe(
    "+ new  every 1h, UTC\n~ nightly\n    cron: 30 2 * * * -> 45 2 * * *\n= 1 is as declared\nnothing was set: it would be 1 new and 1 changed\n",
  );
  expect((await cron(words, other)).stdout).toEndWith("done: 1 new and 1 changed\n");
  expect(await said("ls", "-o", "quiet")).toBe("new\nnightly\noff\nonce\n");
  const refused = await cron([...words.slice(0, -1), "team"], "schedules: []");
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain("nothing was changed: this removes 2 (the first: nightly)");
  const pruned = await cron([...words, "--yes"], "schedules: []");
  expect(pruned.stdout).toBe("- nightly\ndone: 1 removed\n");
  expect(await said("rm", "new", "off", "once", "-o", "quiet")).toBe("new\noff\nonce\n");
}, 600_000);
