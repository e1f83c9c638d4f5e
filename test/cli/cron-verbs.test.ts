import { describe, expect, test } from "bun:test";
import { formatInstant } from "../../src/lib/calendar.ts";
import { scheduleScope } from "../../src/state/tables/schedule-scope.ts";
import { scheduleByName } from "../../src/state/tables/schedule.ts";
import type { Skip } from "../../src/state/firing.ts";
import { cli, type Ran, ServedMesh, start, TestIo } from "./support.ts";

const minute = 60_000;
const hour = 60 * minute;

function servedNow(): ServedMesh {
  const served = new ServedMesh();
  served.mesh.cluster.now = Date.now();
  return served;
}

function cron(served: ServedMesh, ...words: string[]): Promise<Ran> {
  return cli(["cron", ...words], served.env);
}

/** Its owner has come to now: these instants fire, and these are skipped. */
function step(served: ServedMesh, name: string, fires: readonly number[], skips: readonly Skip[] = []): void {
  const { database, now } = served.mesh.cluster;
  const { id, revision, watermark } = scheduleByName(database, name)!;
  const steps = [[id, revision, watermark, now, now + hour, fires, skips]] as never;
  const { refused } = served.mesh.change((cluster) =>
    cluster.must("schedule.step", { scope: scheduleScope(database).scope, steps }),
  );
  expect(refused).toEqual([]);
}

