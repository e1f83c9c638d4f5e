import { z } from "zod";
import { limits } from "../lib/limits.ts";
import { inTurns } from "../lib/turns.ts";
import { liveMembers, Owners } from "../scheduler/owners.ts";
import type { ScheduleDetailView, ScheduleView } from "../state/answers.ts";
import { scheduleFields, scheduleName } from "../state/commands/schedule-schema.ts";
import { listNodes } from "../state/queries.ts";
import { listSchedules } from "../state/schedule-lists.ts";
import { nextDue, noNext, upcoming } from "../state/schedule-next.ts";
import {
  findSchedule,
  type FoundSchedules,
  listFires,
  scheduleReferred,
  scheduleView,
  stateOf,
} from "../state/schedule-views.ts";
import type { Principal } from "../state/types.ts";
import { selector } from "./jobs.ts";
import { check } from "./problems.ts";
import { type Exchange, type HttpParts, readState, type Route, route } from "./route.ts";
import { firesAnswer, scheduleAnswer, schedulesAnswer, setAnswer } from "./schedule-answers.ts";
import { fireRoute, noSchedule, scheduleIn } from "./schedule-fire.ts";
import { serveScheduleSet } from "./schedule-set.ts";
import { consistency, flag, next, pageLimit, whole } from "./shapes.ts";

const tag = z.string().max(limits.labelLength);
const prefix = z
  .string()
  .max(limits.scheduleNameLength)
  .regex(/^[A-Za-z0-9_.-]*$/, "is what names begin with: letters, digits and -_.");
const scheduleState = z.enum(["active", "paused", "ended"], { error: "must be active, paused or ended" });
const reason = z.enum(["fired", "missed", "overlap", "paused", "window", "limit", "refused"], {
  error: "must be fired, missed, overlap, paused, window, limit or refused",
});
/** Separated by commas; as many as the address of a request may have. */
const listedNames = z.string().transform((text, context) => {
  const listed = text.split(",").filter((name) => name !== "");
  const wrong = listed.find((name) => !scheduleName.safeParse(name).success);
  if (listed.length > limits.schedulesNamed)
    context.addIssue({ code: "custom", message: `at most ${limits.schedulesNamed} names a request` });
  else if (wrong !== undefined)
    context.addIssue({ code: "custom", message: `"${wrong}" is no name: letters, digits and -_.` });
  else return listed;
  return z.NEVER;
});
const names = z.strictObject({
  names: z
    .array(scheduleName, { error: "must be a list of names" })
    .min(1, "needs at least one name")
    .max(limits.schedulesPerRequest, `at most ${limits.schedulesPerRequest} schedules a request`),
});
const setQuery = z.strictObject({ only_new: flag.optional() });
const upcomingShown = 5;

/** Schedules; the pause of all of them is a command (state/commands/schedule-pause-all.ts). */
export function scheduleRoutes(parts: HttpParts): readonly Route[] {
  const { reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/schedules",
      right: "read",
      doc: "Schedules by name, without their jobs unless jobs=true: those whose names begin so (name), or that are listed (names, separated by commas), with labels or a tag, in a state, failing=true. A page may be short of what was asked and still have a next.",
      query: z.strictObject({
        name: prefix.optional(),
        names: listedNames.optional(),
        label: selector.optional(),
        tag: tag.optional(),
        state: scheduleState.optional(),
        failing: flag.optional(),
        jobs: flag.optional(),
        limit: pageLimit,
        next,
        consistency,
      }),
      answer: schedulesAnswer,
      async handle({ exchange, query }) {
        const { consistency, limit, jobs, ...filter } = query;
        const read = await readState(parts, exchange, consistency, (tx) => ({
          ...listSchedules(tx, { ...filter, limit: limit ?? limits.listDefault }),
          nodes: listNodes(tx),
        }));
        if (!read.ok) return reply.refusal(read.why);
        const { next, nodes, ...found } = read.value.value;
        const views = await inTurns(viewsOf(found, new Owners(liveMembers(nodes))));
        const schedules = jobs === true ? views : views.map((view) => ({ ...view, job: undefined }));
        return reply.json({ schedules, next }, read.value.index);
      },
    }),
    {
      method: "POST",
      path: "/v1/schedules",
      right: "jobs:write",
      doc: "Sets a schedule, or several ({schedules: [...]}), all or none: new ones, or what is other about those that are there; only_new=true: none of them may be there yet. All that is wrong is told at once, what only the state can tell as well.",
      status: 201,
      query: setQuery,
      body: scheduleFields,
      answer: z.union([setAnswer, z.object({ schedules: z.array(setAnswer) })]),
      serve: (exchange, by) => serveSet(parts, exchange, by),
    },
    route(parts, {
      method: "GET",
      path: "/v1/schedules/:schedule",
      right: "read",
      doc: "One schedule, by its name or id, with its job and the next instants that it fires at.",
      query: z.strictObject({ consistency }),
      answer: scheduleAnswer,
      async handle({ exchange, query }) {
        const name = scheduleIn(exchange);
        const read = await readState(parts, exchange, query.consistency, (tx) => ({
          found: findSchedule(tx, name),
          nodes: listNodes(tx),
        }));
        if (!read.ok) return reply.refusal(read.why);
        const { found, nodes } = read.value.value;
        if (found === undefined) return reply.refusal(noSchedule(name));
        const view = await inTurns(detailOf(found, new Owners(liveMembers(nodes))));
        return reply.json(view, read.value.index);
      },
    }),
    route(parts, {
      method: "GET",
      path: "/v1/schedules/:schedule/fires",
      right: "read",
      doc: "The history of a schedule, newest first: instants that made jobs (reason=fired), with their lag and what became of the jobs, and runs of instants that made none, with the reason.",
      query: z.strictObject({
        reason: reason.optional(),
        limit: pageLimit,
        next: whole(0, Number.MAX_SAFE_INTEGER).optional(),
        consistency,
      }),
      answer: firesAnswer,
      async handle({ exchange, query }) {
        const name = scheduleIn(exchange);
        const { consistency, limit, next: before, reason } = query;
        const page = { reason, limit: limit ?? limits.listDefault, next: before?.toString() };
        const read = await readState(parts, exchange, consistency, (tx) => {
          const row = scheduleReferred(tx, name);
          return row === undefined ? undefined : listFires(tx, row, page);
        });
        if (!read.ok) return reply.refusal(read.why);
        const fires = read.value.value;
        if (fires === undefined) return reply.refusal(noSchedule(name));
        return reply.json({ fires: fires.items, next: fires.next }, read.value.index);
      },
    }),
    ...pauseRoutes(parts),
    fireRoute(parts),
    route(parts, {
      method: "DELETE",
      path: "/v1/schedules/:schedule",
      right: "jobs:write",
      doc: "Forgets a schedule and its history; jobs that it has made stay.",
      answer: z.object({ removed: z.int() }),
      handle: ({ exchange, by }) => serveRemove(parts, [scheduleIn(exchange)], by),
    }),
    route(parts, {
      method: "POST",
      path: "/v1/schedules/remove",
      right: "jobs:write",
      doc: "Forgets schedules and their history, all or none; jobs that they have made stay.",
      body: names,
      answer: z.object({ removed: z.int() }),
      handle: ({ body, by }) => serveRemove(parts, body.names, by),
    }),
  ];
}

