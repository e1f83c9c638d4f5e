import { describe, expect, test } from "bun:test";
import type { Span } from "../../src/lib/calendar-events.ts";
import { formatInstant, parseInstant } from "../../src/lib/calendar.ts";
import { readIcal } from "../../src/lib/ical-events.ts";
import { limits } from "../../src/lib/limits.ts";
import { atOnce } from "../../src/lib/turns.ts";
import { zoneOf } from "../../src/lib/wall-time.ts";

const now = parseInstant("2026-11-28T12:00:00Z")!;
const file = (...lines: readonly string[]): string =>
  ["BEGIN:VCALENDAR", "VERSION:2.0", ...lines, "END:VCALENDAR", ""].join("\r\n");
const event = (...lines: readonly string[]): string => ["BEGIN:VEVENT", ...lines, "END:VEVENT"].join("\r\n");

function read(text: string, tz = "UTC") {
  const result = atOnce(readIcal(text, { zone: zoneOf(tz)!, now }));
  if ("problems" in result)
    throw new Error(result.problems.map(({ path, message }) => `${path}: ${message}`).join("\n"));
  return result.read;
}

/** "MM-DDThh:mm/MM-DDThh:mm" of each span, in UTC. */
function spans(text: string, tz?: string): string[] {
  const short = (at: number): string => formatInstant(at).slice(5, 16);
  return read(text, tz).spans.map(([from, to]: Span) => `${short(from)}/${short(to)}`);
}

function problems(text: string): string[] {
  const result = atOnce(readIcal(text, { zone: zoneOf("UTC")!, now }));
  return "problems" in result ? result.problems.map(({ path, message }) => `${path}: ${message}`) : [];
}

describe("an event", () => {
  test.each([
    [
      "of days is on in the zone that is asked for",
      ["DTSTART;VALUE=DATE:20261224", "DTEND;VALUE=DATE:20261227"],
      "Europe/Berlin",
      ["12-23T23:00/12-26T23:00"],
    ],
    ["of a day without an end is on for that day", ["DTSTART;VALUE=DATE:20261224"], "UTC", ["12-24T00:00/12-25T00:00"]],
    [
      "of a day that ends on itself is one day",
      ["DTSTART;VALUE=DATE:20261224", "DTEND;VALUE=DATE:20261224"],
      "UTC",
      ["12-24T00:00/12-25T00:00"],
    ],
    [
      "of a day on which clocks are put back has 25 hours",
      ["DTSTART;VALUE=DATE:20271031"],
      "Europe/Berlin",
      ["10-30T22:00/10-31T23:00"],
    ],
    [
      "in UTC is where it is",
      ["DTSTART:20261224T180000Z", "DTEND:20261224T193000Z"],
      "Europe/Berlin",
      ["12-24T18:00/12-24T19:30"],
    ],
    [
      "that names no zone is of the one that is asked for",
      ["DTSTART:20261224T180000", "DURATION:PT1H30M"],
      "America/New_York",
      ["12-24T23:00/12-25T00:30"],
    ],
    [
      "that names one is of that",
      ["DTSTART;TZID=Asia/Kolkata:20261224T180000", "DURATION:P1DT1H"],
      "UTC",
      ["12-24T12:30/12-25T13:30"],
    ],
    [
      "of a zone with a vendor's name before it",
      ["DTSTART;TZID=/freeassociation.sourceforge.net/Europe/Berlin:20261224T180000", "DURATION:PT1H"],
      "UTC",
      ["12-24T17:00/12-24T18:00"],
    ],
    [
      "between two zones",
      ["DTSTART;TZID=Europe/Berlin:20261224T180000", "DTEND;TZID=America/New_York:20261224T180000"],
      "UTC",
      ["12-24T17:00/12-24T23:00"],
    ],
    [
      "in a gap of the clocks is as much later",
      ["DTSTART;TZID=Europe/Berlin:20270328T023000", "DURATION:PT1H"],
      "UTC",
      ["03-28T01:30/03-28T02:30"],
    ],
    [
      "for days whose nights are short lasts until the clock shows the same",
      ["DTSTART;TZID=Europe/Berlin:20270327T120000", "DURATION:P1D"],
      "UTC",
      ["03-27T11:00/03-28T10:00"],
    ],
    [
      "for hours lasts so long",
      ["DTSTART;TZID=Europe/Berlin:20270327T120000", "DURATION:PT24H"],
      "UTC",
      ["03-27T11:00/03-28T11:00"],
    ],
  ])("%s", (_what, lines, tz, expected) => {
    expect(spans(file(event("UID:1", ...lines)), tz)).toEqual(expected);
  });

  test("whose lines are folded, whose words are small, and which has an alarm of its own, is read", () => {
    const folded = 'dtstart;tzid="Europe\r\n /Berlin":2026122\r\n\t4T180000';
    const alarm = ["BEGIN:VALARM", "TRIGGER:-PT15M", "DURATION:PT99H", "END:VALARM"];
    expect(spans(file(event("UID:1", folded, ...alarm, "DURATION:PT1H")))).toEqual(["12-24T17:00/12-24T18:00"]);
    expect(spans(file(event("UID:1", folded, "DURATION:PT1H")).replaceAll("\r\n", "\n"))).toHaveLength(1);
  });

  test("that keeps nobody busy, is cancelled, has no length or is far away is left out and counted", () => {
    const at = (day: string, ...more: string[]): string => event(`UID:${day}`, `DTSTART;VALUE=DATE:${day}`, ...more);
    const text = file(
      at("20261224"),
      at("20261225", "TRANSP:TRANSPARENT"),
      at("20261226", "STATUS:CANCELLED"),
      event("UID:e", "DTSTART:20261227T000000Z"),
      at("20200101"),
      at("20400101"),
      "BEGIN:VTODO\r\nUID:t\r\nDTSTART:20261228T000000Z\r\nDURATION:PT1H\r\nEND:VTODO",
    );
    expect(read(text)).toMatchObject({
      events: 1,
      transparent: 1,
      cancelled: 1,
      empty: 1,
      outside: 2,
      others: 1,
      until: parseInstant("2031-11-27T00:00:00Z"),
    });
    expect(spans(text)).toEqual(["12-24T00:00/12-25T00:00"]);
    expect(read(text.replace("VERSION:2.0", "METHOD:CANCEL"))).toMatchObject({ events: 0, cancelled: 6 });
  });
});