describe("cron add", () => {
  test("sets a schedule of flags, and says when it fires and in which zone", async () => {
    using served = servedNow();
    const words = ["--label", "team=docs", "--tag", "nightly", "--overlap", "queue", "--timeout", "90s"];
    const { code, out, err } = await cron(
      served,
      "add",
      "backup",
      "--cron",
      "30 2 * * *",
      ...words,
      "--",
      "backup",
      "-a",
    );
    expect([code, err]).toEqual([0, ""]);
    const lines = out.split("\n");
    expect(lines[0]).toBe("schedule backup is set");
    expect(lines[1]).toBe("at 02:30, every day, in UTC (no --tz was given)");
    expect(lines.filter((line) => /-\d\d 02:30/.test(line))).toHaveLength(5);
    const shown = JSON.parse((await cron(served, "show", "backup", "-o", "json")).out) as object;
    expect(shown).toMatchObject({
      cron: "30 2 * * *",
      tz: "UTC",
      labels: { team: "docs" },
      tags: ["nightly"],
      overlap: "queue",
      job: { run: ["backup", "-a"], timeout: "1m30s" },
      fires: [],
    });
    expect(
      (await cron(served, "add", "berlin", "--cron", "@daily", "--tz", "Europe/Berlin", "--", "x")).out,
    ).not.toContain("no --tz");
    expect(await cron(served, "add", "backup", "--every", "1h", "--", "y")).toMatchObject({ code: 6, out: "" });
    const replaced = await cron(served, "add", "backup", "--every", "1h", "--replace", "-o", "quiet", "--", "y");
    expect(replaced).toMatchObject({ code: 0, out: "backup\n" });
  });

  test("takes whole schedules of a file, and a template", async () => {
    using served = servedNow();
    const template = new TestIo({ stdin: "name: t\nparameters: {n: {}}\nspec: {run: 'echo {{n}}'}" });
    await cli(["jobs", "template", "add", "-"], served.env, template);
    const made = await cron(served, "add", "of-template", "--every", "5m", "--template", "t", "--param", "n=1=2");
    expect(made.code).toBe(0);
    const view = JSON.parse((await cron(served, "show", "of-template", "-o", "json")).out) as object;
    expect(view).toMatchObject({ template: "t", params: { n: "1=2" } });
    const io = new TestIo({
      stdin: "schedules:\n- {name: a, every: 5m, job: {run: x}}\n- {name: b, every: 5m, job: {run: x}}\n",
    });
    const file = await cli(["cron", "add", "-f", "-"], served.env, io);
    expect(file).toMatchObject({ code: 0, out: "schedule a is set\nschedule b is set\n" });
  });

  test("tells every mistake at once, by its flag", async () => {
    using served = servedNow();
    const bad = await cron(served, "add", "x", "--cron", "99 * * * *", "--tz", "Mars", "--jitter", "soon", "--", "x");
    expect(bad.code).toBe(2);
    for (const told of ["--cron: minute 99", "--tz: ", "--jitter: "]) expect(bad.err).toContain(`\n  ${told}`);
    const early = await cron(served, "add", "x", "--at", "noon", "--limit", "many", "--label", "k");
    expect(early.code).toBe(2);
    for (const told of ["--at: ", "--limit: ", "--label: ", "words: "]) expect(early.err).toContain(`\n  ${told}`);
    const twice = ["--label", "a=1", "--label", "a=2", "--template", "t", "--param", "n=1", "--param", "n=1"];
    const lost = await cron(served, "add", "x", "--every", "1h", ...twice);
    expect(lost.code).toBe(2);
    for (const told of ["--label: a is there twice", "--param: n is there twice"])
      expect(lost.err).toContain(`\n  ${told}`);
    expect((await cron(served, "add")).code).toBe(2);
    expect((await cron(served, "ls", "-o", "quiet")).out).toBe("");
  });

  test("refuses what says nothing beside a template, or beside a file, by its flag", async () => {
    using served = servedNow();
    const template = new TestIo({ stdin: "name: t\nparameters: {n: {type: number}}\nspec: {run: 'echo {{n}}'}" });
    await cli(["jobs", "template", "add", "-"], served.env, template);
    const of = ["add", "x", "--every", "1h", "--template", "t"];
    const jobFlags = [
      "--timeout",
      "5s",
      "--count",
      "9",
      "--on",
      "zone=eu",
      "--env",
      "A=b",
      "--stdin",
      "/none",
      "--sync",
    ];
    const beside = await cron(served, ...of, "--param", "n=3", ...jobFlags);
    expect(beside.code).toBe(2);
    expect(beside.err).toContain("6 things are wrong");
    for (const flag of ["--timeout", "--count", "--on", "--env", "--stdin", "--sync"])
      expect(beside.err).toContain(`\n  ${flag}: goes not with --template`);
    const file = "{name: q, every: 1h, job: {run: x}}";
    const words = ["add", "foo", "--every", "5m", "-f", "-", "--overlap", "allow", "--paused", "--", "echo", "other"];
    const both = await cli(["cron", ...words], served.env, new TestIo({ stdin: file }));
    expect(both.code).toBe(2);
    for (const path of ["name", "--every", "--overlap", "--paused", "words"])
      expect(both.err).toContain(`\n  ${path}: goes not with -f`);
    expect((await cron(served, "ls", "-o", "quiet")).out).toBe("");
    const alone = await cli(["cron", "add", "-f", "-", "--replace"], served.env, new TestIo({ stdin: file }));
    expect(alone).toMatchObject({ code: 0, out: expect.stringContaining("schedule q is set") as string });
  });

  test("tells what the mesh has not by the flag that names it", async () => {
    using served = servedNow();
    const template = new TestIo({ stdin: "name: t\nparameters: {n: {type: number}}\nspec: {run: 'echo {{n}}'}" });
    await cli(["jobs", "template", "add", "-"], served.env, template);
    const gone = ["--calendar", "holidays", "--calendar", "only:hours", "--tz", "Mars"];
    const { code, err } = await cron(
      served,
      "add",
      "x",
      "--every",
      "1h",
      ...gone,
      "--template",
      "t",
      "--param",
      "n=abc",
    );
    expect(code).toBe(2);
    for (const told of [
      "--calendar: there is no calendar holidays",
      "--calendar: there is no calendar hours",
      "--tz: ",
      "--param n: must be a number",
    ])
      expect(err).toContain(`\n  ${told}`);
    expect(err).not.toContain("[0]");
  });

  test("of a file, mistakes and names that are taken are told with their lines", async () => {
    using served = servedNow();
    const file = (stdin: string, ...words: string[]): Promise<Ran> =>
      cli(["cron", "add", "-f", "-", ...words], served.env, new TestIo({ stdin }));
    const bad = await file("- {name: a, every: 1ms, job: {run: x}}\n- {name: b, cron: 0 0 30 2 *, job: {run: x}}\n");
    expect(bad.code).toBe(2);
    for (const told of ["stdin:1: [0].every: ", "stdin:2: [1].cron: "]) expect(bad.err).toContain(`\n  ${told}`);
    const two = "- {name: a, every: 1h, job: {run: x}}\n- {name: b, every: 1h, job: {run: x}}\n";
    expect((await file("{name: b, every: 2h, job: {run: x}}")).code).toBe(0);
    const taken = await file(two);
    expect([taken.code, taken.err]).toEqual([
      6,
      expect.stringContaining("\n  stdin:2: [1].name: there is a schedule b"),
    ]);
    expect((await cron(served, "ls", "-o", "quiet")).out).toBe("b\n");
    expect((await file(two, "--replace", "-o", "quiet")).out).toBe("a\nb\n");
  });
});

