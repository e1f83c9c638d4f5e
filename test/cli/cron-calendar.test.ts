import { expect, test } from "bun:test";
import { cli, ScratchDir, ServedMesh, TestIo } from "./support.ts";

const year = new Date().getUTCFullYear() + 1;
const christmas = `${year}-12-24T00:00:00Z/${year}-12-27T00:00:00Z`;

function said(served: ServedMesh) {
  return (...words: string[]) => cli(["cron", "calendar", ...words], served.env);
}

test("a calendar is set, listed, shown and removed", async () => {
  using served = new ServedMesh();
  const say = said(served);
  const set = ["set", "freeze", "--span", christmas, "--window", "0 22 * * *", "--for", "8h", "--tz", "Europe/Berlin"];
  expect(await say(...set, "--description", "nobody deploys")).toEqual({
    code: 0,
    out: "calendar freeze is set: 1 span and 1 window\n",
    err: "",
  });
  expect((await say(...set, "--description", "nobody deploys")).out).toStartWith("calendar freeze is as it was");
  const listed = (await say("ls")).out;
  expect(listed).toMatch(/^NAME +NOW +UNTIL +SPANS +WINDOWS +KNOWN UNTIL +DESCRIPTION\n/);
  expect(listed).toMatch(/\nfreeze +(on|off) +[0-9-]+ [0-9:]+Z +1 +1 +nobody deploys/);
  const shown = (await say("show", "freeze")).out;
  expect(shown).toMatch(/\nnow +(on|off) until [0-9-]+ [0-9:]+Z\n/);
  expect(shown).toMatch(/\n0 22 \* \* \* +8h +Europe\/Berlin\n/);
  expect(shown).toMatch(new RegExp(`\n${year}-12-24 00:00:00Z +${year}-12-27 00:00:00Z\n`));
  expect(shown).toContain("none goes by it");
  expect(await say("rm", "freeze")).toEqual({ code: 0, out: "calendar freeze is forgotten\n", err: "" });
  expect((await say("ls", "-o", "quiet")).out).toBe("");
  expect((await say("show", "freeze")).code).toBe(3);
});

test("one of a file says what was taken of it, and what is wrong with a file is told with its lines", async () => {
  using served = new ServedMesh();
  using scratch = new ScratchDir();
  const say = said(served);
  const of = (...lines: string[]): string => ["BEGIN:VCALENDAR", ...lines, "END:VCALENDAR", ""].join("\n");
  const event = (...lines: string[]): string => ["BEGIN:VEVENT", ...lines, "END:VEVENT"].join("\n");
  const good = of(
    event(`DTSTART;VALUE=DATE:${year}1224`, "RRULE:FREQ=YEARLY"),
    event(`DTSTART;VALUE=DATE:${year}1225`, "TRANSP:TRANSPARENT"),
  );
  const made = (await say("import", scratch.write("holidays.ics", good), "holidays", "--tz", "Europe/Berlin")).out;
  expect(made).toMatch(/^calendar holidays is set: \d spans, of 1 event\n/);
  expect(made).toContain("left out: 1 that keep nobody busy (TRANSP:TRANSPARENT)\n");
  expect(made).toMatch(/\nwhat repeats goes on, and is known until [0-9-]+ [0-9:]+Z: import it again before\n/);
  const io = new TestIo({ stdin: of(event("DTSTART:2026"), "nonsense") });
  const bad = await cli(["cron", "calendar", "import", "-", "bad"], served.env, io);
  expect(bad.code).toBe(2);
  expect(bad.err).toContain('  stdin:3: DTSTART: "2026" is no day or time');
  expect(bad.err).toContain('  stdin:5: "nonsense" is no line of an iCalendar file');
});

test("one whose repetitions were followed to an end that is near, or past, is marked", async () => {
  using served = new ServedMesh();
  const say = said(served);
  const day = 86_400_000;
  for (const [name, days] of [
    ["far", 61],
    ["near", 59.5],
    ["past", -1],
  ] as const)
    served.mesh.change((cluster) =>
      cluster.must("calendar.set", {
        name,
        description: null,
        events: JSON.stringify({ spans: [], windows: [] }),
        until: Math.floor(Date.now() + days * day),
      }),
    );
  const known = (await say("ls")).out
    .split("\n")
    .slice(1, -1)
    .map((line) =>
      line
        .replace(/ [0-9-]{10} [0-9:]+Z/, "")
        .replace(/\s+/g, " ")
        .trim(),
    );
  expect(known).toEqual([
    "far off 0 0",
    "near off 0 0 (59d left: import it again)",
    "past off 0 0 (past: import it again)",
  ]);
  expect((await say("show", "past")).out).toMatch(/\nknown until +[0-9-]+ [0-9:]+Z \(past: import it again\)\n/);
  const figures = await (await fetch(`${served.url}/metrics`)).text();
  expect(
    [...figures.matchAll(/^skein_calendar_until_timestamp_seconds\{calendar="(\w+)"\} ([\d.]+)$/gm)].map(
      ([, name, at]) => [name, Math.round((Number(at) * 1_000 - Date.now()) / day)],
    ),
  ).toEqual([
    ["far", 61],
    ["near", expect.any(Number) as number],
    ["past", -1],
  ] as never);
});

test("flags that do not go together are refused", async () => {
  using served = new ServedMesh();
  const say = said(served);
  for (const words of [
    ["--span", "2026-12-24T00:00:00Z"],
    ["--for", "2h"],
    ["--tz", "UTC"],
    ["--window", "0 1 * * *"],
    ["--window", "0 1 * * *", "--for", "1h", "--for", "2h"],
  ])
    expect((await say("set", "c", ...words)).code).toBe(2);
  expect((await say("set", "c", "--window", "0 1 * * *", "--window", "0 2 * * *", "--for", "1h")).code).toBe(0);
  const wrong = await say("set", "c", "--window", "0 25 * * *", "--for", "never", "--tz", "Mars/Base");
  expect(wrong.code).toBe(2);
  for (const path of ["windows[0].cron", "windows[0].for", "windows[0].tz"]) expect(wrong.err).toContain(path);
});
