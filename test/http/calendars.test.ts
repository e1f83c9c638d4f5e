import { describe, expect, test } from "bun:test";
import { asking, errorIn, jsonIn, Mesh, viewerToken } from "./fake-node.ts";

const year = new Date().getUTCFullYear() + 1;
const christmas = { from: `${year}-12-24T00:00:00.000Z`, to: `${year}-12-27T00:00:00.000Z` };
const nights = { cron: "0 22 * * *", tz: "Europe/Berlin", for: "8h" };

const ics = (...lines: string[]): string =>
  ["BEGIN:VCALENDAR", "BEGIN:VEVENT", "UID:1", ...lines, "END:VEVENT", "END:VCALENDAR", ""].join("\r\n");

function asked() {
  const mesh = new Mesh();
  return { mesh, ask: asking(mesh.node()) };
}

describe("calendars over HTTP", () => {
  test("are set, listed, shown and removed", async () => {
    const { ask } = asked();
    const calendar = { name: "freeze", description: "nobody deploys", spans: [christmas], windows: [nights] };
    const made = await ask("POST", "/v1/calendars", calendar);
    const value = await jsonIn<Record<string, unknown>>(made);
    expect([made.status, value]).toEqual([
      201,
      { name: "freeze", revision: expect.any(Number), changed: true, spans: 1, windows: 1, until: null },
    ]);
    const again = await ask("POST", "/v1/calendars", calendar);
    expect([again.status, await jsonIn(again)]).toEqual([200, { ...value, changed: false }]);
    const { calendars } = await jsonIn<{ calendars: unknown[] }>(await ask("GET", "/v1/calendars"));
    expect(calendars).toMatchObject([
      {
        name: "freeze",
        description: "nobody deploys",
        spans: 1,
        windows: [nights],
        on: expect.any(Boolean),
        changes_at: expect.any(String),
      },
    ]);
    expect(await jsonIn(await ask("GET", "/v1/calendars/freeze"))).toMatchObject({
      span_list: [christmas],
      schedules: [],
      set_by: "anna",
    });
    const removed = await ask("DELETE", "/v1/calendars/freeze");
    expect([removed.status, await jsonIn(removed)]).toEqual([200, { name: "freeze" }]);
    for (const method of ["GET", "DELETE"] as const)
      expect((await ask(method, "/v1/calendars/freeze")).status).toBe(404);
  });

  test("are made of an iCalendar file, with windows beside it", async () => {
    const { ask } = asked();
    const file = ics(`DTSTART;VALUE=DATE:${year}1224`, `DTEND;VALUE=DATE:${year}1227`, "RRULE:FREQ=YEARLY");
    const made = await ask("POST", "/v1/calendars", { name: "h", ics: file, tz: "Europe/Berlin", windows: [nights] });
    expect(await jsonIn(made)).toMatchObject({
      spans: expect.any(Number),
      windows: 1,
      until: expect.any(String),
      file: { events: 1, transparent: 0, cancelled: 0, empty: 0, outside: 0, others: 0 },
    });
    const shown = await jsonIn<{ span_list: unknown[] }>(await ask("GET", "/v1/calendars/h"));
    expect(shown.span_list[0]).toEqual({ from: `${year}-12-23T23:00:00.000Z`, to: `${year}-12-26T23:00:00.000Z` });
  });

  test.each([
    [{ name: "only:x", description: 5, tz: "Mars/Base" }, 422, ["name", "description", "tz"]],
    [{ name: "x" }, 422, [""]],
    [
      { name: "x", spans: [{ from: "now" }], windows: [{ cron: "x y", for: "8 hours" }] },
      422,
      ["spans[0].from", "spans[0].to", "windows[0].for", "windows[0].cron"],
    ],
    [{ name: "x", spans: [], ics: "BEGIN:VCALENDAR\nEND:VCALENDAR\n" }, 422, ["spans"]],
    [{ name: "x", ics: ics("DTSTART:2026", "RRULE:FREQ=OFTEN") }, 422, ["line 4", "line 5"]],
    [{ name: "x", spans: Array.from({ length: 10_001 }, () => christmas) }, 422, ["spans"]],
    [{ name: "x", ics: ics("DTSTART:20200101T000000Z", "DURATION:PT1M", "RRULE:FREQ=HOURLY") }, 413, []],
  ])("%#: what is wrong is refused, every problem with its place", async (body, status, paths) => {
    const { ask, mesh } = asked();
    const error = await errorIn(await ask("POST", "/v1/calendars", body));
    expect([error.status, (error.details ?? []).map(({ path }) => path)]).toEqual([status, paths]);
    expect(
      (await jsonIn<{ calendars: unknown[] }>(await asking(mesh.node())("GET", "/v1/calendars"))).calendars,
    ).toEqual([]);
  });

  test("of 10 MB are refused while other requests are answered", async () => {
    const { ask } = asked();
    const day = (at: number): string =>
      `${year}${String(1 + (at % 12)).padStart(2, "0")}${String(1 + (at % 28)).padStart(2, "0")}`;
    const many = Array.from({ length: 60_000 }, (_, at) =>
      [
        "BEGIN:VEVENT",
        `UID:${at}`,
        `DTSTART:${day(at)}T${String(at % 24).padStart(2, "0")}${String(Math.floor(at / 24) % 60).padStart(2, "0")}00Z`,
        "DURATION:PT1S",
        `SUMMARY:${"x".repeat(70)}`,
        "END:VEVENT",
      ].join("\r\n"),
    );
    const file = ["BEGIN:VCALENDAR", ...many, "END:VCALENDAR", ""].join("\r\n");
    expect(file.length).toBeGreaterThan(9_000_000);
    const state = { isAnswered: false };
    const large = ask("POST", "/v1/calendars", { name: "large", ics: file }).finally(() => (state.isAnswered = true));
    let meanwhile = 0;
    while (!state.isAnswered) {
      expect((await ask("GET", "/v1/calendars")).status).toBe(200);
      // Its own turn of the loop, as a request's is.
      await new Promise((resolve) => setImmediate(resolve));
      meanwhile += 1;
    }
    expect((await large).status).toBe(413);
    expect(meanwhile).toBeGreaterThan(10);
  });

  test("with a key twice are refused, however long they are", async () => {
    const { ask } = asked();
    for (const length of [10, 1_000_000]) {
      const error = await errorIn(
        await ask("POST", "/v1/calendars", `{"name": "a", "description": "${"x".repeat(length)}", "name": "b"}`),
      );
      expect([error.status, error.details[0]?.message]).toEqual([400, 'the key "name" is there twice']);
    }
  });

  test("are set by who may submit, and read by all", async () => {
    const { mesh } = asked();
    const ask = asking(mesh.node());
    const headers = { authorization: `Bearer ${viewerToken}` };
    expect((await ask("POST", "/v1/calendars", { name: "x", spans: [] }, headers)).status).toBe(403);
    expect((await ask("GET", "/v1/calendars", undefined, headers)).status).toBe(200);
  });
});