test("a list shows when each fires next and how its last job fared; a schedule its history", async () => {
  using served = servedNow();
  await cron(served, "add", "often", "--every", "1m", "--label", "team=docs", "--overlap", "allow", "--", "x");
  await cron(served, "add", "rare", "--cron", "0 0 1 1 *", "--paused", "--", "x");
  const from = Math.floor(served.mesh.cluster.now / minute) * minute + minute;
  served.mesh.cluster.now = from + 3 * minute;
  step(served, "often", [from, from + 3 * minute], [["missed", from + minute, from + 2 * minute, 2]]);
  served.assign(1);
  served.finish(1, 0, "failed");
  const list = await cron(served, "ls");
  expect(list.out).toMatch(/^NAME +WHEN +ZONE +STATE +NEXT +LAST +JOB +RESULT +FAILING\n/);
  expect(list.out).toMatch(/\noften +every 1m +UTC +active +in \S+ .* 2 +queued/);
  expect(list.out).toMatch(/\nrare +0 0 1 1 \* +UTC +paused/);
  for (const [flags, name] of [
    [["--label", "team=docs"], "often"],
    [["--state", "paused"], "rare"],
    [["--name", "ra"], "rare"],
    [["--failing"], "often"],
  ] as const)
    expect([flags, (await cron(served, "ls", ...flags, "-o", "quiet")).out]).toEqual([flags, `${name}\n`]);
  expect((await cron(served, "ls", "--limit", "1")).err).toContain("--next ");
  expect((await cron(served, "ls", "--state", "odd")).code).toBe(2);

  const shown = await cron(served, "show", "often");
  expect(shown.out).toMatch(/^schedule +often \(1\)\n/);
  expect(shown.out).toMatch(/\nfailing +1 in a row/);
  expect(shown.out).toMatch(/\nworked out by +node 1\n/);
  const text = (at: number): string =>
    formatInstant(at)
      .replace("T", " ")
      .replace(/:00\.000Z$/, ":00Z");
  const fires = await cron(served, "fires", "often");
  expect(
    fires.out
      .split("\n")
      .slice(1, 4)
      .map((line) => line.split(/ {2,}/)),
  ).toEqual([
    [text(from + 3 * minute), "queued", "0 ms", "2"],
    [text(from + minute), "missed", `2 instants, until ${text(from + 2 * minute)}`],
    [text(from), "failed", "180000 ms", "1"],
  ]);
  expect((await cron(served, "fires", "often", "--reason", "missed", "-o", "quiet")).out).toBe(
    `${formatInstant(from + minute)}\n`,
  );
  expect((await cron(served, "fires", "often", "--reason", "bad luck")).code).toBe(2);
  const job = await cli(["jobs", "show", "1"], served.env);
  expect(job.out).toContain(`\nschedule   often, of ${text(from)}\n`);
  expect((await cron(served, "show", "none")).code).toBe(3);
});

test("one that its calendars keep shut is never called so where the search was given up", async () => {
  using served = servedNow();
  const year = new Date().getUTCFullYear() + 3;
  await cron(served, "calendar", "set", "far", "--span", `${year}-01-01T00:00:00Z/${year}-01-01T00:00:30Z`);
  await cron(served, "calendar", "set", "past", "--span", "2020-01-01T00:00:00Z/2021-01-01T00:00:00Z");
  await cron(served, "calendar", "set", "hours", "--window", "0 9 * * *", "--for", "8h");
  const add = async (name: string, when: string, calendar: string): Promise<string> =>
    (await cron(served, "add", name, "--cron", when, "--calendar", `only:${calendar}`, "--", "x")).out;
  const gaveUp = /none before \d{4}-\d\d-\d\dT09:00:00.000Z: its calendars \(only:hours\) keep it shut until then/;
  const shut = "its calendars (only:past) keep it shut at every instant that it has left";
  expect(await add("far", "*/10 * * * * *", "far")).toMatch(
    new RegExp(`\n${year}-01-01 00:00:20Z\nbehind these: its calendars \\(only:far\\) keep it shut`),
  );
  expect(await add("night", "0 3 * * *", "hours")).toMatch(gaveUp);
  expect(await add("over", "* * * * *", "past")).toContain(`\nno next instants: ${shut}\n`);
  const list = (await cron(served, "ls")).out;
  for (const shown of [/\nfar .* in \d+d/, /\nnight .* not within \d+d\n/, /\nover .* none left\n/])
    expect(list).toMatch(shown);
  expect((await cron(served, "show", "night")).out).toMatch(gaveUp);
  const next = async (name: string): Promise<string> => (await cron(served, "next", name)).out;
  expect(await next("far")).toContain("\nbehind these: ");
  expect(await next("over")).toContain(`\n${shut}\n`);
  const night = await next("night");
  expect(night).toMatch(gaveUp);
  expect(night).not.toContain("never");
  const json = JSON.parse((await cron(served, "next", "night", "-o", "json")).out) as object;
  expect(json).toMatchObject({ next: [], end: { reason: "far" } });
});