function pauseRoutes(parts: HttpParts): Route[] {
  const answer = z.object({ changed: z.int() });
  const words = {
    pause: "Their instants meanwhile are recorded as paused, and not made up.",
    resume: "What was due meanwhile is not made up.",
  };
  return (["pause", "resume"] as const).flatMap((what) => [
    route(parts, {
      method: "POST",
      path: `/v1/schedules/:schedule/${what}`,
      right: "jobs:write",
      doc: `${what === "pause" ? "Pauses" : "Resumes"} a schedule. ${words[what].replace("Their", "Its")}`,
      body: z.strictObject({}),
      answer,
      handle: ({ exchange, by }) => servePause(parts, [scheduleIn(exchange)], what === "pause", by),
    }),
    route(parts, {
      method: "POST",
      path: `/v1/schedules/${what}`,
      right: "jobs:write",
      doc: `${what === "pause" ? "Pauses" : "Resumes"} schedules, all or none. ${words[what]}`,
      body: names,
      answer,
      handle: ({ body, by }) => servePause(parts, body.names, what === "pause", by),
    }),
  ]);
}

/** A search for instants each, where the rows do not say it. */
function* viewsOf(found: FoundSchedules, owners: Owners): Generator<undefined, ScheduleView[], undefined> {
  const now = Date.now();
  const views: ScheduleView[] = [];
  for (const row of found.rows) {
    const state = stateOf(row, found.meshPaused);
    const next = state === "active" ? yield* nextDue(row, found.calendars, now) : noNext(state, found.meshPaused);
    views.push(scheduleView(row, found, next, owners.of(row.id) ?? null));
    yield;
  }
  return views;
}

/** One alone is searched for longer than those of a list. */
function* detailOf(found: FoundSchedules, owners: Owners): Generator<undefined, ScheduleDetailView, undefined> {
  const row = found.rows[0]!;
  const state = stateOf(row, found.meshPaused);
  const { instants, ...next } =
    state === "active"
      ? yield* upcoming(row, found.calendars, Date.now(), upcomingShown)
      : { instants: [], ...noNext(state, found.meshPaused) };
  const isShort = instants.length > 0 && next.none !== undefined;
  return {
    ...scheduleView(row, found, next.due === undefined ? next : { due: next.due }, owners.of(row.id) ?? null),
    upcoming: instants,
    ...(isShort ? { upcoming_end: next.none } : {}),
  };
}

function serveSet(parts: HttpParts, exchange: Exchange, by: Principal): Response | Promise<Response> {
  const query = check(setQuery, exchange.req.query(), "the query");
  if (!query.ok) return parts.reply.refusal(query.why);
  return serveScheduleSet(parts, exchange, query.value.only_new === true, by);
}

async function servePause(
  { node, reply }: HttpParts,
  schedules: readonly string[],
  paused: boolean,
  by: Principal,
): Promise<Response> {
  const outcome = await node.propose("schedule.pause", { names: [...schedules], paused }, by);
  return outcome.ok ? reply.json(outcome.value.value, outcome.value.index) : reply.refusal(outcome.why);
}

async function serveRemove({ node, reply }: HttpParts, schedules: readonly string[], by: Principal): Promise<Response> {
  const outcome = await node.propose("schedule.rm", { names: [...schedules] }, by);
  return outcome.ok ? reply.json(outcome.value.value, outcome.value.index) : reply.refusal(outcome.why);
}
