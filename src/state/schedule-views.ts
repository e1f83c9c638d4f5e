import { formatInstant } from "../lib/calendar.ts";
import { limits } from "../lib/limits.ts";
import type { FireView, ScheduleState, ScheduleView } from "./answers.ts";
import { jobStates, type Page } from "./queries.ts";
import type { CalendarsNamed, NextDue } from "./schedule-next.ts";
import { renderSchedule } from "./schedule-rendering.ts";
import { definitionOf, jitterOf } from "./schedules.ts";
import { calendarEvents } from "./tables/calendar.ts";
import { firesBefore, type SkipReason, type StoredFire } from "./tables/schedule-fire.ts";
import { scheduleScope } from "./tables/schedule-scope.ts";
import { scheduleById, scheduleByName, type StoredSchedule } from "./tables/schedule.ts";
import type { ReadTx } from "./tx.ts";
import type { JobState } from "./types.ts";

/** Schedules as the API shows them. */

/** Rows, and what else their views show. Views are made apart from the look at the state: they search for instants, in turns. */
export interface FoundSchedules {
  readonly rows: readonly StoredSchedule[];
  /** All are paused together. */
  readonly meshPaused: boolean;
  readonly calendars: CalendarsNamed;
  /** Of the newest jobs that are not forgotten. */
  readonly states: ReadonlyMap<number, JobState>;
}

const scanRows = 1_000;

/** undefined: there is none of that name, nor of that id. */
export function findSchedule(tx: ReadTx, reference: string): FoundSchedules | undefined {
  const row = scheduleReferred(tx, reference);
  return row === undefined ? undefined : found(tx, [row]);
}

/** By its name, or its id. */
export function scheduleReferred(tx: ReadTx, reference: string): StoredSchedule | undefined {
  const named = scheduleByName(tx, reference);
  return named ?? (/^\d{1,15}$/.test(reference) ? scheduleById(tx, Number(reference)) : undefined);
}

/** What else their views show. */
export function found(tx: ReadTx, rows: readonly StoredSchedule[]): FoundSchedules {
  const calendars = new Map<string, NonNullable<ReturnType<typeof calendarEvents>>>();
  for (const row of rows)
    for (const { name } of definitionOf(row).rules.calendars ?? []) {
      const events = calendars.has(name) ? undefined : calendarEvents(tx, name);
      if (events !== undefined) calendars.set(name, events);
    }
  const states = jobStates(
    tx,
    rows.flatMap(({ job }) => job ?? []),
  );
  return { rows, meshPaused: scheduleScope(tx).pausedAt !== null, calendars, states };
}

/** Paused by itself or with all others, or without anything to come. */
export function stateOf(row: StoredSchedule, meshPaused: boolean): ScheduleState {
  if (row.check_at === null) return "ended";
  return row.paused === 1 || meshPaused ? "paused" : "active";
}

/** As it was written, how far it has come and what comes next. `owner`: the member that works it out. */
export function scheduleView(
  row: StoredSchedule,
  { meshPaused, states }: Pick<FoundSchedules, "meshPaused" | "states">,
  { due, none }: NextDue,
  owner: number | null,
): ScheduleView {
  const state = stateOf(row, meshPaused);
  const { fired_at: firedAt } = row;
  return {
    ...(renderSchedule(row.name, definitionOf(row), row.paused === 1) as Pick<ScheduleView, "name" | "tz">),
    id: row.id,
    revision: row.revision,
    state,
    paused: row.paused === 1,
    mesh_paused: meshPaused,
    runs: row.runs,
    next: due === undefined ? null : formatInstant(due),
    ...(none === undefined ? {} : { no_next: none }),
    last: firedAt === null ? null : { at: formatInstant(firedAt), ...lastOf(row, states) },
    failing: row.failing,
    set_at: formatInstant(row.set_at),
    set_by: row.set_by,
    node: state === "ended" ? null : owner,
  };
}

/** Its newest instant that was to make a job. */
function lastOf(
  { job, last_state: lastState }: StoredSchedule,
  states: ReadonlyMap<number, JobState>,
): { readonly job: number | null; readonly state: string | null } {
  return job === null ? { job, state: "refused" } : { job, state: states.get(job) ?? lastState };
}

/** Newest first. The whole history of one schedule is no more than limits.firesKept lines. */
export function listFires(
  tx: ReadTx,
  row: StoredSchedule,
  filter: {
    readonly reason?: SkipReason | "fired" | undefined;
    readonly limit: number;
    readonly next?: string | undefined;
  },
): Page<FireView> {
  const { reason } = filter;
  const limit = Math.min(filter.limit, limits.listMax);
  const lines: StoredFire[] = [];
  let next: string | undefined;
  let before = filter.next === undefined ? Number.MAX_SAFE_INTEGER : Number(filter.next);
  for (;;) {
    const piece = firesBefore(tx, row.id, before, scanRows);
    for (const line of piece) {
      if (reason !== undefined && (line.reason ?? "fired") !== reason) continue;
      if (lines.length === limit) {
        next = String(lines.at(-1)!.seq);
        break;
      }
      lines.push(line);
    }
    if (next !== undefined || piece.length < scanRows) break;
    before = piece.at(-1)!.seq;
  }
  const states = jobStates(
    tx,
    lines.flatMap(({ job, state }) => (state === null && job !== null ? job : [])),
  );
  const jitter = jitterOf(row.name, definitionOf(row).rules.jitterMs);
  const items = lines.map((line) => fireView(line, jitter, states));
  return next === undefined ? { items } : { items, next };
}

function fireView(line: StoredFire, jitter: number, states: ReadonlyMap<number, JobState>): FireView {
  const { at, until, count, reason, fired_at: firedAt, job, message } = line;
  const told = message === null ? {} : { message };
  if (job === null)
    return {
      at: formatInstant(at),
      ...(until === at ? {} : { until: formatInstant(until) }),
      ...(count === 1 ? {} : { count: Math.abs(count) }),
      ...(count < 0 ? { at_least: true } : {}),
      ...(reason === null ? {} : { reason }),
      ...told,
    };
  const state = line.state ?? states.get(job);
  return {
    at: formatInstant(at),
    fired_at: formatInstant(firedAt),
    lag_ms: Math.max(0, firedAt - at - jitter),
    job,
    ...(state === undefined ? {} : { state }),
    ...told,
  };
}