test("on 80 columns a list tells schedules and their times apart, and no note or reason is cut", async () => {
  using served = servedNow();
  const narrow = async (words: readonly string[], columns = 80): Promise<string[]> => {
    const io = new TestIo({ tty: true, columns });
    await cli(["cron", ...words], { ...served.env, NO_COLOR: "1" }, io);
    return io.stdout.text.trimEnd().split("\n");
  };
  const names = ["nightly-database-backup", "reindex-search-cluster", "rotate-access-logs"];
  const when = "30 2 * * MON-FRI";
  for (const name of names)
    await cron(served, "add", name, "--cron", when, "--tz", "America/Argentina/ComodRivadavia", "--", "x");
  const [header, ...rows] = await narrow(["ls"]);
  expect(header).toMatch(/^NAME +WHEN +ZONE +STATE +NEXT$/);
  expect(rows.map((row) => row.slice(0, row.indexOf(when)).trim())).toEqual(names);
  expect(Math.max(...rows.map((row) => row.length))).toBeLessThanOrEqual(80);

  const next = ["next", "30 2 * * *", "--tz", "America/New_York", "--from", "2026-03-07T12:00:00Z", "--count", "2"];
  expect((await narrow(next)).slice(-4)).toEqual([
    "IN THE ZONE                       UTC",
    "2026-03-08 03:00 EDT (UTC-04:00)  2026-03-08T07:00:00Z",
    "  clocks go forward 02:00 -> 03:00: 02:30 does not exist and fires at 03:00",
    "2026-03-09 02:30 EDT (UTC-04:00)  2026-03-09T06:30:00Z",
  ]);

  await cron(served, "add", "often", "--every", "1m", "--overlap", "allow", "--", "x");
  const from = Math.floor(served.mesh.cluster.now / minute) * minute + minute;
  served.mesh.cluster.now = from + 20 * minute;
  step(served, "often", [from + 20 * minute], [["missed", from, from + 19 * minute, 20]]);
  const end = formatInstant(from + 19 * minute).replace("T", " ");
  expect(await narrow(["fires", "often"], 60)).toContain(`  20 instants, until ${end.replace(".000Z", "Z")}`);
});

test("a resume names what has ended meanwhile, and a label that nothing has is not found", async () => {
  using served = servedNow();
  const { now } = served.mesh.cluster;
  const paused = { paused: true, job: { run: "x" } };
  const once = { name: "once", at: formatInstant(now - hour), ...paused };
  served.setSchedules(now - 3 * hour, once, { name: "often", every: "1h", ...paused });
  const resumed = await cron(served, "resume", "once", "often");
  expect(resumed).toMatchObject({
    code: 0,
    out: "2 of 2 schedules are paused no more\nschedule once has ended: it has no instant to come\n",
  });
  expect(JSON.parse((await cron(served, "resume", "once", "often", "-o", "json")).out)).toEqual({
    names: ["once", "often"],
    changed: 0,
    ended: ["once"],
  });
  expect((await cron(served, "resume", "often")).out).toBe("0 of 1 schedules go on, the others were so before\n");
  for (const verb of ["pause", "resume", "rm"])
    expect(await cron(served, verb, "--label", "team=typo")).toMatchObject({
      code: 3,
      out: "",
      err: expect.stringContaining("no schedule has the labels team=typo"),
    });
});

