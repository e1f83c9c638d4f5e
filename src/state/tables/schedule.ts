import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/** A schedule as it is kept. What it says is in `definition` (schedules.ts); the rest is how far it has come. */
export interface StoredSchedule {
  readonly id: number;
  readonly name: string;
  /** Index of the entry that changed it last, by a person's wish: a step that was worked out for another one is refused (C1). */
  readonly revision: number;
  /** {@link Definition} as JSON. */
  readonly definition: string;
  /** What held before, for instants that are not dealt with yet ({@link FormerRules}[] as JSON, oldest first); null: nothing. */
  readonly former: string | null;
  /** 1: by itself; the whole mesh may be paused beside (schedule-scope.ts). */
  readonly paused: number;
  /** Epoch ms: every instant up to it is dealt with (C1). */
  readonly watermark: number;
  /** Epoch ms: when it is looked at next; null: it has ended. */
  readonly check_at: number | null;
  /** Jobs of its instants since it was set, which `limit` counts; not those that were fired by hand. */
  readonly runs: number;
  /** Rows of its history that were ever written: the number of the next one. */
  readonly fires: number;
  /** Of the newest instant that made a job, or was refused one: the instant, null: none yet; and the job, null: it was refused. */
  readonly fired_at: number | null;
  readonly job: number | null;
  /** How the job that ended last ended, and how many in a row ended badly or were refused. */
  readonly last_state: string | null;
  readonly failing: number;
  /** Epoch ms. */
  readonly set_at: number;
  readonly set_by: string;
}

const columns =
  "id, name, revision, definition, former, paused, watermark, check_at, runs, fires, fired_at, job, last_state, failing, set_at, set_by";
const select = sql(`select ${columns} from schedule where id = ?`);
const selectNamed = sql(`select ${columns} from schedule where name = ?`);
const selectAfter = sql(`select ${columns} from schedule where name > ? order by name limit ?`);
// Two statements: one for both would go through all that are due at one instant from their beginning for each page.
const selectTied = sql("select id, check_at from schedule where check_at = ? and id > ? order by id limit ?");
const selectDue = sql(
  "select id, check_at from schedule where check_at > ? and check_at <= ? order by check_at, id limit ?",
);
const selectNext = sql("select min(check_at) as at from schedule where check_at > ?");
const selectIds = sql("select id from schedule where id > ? order by id limit ?");
const selectUsing = sql(
  "select schedule.name from schedule_calendar join schedule on id = schedule where calendar = ? order by schedule.name limit ?",
);

/** undefined: there is none of that id. */
export function scheduleById(tx: ReadTx, id: number): StoredSchedule | undefined {
  return tx.get<StoredSchedule>(select, id);
}

/** undefined: there is none of that name. */
export function scheduleByName(tx: ReadTx, name: string): StoredSchedule | undefined {
  return tx.get<StoredSchedule>(selectNamed, name);
}

/** By name, those after `after`. */
export function schedulesAfter(tx: ReadTx, after: string, rows: number): StoredSchedule[] {
  return tx.all<StoredSchedule>(selectAfter, after, rows);
}

/** When and which one is to be looked at. */
export interface DueSchedule {
  readonly id: number;
  readonly check_at: number;
}

/** Those to be looked at by then, in that order, behind one that was given before. */
export function dueSchedules(tx: ReadTx, by: number, after: DueSchedule, rows: number): DueSchedule[] {
  const tied = after.check_at > by ? [] : tx.all<DueSchedule>(selectTied, after.check_at, after.id, rows);
  if (tied.length >= rows) return tied;
  return [...tied, ...tx.all<DueSchedule>(selectDue, after.check_at, by, rows - tied.length)];
}

/** When the first one after that instant is to be looked at; undefined: none is. */
export function nextCheck(tx: ReadTx, after: number): number | undefined {
  return tx.get<{ at: number | null }>(selectNext, after)?.at ?? undefined;
}

/** Ids after `after`, ascending. */
export function scheduleIds(tx: ReadTx, after: number, rows: number): number[] {
  return tx.all<{ id: number }>(selectIds, after, rows).map(({ id }) => id);
}

/** Names of schedules that go by the calendar, some of them. */
export function schedulesUsing(tx: ReadTx, calendar: string, most: number): string[] {
  return tx.all<{ name: string }>(selectUsing, calendar, most).map(({ name }) => name);
}

const write = change(
  "schedule.set",
  `insert or replace into schedule (${columns}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
);
const step = change(
  "schedule.step",
  "update schedule set former = ?, watermark = ?, check_at = ?, runs = ?, fires = ?, fired_at = ?, job = ? where id = ?",
);
const ended = change("schedule.ended", "update schedule set last_state = ?, failing = ? where id = ?");
const refused = change("schedule.refused", "update schedule set failing = failing + ? where id = ?");
const remove = change("schedule.remove", "delete from schedule where id = ?");
const addCalendar = change(
  "schedule_calendar.add",
  "insert or replace into schedule_calendar (calendar, schedule) values (?, ?)",
);
const dropCalendar = change(
  "schedule_calendar.remove",
  "delete from schedule_calendar where calendar = ? and schedule = ?",
);

/** A new one, or what a person has changed about one. */
export function writeSchedule(tx: Tx, row: StoredSchedule): void {
  const { id, name, revision, definition, former, paused, watermark, check_at: checkAt, runs, fires } = row;
  const { fired_at: firedAt, job, last_state: lastState, failing, set_at: setAt, set_by: setBy } = row;
  const known = [id, name, revision, definition, former, paused, watermark, checkAt, runs, fires];
  tx.run(write, ...known, firedAt, job, lastState, failing, setAt, setBy);
}

/** How far it has come. */
export function writeStep(
  tx: Tx,
  id: number,
  to: Pick<StoredSchedule, "former" | "watermark" | "check_at" | "runs" | "fires" | "fired_at" | "job">,
): void {
  tx.run(step, to.former, to.watermark, to.check_at, to.runs, to.fires, to.fired_at, to.job, id);
}

/** A job of it ended. */
export function writeLastState(tx: Tx, id: number, state: string, failing: number): void {
  tx.run(ended, state, failing, id);
}

/** So many instants more were to make jobs, which could not be made. */
export function addFailing(tx: Tx, id: number, instants: number): void {
  tx.run(refused, instants, id);
}

/** It goes by these calendars now, and went by those before. */
export function writeCalendarsOf(tx: Tx, id: number, before: readonly string[], now: readonly string[]): void {
  for (const calendar of before) if (!now.includes(calendar)) tx.run(dropCalendar, calendar, id);
  for (const calendar of now) if (!before.includes(calendar)) tx.run(addCalendar, calendar, id);
}

/** The row alone; its history goes by {@link leaveFires} of schedule-fire.ts. */
export function removeSchedule(tx: Tx, id: number): void {
  tx.run(remove, id);
}