describe("an event that repeats", () => {
  const daily = ["UID:1", "DTSTART;TZID=Europe/Berlin:20270326T090000", "DURATION:PT1H"];

  test("keeps its time of day where clocks change", () => {
    expect(spans(file(event(...daily, "RRULE:FREQ=DAILY;COUNT=3")))).toEqual([
      "03-26T08:00/03-26T09:00",
      "03-27T08:00/03-27T09:00",
      "03-28T07:00/03-28T08:00",
    ]);
  });

  test.each([
    ["an instant", "20270327T080000Z"],
    ["a time", "20270327T090000"],
    ["a day", "20270327"],
  ])("ends with what %s of UNTIL still has", (_what, until) => {
    expect(spans(file(event(...daily, `RRULE:FREQ=DAILY;UNTIL=${until}`)))).toEqual([
      "03-26T08:00/03-26T09:00",
      "03-27T08:00/03-27T09:00",
    ]);
  });

  test("is followed from a year ago to five years ahead, and that it goes on is said", () => {
    const forever = event("UID:1", "DTSTART;VALUE=DATE:19991224", "RRULE:FREQ=YEARLY");
    expect(read(file(forever))).toMatchObject({ until: parseInstant("2031-11-27T00:00:00Z"), events: 1 });
    expect(spans(file(forever))).toHaveLength(6);
    expect(read(file(forever.replace("YEARLY", "YEARLY;UNTIL=20281231"))).until).toBeUndefined();
  });

  test("leaves out what EXDATE says, by time or by day, and has what RDATE adds", () => {
    const lines = [
      ...daily,
      "RRULE:FREQ=DAILY;COUNT=5",
      "EXDATE;TZID=Europe/Berlin:20270326T090000,20270328T090000",
      "EXDATE;VALUE=DATE:20270330",
      "RDATE:20270401T000000Z",
      "RDATE;VALUE=PERIOD:20270402T000000Z/PT3H,20270403T000000Z/20270403T000500Z",
    ];
    expect(spans(file(event(...lines)))).toEqual([
      "03-27T08:00/03-27T09:00",
      "03-29T07:00/03-29T08:00",
      "04-01T00:00/04-01T01:00",
      "04-02T00:00/04-02T03:00",
      "04-03T00:00/04-03T00:05",
    ]);
  });

  test("has single times moved, cancelled and let go by RECURRENCE-ID, wherever in the file that stands", () => {
    const of = (day: string, ...lines: string[]): string =>
      event("UID:1", `RECURRENCE-ID;TZID=Europe/Berlin:202703${day}T090000`, ...lines);
    const text = file(
      of("27", "DTSTART;TZID=Europe/Berlin:20270327T150000", "DURATION:PT2H"),
      event(...daily, "RRULE:FREQ=DAILY;COUNT=4"),
      of("28", "DTSTART;TZID=Europe/Berlin:20270328T090000", "DURATION:PT1H", "STATUS:CANCELLED"),
      of("29", "DTSTART;TZID=Europe/Berlin:20270329T090000", "DURATION:PT1H", "TRANSP:TRANSPARENT"),
    );
    expect(spans(text)).toEqual(["03-26T08:00/03-26T09:00", "03-27T14:00/03-27T16:00"]);
    expect(read(text)).toMatchObject({ events: 2, cancelled: 1, transparent: 1 });
  });

  test("is otherwise from one time on where that is said", () => {
    const moved = event(
      "UID:1",
      "RECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Europe/Berlin:20270328T090000",
      "DTSTART;TZID=Europe/Berlin:20270328T113000",
      "DURATION:PT30M",
    );
    expect(spans(file(event(...daily, "RRULE:FREQ=DAILY;COUNT=4"), moved))).toEqual([
      "03-26T08:00/03-26T09:00",
      "03-27T08:00/03-27T09:00",
      "03-28T09:30/03-28T10:00",
      "03-29T09:30/03-29T10:00",
    ]);
  });

  test("that is in the file twice is what its newest revision says", () => {
    const revision = (sequence: number, day: string): string =>
      event("UID:1", `SEQUENCE:${sequence}`, `DTSTART;VALUE=DATE:${day}`);
    expect(spans(file(revision(2, "20261225"), revision(10, "20261226"), revision(0, "20261227")))).toEqual([
      "12-26T00:00/12-27T00:00",
    ]);
  });
});

