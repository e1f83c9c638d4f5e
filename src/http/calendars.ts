import { z } from "zod";
import { readCalendarInput } from "../lib/calendar-input.ts";
import type { CalendarEvents } from "../lib/calendar-events.ts";
import { formatInstant } from "../lib/calendar.ts";
import { type IcalRead, readIcal } from "../lib/ical-events.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { inTurns } from "../lib/turns.ts";
import { formatSize } from "../lib/units.ts";
import { zoneOf } from "../lib/wall-time.ts";
import { findCalendar, listCalendars } from "../state/calendar-views.ts";
import { calendarDescription, calendarName } from "../state/commands/calendar-schema.ts";
import type { Principal } from "../state/types.ts";
import { check, invalid } from "./problems.ts";
import { type Exchange, type HttpParts, readJson, readState, type Route, route } from "./route.ts";
import { consistency, next, pageLimit } from "./shapes.ts";

const setBody = z
  .strictObject({
    name: calendarName,
    description: calendarDescription.optional(),
    spans: z
      .array(z.unknown(), { error: "must be a list of {from, to}" })
      .max(limits.calendarSpans, `at most ${limits.calendarSpans} spans`)
      .optional(),
    windows: z
      .array(z.unknown(), { error: "must be a list of {cron, tz, for}" })
      .max(limits.calendarWindows, `at most ${limits.calendarWindows} windows`)
      .optional(),
    ics: z.string({ error: "must be the text of an iCalendar file" }).optional(),
    tz: z
      .string({ error: "must be the name of a time zone" })
      .refine((name) => zoneOf(name) !== undefined, "is no time zone: write one such as Europe/Berlin")
      .optional(),
  })
  .superRefine(({ spans, windows, ics, tz }, context) => {
    if (ics !== undefined && spans !== undefined)
      context.addIssue({ code: "custom", path: ["spans"], message: "goes not with ics, which says them" });
    if (ics === undefined && spans === undefined && windows === undefined)
      context.addIssue({ code: "custom", path: [], message: "needs spans, windows or ics: when the calendar is on" });
    if (ics === undefined && tz !== undefined)
      context.addIssue({ code: "custom", path: ["tz"], message: "is for ics alone: of a window it stands there" });
  });

const instant = z.string().describe("RFC 3339, UTC");
const shortAnswer = {
  name: z.string(),
  revision: z.int(),
  description: z.string().optional(),
  spans: z.int().describe("How many there are."),
  windows: z.array(z.object({ cron: z.string(), tz: z.string(), for: z.string() })),
  until: instant
    .nullable()
    .describe("What repeats in its file goes on, and was followed up to here; null: it holds all."),
  on: z.boolean(),
  changes_at: instant.nullable().describe("When that is otherwise; null: as far as is known it stays so."),
  set_at: instant,
  set_by: z.string(),
};

/** Calendars; removing one is a command (state/commands/calendar-rm.ts). */
export function calendarRoutes(parts: HttpParts): readonly Route[] {
  const { reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/calendars",
      right: "read",
      doc: "Calendars by name: whether each is on, and until when.",
      query: z.strictObject({ limit: pageLimit, next, consistency }),
      answer: z.object({ calendars: z.array(z.object(shortAnswer)), next: z.string().optional() }),
      async handle({ exchange, query }) {
        const { limit, next: after } = query;
        const read = await readState(parts, exchange, query.consistency, (tx) =>
          listCalendars(tx, Date.now(), { limit: limit ?? limits.listDefault, next: after }),
        );
        if (!read.ok) return reply.refusal(read.why);
        const { items, next } = read.value.value;
        return reply.json({ calendars: items, next }, read.value.index);
      },
    }),
    route(parts, {
      method: "GET",
      path: "/v1/calendars/:calendar",
      right: "read",
      doc: "One calendar, with its spans that are not over and some of the schedules that go by it.",
      query: z.strictObject({ consistency }),
      answer: z.object({
        ...shortAnswer,
        span_list: z.array(z.object({ from: instant, to: instant })),
        schedules: z.array(z.string()),
      }),
      async handle({ exchange, query }) {
        const name = exchange.req.param("calendar") ?? "";
        const most = { spans: limits.calendarSpans, schedules: limits.listDefault };
        const read = await readState(parts, exchange, query.consistency, (tx) =>
          findCalendar(tx, name, Date.now(), most),
        );
        if (!read.ok) return reply.refusal(read.why);
        const found = read.value.value;
        if (found !== undefined) return reply.json(found, read.value.index);
        return reply.refusal(
          refuse("not-found", `there is no calendar ${name}: 'skein cron calendar ls' lists them`).why,
        );
      },
    }),
    {
      method: "POST",
      path: "/v1/calendars",
      right: "jobs:write",
      doc: "Sets a calendar: spans ({from, to}), windows ({cron, tz, for}), or the events of an iCalendar file (ics; its days are days of tz).",
      status: 201,
      body: setBody,
      answer: z.object({
        name: z.string(),
        revision: z.int(),
        changed: z.boolean(),
        spans: z.int(),
        windows: z.int(),
        until: instant.nullable(),
        file: z
          .object({
            events: z.int(),
            transparent: z.int(),
            cancelled: z.int(),
            empty: z.int(),
            outside: z.int(),
            others: z.int(),
          })
          .optional()
          .describe("What was in it, and what of that is left out."),
      }),
      serve: (exchange, by) => serveSet(parts, exchange, by),
    },
  ];
}

interface ReadEvents {
  readonly events: CalendarEvents;
  readonly file: IcalRead | undefined;
}

async function serveSet({ node, reply }: HttpParts, exchange: Exchange, by: Principal): Promise<Response> {
  const body = await readJson(exchange.req.raw);
  if (!body.ok) return reply.refusal(body.why);
  const asked = check(setBody, body.value, "the calendar");
  if (!asked.ok) return reply.refusal(asked.why);
  const read = await readEvents(asked.value);
  if (!read.ok) return reply.refusal(read.why);
  const { events, file } = read.value;
  const text = JSON.stringify(events);
  if (text.length > limits.calendarBytes)
    return reply.refusal(
      refuse("too-large", `the calendar takes more than ${formatSize(limits.calendarBytes)}: let it be several`).why,
    );
  const { name, description = null } = asked.value;
  const input = { name, description, events: text, until: file?.until ?? null };
  const outcome = await node.propose("calendar.set", input, by);
  if (!outcome.ok) return reply.refusal(outcome.why);
  const { value, index } = outcome.value;
  const answer = {
    ...value,
    spans: events.spans.length,
    windows: events.windows.length,
    until: file?.until === undefined ? null : formatInstant(file.until),
    ...(file === undefined ? {} : { file: { ...file, spans: undefined, until: undefined } }),
  };
  return reply.json(answer, index, value.changed ? 201 : 200);
}

async function readEvents({
  spans = [],
  windows = [],
  ics,
  tz = "UTC",
}: z.output<typeof setBody>): Promise<Outcome<ReadEvents>> {
  const read = await inTurns(readCalendarInput({ spans, windows }));
  if ("problems" in read) return invalid(read.problems, "the calendar");
  if (ics === undefined) return accept({ events: read.events, file: undefined });
  const file = await inTurns(readIcal(ics, { zone: zoneOf(tz)!, now: Date.now() }));
  if ("read" in file) return accept({ events: { ...read.events, spans: file.read.spans }, file: file.read });
  if (file.isTooLarge) return refuse("too-large", `the calendar is too large: ${file.problems[0]!.message}`);
  return invalid(file.problems, "the iCalendar file");
}