test("schedules are paused, resumed and forgotten by name, by label and all together", async () => {
  using served = servedNow();
  for (const name of ["a", "b", "c"])
    await cron(served, "add", name, "--every", "1h", ...(name === "c" ? [] : ["--label", "k=v"]), "--", "x");
  const paused = async (): Promise<string> => (await cron(served, "ls", "--state", "paused", "-o", "quiet")).out;
  expect((await cron(served, "pause", "--label", "k=v", "-o", "json")).out).toBe('{"names":["a","b"],"changed":2}\n');
  expect(await paused()).toBe("a\nb\n");
  expect((await cron(served, "pause", "a", "c")).out).toContain("1 of 2 schedules");
  expect((await cron(served, "resume", "a", "b", "c", "-o", "quiet")).out).toBe("a\nb\nc\n");
  expect(await paused()).toBe("");
  expect((await cron(served, "pause", "--all")).code).toBe(0);
  expect(await paused()).toBe("a\nb\nc\n");
  expect((await cron(served, "next", "a")).out).toContain(
    "it is paused: none of these makes a job until it is resumed",
  );
  expect((await cron(served, "resume", "--all")).code).toBe(0);
  for (const words of [["pause"], ["pause", "a", "--all"], ["rm", "a", "--label", "k=v"], ["rm"]])
    expect([words, (await cron(served, ...words)).code]).toEqual([words, 2]);
  expect((await cron(served, "rm", "--label", "k=v")).out).toBe("schedule a is forgotten\nschedule b is forgotten\n");
  expect((await cron(served, "rm", "c", "a")).code).toBe(3);
  expect((await cron(served, "ls", "-o", "quiet")).out).toBe("c\n");
});

test("one is fired by hand, and waited for", async () => {
  using served = servedNow();
  await cron(served, "add", "a", "--every", "1h", "--", "x");
  expect(await cron(served, "fire", "a")).toEqual({ code: 0, out: "1\n", err: "" });
  expect((await cron(served, "fire", "a")).code).toBe(6);
  const ended = start(["cron", "fire", "a", "--force", "--wait"], served.env, new TestIo());
  await served.submitted(2);
  served.assign(2);
  served.finish(2, 0, "failed");
  expect(await ended).toBe(1);
  expect((await cron(served, "fires", "a", "-o", "json")).out).toContain('"message":"by anna"');
});

describe("cron next NAME", () => {
  test("is what the mesh says, with its jitter and what changes of clocks do", async () => {
    using served = servedNow();
    await cron(
      served,
      "add",
      "night",
      "--cron",
      "30 2 * * *",
      "--tz",
      "America/New_York",
      "--jitter",
      "10m",
      "--",
      "x",
    );
    const { code, out } = await cron(served, "next", "night");
    expect(code).toBe(0);
    expect(out).toMatch(/^expression +30 2 \* \* \*\nmeans +at 02:30, every day, in America\/New_York\nzone +America/);
    expect(out).toMatch(/\nits jobs are made \S+ later \(jitter 10m\)\n$/);
    const view = JSON.parse((await cron(served, "show", "night", "-o", "json")).out) as { upcoming: { at: string }[] };
    const next = await cron(served, "next", "night", "--count", "3", "-o", "quiet");
    expect(next.out.trim().split("\n")).toEqual(view.upcoming.slice(0, 3).map(({ at }) => at));
    const far = await cron(served, "next", "night", "--from", "2027-03-13T12:00:00Z", "--count", "2");
    expect(far.out).toContain("2027-03-14T07:00:00Z  clocks go forward");
    const many = await cron(served, "next", "night", "--count", "7", "-o", "json");
    expect(JSON.parse(many.out)).toMatchObject({ name: "night", tz: "America/New_York", next: { length: 7 } });
  });

  test("of one that is not there, and with flags of an expression", async () => {
    using served = servedNow();
    expect(await cron(served, "next", "none")).toMatchObject({ code: 3, out: "" });
    const { code, err } = await cron(served, "next", "none", "--tz", "UTC", "--name", "x", "--count", "0");
    expect(code).toBe(2);
    for (const told of ["--tz: is of an expression", "--name: ", "--count: "]) expect(err).toContain(`\n  ${told}`);
    expect((await cli(["cron", "next", "none"], { SKEIN_ADDR: "http://127.0.0.1:1" })).code).toBe(5);
  });
});