describe("a zone of the file's own", () => {
  const zone = [
    "BEGIN:VTIMEZONE",
    "TZID:W. Europe Standard Time",
    "BEGIN:STANDARD",
    "DTSTART:16010101T030000",
    "TZOFFSETFROM:+0200",
    "TZOFFSETTO:+0100",
    "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10",
    "END:STANDARD",
    "BEGIN:DAYLIGHT",
    "DTSTART:16010101T020000",
    "TZOFFSETFROM:+0100",
    "TZOFFSETTO:+0200",
    "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3",
    "END:DAYLIGHT",
    "END:VTIMEZONE",
  ];

  test("is what its VTIMEZONE says: the same as IANA's where the rules are the same, gaps and repeats of clocks included", () => {
    for (const rule of [
      "DTSTART;TZID=Z:20270325T023000",
      "DTSTART;TZID=Z:20271029T023000",
      "DTSTART;TZID=Z:20251201T000000",
    ]) {
      const text = file(...zone, event("UID:1", rule, "DURATION:PT20M", "RRULE:FREQ=HOURLY;INTERVAL=5;COUNT=40"));
      const own = spans(text.replace("TZID=Z", "TZID=W. Europe Standard Time"));
      expect(own).toEqual(spans(text.replace("TZID=Z", "TZID=Europe/Berlin")));
    }
  });

  test("that says too little is told of, once", () => {
    const broken = [...zone.slice(0, 3), "DTSTART:19700101T000000Z", "END:STANDARD", "END:VTIMEZONE"];
    const one = event(
      "UID:1",
      "DTSTART;TZID=W. Europe Standard Time:20270101T000000",
      "DTEND;TZID=W. Europe Standard Time:20270101T010000",
    );
    expect(problems(file(...broken, one))).toEqual(["line 5: STANDARD needs TZOFFSETFROM and TZOFFSETTO, as +0100"]);
  });
});

