import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/** What concerns all schedules together: kept in one row, which is there once anything was said. */
export interface ScheduleScope {
  /** Index of the entry that last changed what steps are worked out by: a pause of all, a calendar. A step of before is refused (C1). */
  readonly scope: number;
  /** The id of the next new one. */
  readonly next: number;
  /** Since when all are paused, epoch ms; null: they are not. */
  readonly pausedAt: number | null;
  /** Pauses of all that are over, (from, to], oldest first: an instant of one is not made up when it is looked at later. */
  readonly pauses: readonly (readonly [from: number, to: number])[];
}

interface Row {
  readonly scope: number;
  readonly next_schedule: number;
  readonly paused_at: number | null;
  readonly pauses: string;
}

const select = sql("select scope, next_schedule, paused_at, pauses from schedule_scope");
const none: ScheduleScope = { scope: 0, next: 1, pausedAt: null, pauses: [] };

/** As it stands. */
export function scheduleScope(tx: ReadTx): ScheduleScope {
  const row = tx.get<Row>(select);
  if (row === undefined) return none;
  const { scope, next_schedule: next, paused_at: pausedAt, pauses } = row;
  return { scope, next, pausedAt, pauses: JSON.parse(pauses) as ScheduleScope["pauses"] };
}

const write = change(
  "schedule_scope.set",
  "insert or replace into schedule_scope (id, scope, next_schedule, paused_at, pauses) values (1, ?, ?, ?, ?)",
);

/** What has changed of it. */
export function writeScope(tx: Tx, { scope, next, pausedAt, pauses }: ScheduleScope): void {
  tx.run(write, scope, next, pausedAt, JSON.stringify(pauses));
}

/** Entry `index` changed what steps are worked out by: those of before count no more. */
export function moveScope(tx: Tx, index: number): void {
  writeScope(tx, { ...scheduleScope(tx), scope: index });
}

/** The id of a new schedule, never given twice. */
export function takeScheduleId(tx: Tx): number {
  const scope = scheduleScope(tx);
  writeScope(tx, { ...scope, next: scope.next + 1 });
  return scope.next;
}