describe("what is wrong with a file", () => {
  test("is told all at once, each with its line", () => {
    const text = file(
      event(
        "UID:1",
        "DTSTART;TZID=Mars/Base:20261224T090000",
        "DTEND:2026",
        "RRULE:FREQ=NEVER;COUNT=0",
        "EXRULE:FREQ=DAILY",
      ),
      event("UID:2", "SUMMARY:no start"),
      event("UID:3", "DTSTART:20260230T090000Z", "DURATION:1h"),
      event("UID:4", "DTSTART:20261224T090000Z", "DTEND:20261224T080000Z", "DTSTART:20261224T090000Z"),
      "nonsense",
    );
    expect(problems(text).map((one) => one.slice(0, 34))).toEqual(
      [
        "line 5: DTSTART: there is no time ",
        'line 6: DTEND: "2026" is no day or',
        "line 7: RRULE: FREQ is one of YEAR",
        'line 7: RRULE: COUNT: "0" is no wh',
        "line 8: EXRULE is not understood: ",
        "line 10: the event says not when it",
        'line 16: DTSTART: "20260230T090000Z',
        'line 17: DURATION: "1h" is none: as',
        "line 22: DTEND is before DTSTART",
        "line 23: DTSTART is there twice",
        'line 25: "nonsense" is no line of a',
      ].map((one) => one.slice(0, 34)),
    );
  });

  test.each([
    ["", "line 1: there is no BEGIN:VCALENDAR"],
    ["hello: there\n", "line 1: stands outside of BEGIN:VCALENDAR"],
    ["<html>\n", 'line 1: "<html>" is no line'],
    [
      "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261224T000000Z\n",
      "line 3: the file ends in the middle of VEVENT, begun in line 2",
    ],
    ["BEGIN:VCALENDAR\nEND:VEVENT\n", "line 2: END:VEVENT where VCALENDAR was begun in line 1"],
  ])("that is none: %j", (text, expected) => {
    expect(problems(text).some((one) => one.startsWith(expected))).toBe(true);
  });
});

describe("a file that is too much", () => {
  /** Steps between which others have their turn, and what came of it. */
  function inSteps(text: string): { readonly steps: number; readonly result: ReturnType<typeof result> } {
    const reading = readIcal(text, { zone: zoneOf("UTC")!, now });
    for (let steps = 0; ; steps++) {
      const step = reading.next();
      if (step.done === true) return { steps, result: result(step.value) };
    }
  }
  const result = (value: ReturnType<ReturnType<typeof readIcal>["next"]>["value"] & {}) => value;

  test.each([
    "FREQ=SECONDLY",
    "FREQ=SECONDLY;COUNT=999999999",
    "FREQ=SECONDLY;BYSECOND=0,1,2,30;INTERVAL=7",
    "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8;BYMINUTE=1,2,3,4,5,6,7,8,9,10;BYSECOND=1,2,3,4,5",
  ])("since it repeats %s is refused, with rests while it is looked at", (rule) => {
    const { steps, result } = inSteps(
      file(event("UID:1", "DTSTART:19700101T000000Z", "DURATION:PT1S", `RRULE:${rule}`)),
    );
    expect(result).toHaveProperty("problems");
    expect(steps).toBeGreaterThan(20);
  });

  test("of 10 MB is refused, or taken where few spans come of it", () => {
    const many = (dayOf: (at: number) => string): string =>
      file(
        ...Array.from({ length: 50_000 }, (_, at) =>
          event(
            `UID:${at}`,
            `DTSTART:${dayOf(at)}T${String(at % 24).padStart(2, "0")}${String(Math.floor(at / 24) % 60).padStart(2, "0")}00Z`,
            "DURATION:PT30S",
            `DESCRIPTION:${"x".repeat(100)}`,
          ),
        ),
      );
    const day = (at: number): string =>
      `2027${String(1 + (at % 12)).padStart(2, "0")}${String(1 + (Math.floor(at / 12) % 28)).padStart(2, "0")}`;
    const spread = many(day);
    expect(spread.length).toBeGreaterThan(9_000_000);
    const refused = inSteps(spread);
    expect(refused.result).toMatchObject({ isTooLarge: true });
    expect(refused.steps).toBeGreaterThan(200);
    expect(inSteps(many(() => "20270101")).result).toMatchObject({ read: { events: 50_000 } });
    expect(inSteps(spread.replaceAll(/UID:\d+/g, "UID:1")).result).toMatchObject({ isTooLarge: true });
  });

  test("has no more mistakes told than a request may have", () => {
    expect(problems(file(...Array.from({ length: 5_000 }, () => "nonsense")))).toHaveLength(limits.problemsPerRequest);
  });
});
