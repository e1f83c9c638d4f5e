import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/** Why an instant made no job. `refused`: the job could not be made; the message says why. */
export type SkipReason = "missed" | "overlap" | "paused" | "window" | "limit" | "refused";

/** A line of a schedule's history: an instant that made a job, or a run of instants that made none for the same reason. */
export interface StoredFire {
  readonly schedule: number;
  /** Grows by one with each line of the schedule. */
  readonly seq: number;
  /** The instant, or the first one of the run; epoch ms. */
  readonly at: number;
  /** The last one of the run. */
  readonly until: number;
  /** Of how many instants; negative: of that many at least, which were not counted to their end. */
  readonly count: number;
  /** null: it made a job. */
  readonly reason: SkipReason | null;
  /** When that was decided: the entry's time, epoch ms. */
  readonly fired_at: number;
  readonly job: number | null;
  /** How its job ended; null: it has not. */
  readonly state: string | null;
  /** For people. "by NAME" where somebody asked for it. */
  readonly message: string | null;
}

const columns = "schedule, seq, at, until, count, reason, fired_at, job, state, message";
const selectBefore = sql(
  `select ${columns} from schedule_fire where schedule = ? and seq < ? order by seq desc limit ?`,
);
const selectOpen = sql("select job, schedule, seq from schedule_open where job = ?");
const selectOpenOf = sql("select job from schedule_open where schedule = ? order by job limit ?");
const selectWithout = sql(
  `select o.job from (select job from schedule_open where schedule = ? order by job limit ?) o
   left join job_gate g on g.job = o.job where g.key is not ? order by o.job limit ?`,
);
const selectTotals = sql("select what, count from schedule_total order by what");

/** Newest first, those before line `before`. */
export function firesBefore(tx: ReadTx, schedule: number, before: number, rows: number): StoredFire[] {
  return tx.all<StoredFire>(selectBefore, schedule, before, rows);
}

/** Jobs of its fires that have not ended, oldest first, so many at most. */
export function openJobsOf(tx: ReadTx, schedule: number, most: number): number[] {
  return tx.all<{ job: number }>(selectOpenOf, schedule, most).map(({ job }) => job);
}

/** Of the oldest of these jobs, as many as are looked at, those that do not have that key; so many at most. */
export function openJobsWithout(
  tx: ReadTx,
  schedule: number,
  key: string,
  { looked, most }: { readonly looked: number; readonly most: number },
): number[] {
  return tx.all<{ job: number }>(selectWithout, schedule, looked, key, most).map(({ job }) => job);
}

/** How many instants came to what, ever: "fired", and each reason that was given. */
export function scheduleTotals(tx: ReadTx): ReadonlyMap<string, number> {
  return new Map(tx.all<{ what: string; count: number }>(selectTotals).map(({ what, count }) => [what, count]));
}

const insert = change(
  "schedule_fire.add",
  `insert into schedule_fire (${columns}) values (?, ?, ?, ?, ?, ?, ?, ?, null, ?)`,
);
const extend = change(
  "schedule_fire.extend",
  "update schedule_fire set until = ?, count = ? where schedule = ? and seq = ?",
);
const trim = change(
  "schedule_fire.trim",
  "delete from schedule_fire where schedule = ? and seq in (select seq from schedule_fire where schedule = ? and seq < ? order by seq limit ?)",
);
const setState = change("schedule_fire.ended", "update schedule_fire set state = ? where schedule = ? and seq = ?");
const insertOpen = change("schedule_open.add", "insert into schedule_open (job, schedule, seq) values (?, ?, ?)");
const removeOpen = change("schedule_open.remove", "delete from schedule_open where job = ?");
const insertRemains = change("schedule_remains.add", "insert into schedule_remains (schedule) values (?)");
const removeRemains = change("schedule_remains.remove", "delete from schedule_remains where schedule = ?");
const selectRemains = sql("select schedule from schedule_remains order by schedule limit 1");
const count = change(
  "schedule_total.add",
  "insert into schedule_total (what, count) values (?, ?) on conflict (what) do update set count = count + excluded.count",
);

/** A line of the history. Its message is in no hash: other releases may use other words (S1). */
export function insertFire(tx: Tx, fire: Omit<StoredFire, "state">): void {
  const { schedule, seq, at, until, count: instants, reason, fired_at: firedAt, job, message } = fire;
  const values = [schedule, seq, at, until, instants, reason, firedAt, job];
  tx.runAs(insert, values, [...values, message]);
}

/** The run of a line goes on to that instant, and has so many instants now. */
export function extendFire(tx: Tx, { schedule, seq }: StoredFire, until: number, count: number): void {
  tx.run(extend, until, count, schedule, seq);
}

/** Lines before that one are forgotten, the oldest first and so many at most; gives how many they were. */
export function trimFires(tx: Tx, schedule: number, before: number, rows: number): number {
  return tx.run(trim, schedule, schedule, before, rows);
}

/** Its job has been made, and is unfinished. */
export function openFire(tx: Tx, job: number, schedule: number, seq: number): void {
  tx.run(insertOpen, job, schedule, seq);
}

/** The job has ended; gives of which schedule it was, undefined: of one that is gone. */
export function closeFire(tx: Tx, job: number, state: string): number | undefined {
  const open = tx.get<{ schedule: number; seq: number }>(selectOpen, job);
  if (open === undefined) return undefined;
  tx.run(removeOpen, job);
  tx.run(setState, state, open.schedule, open.seq);
  return open.schedule;
}

/** The schedule is gone, and with it its history for whoever asks; the lines go in steps ({@link sweepFires}), and what is known of its unfinished jobs with these. */
export function leaveFires(tx: Tx, schedule: number): void {
  tx.run(insertRemains, schedule);
}

/** A schedule that is gone and whose lines are not; undefined: there is none. */
export function leftFires(tx: ReadTx): number | undefined {
  return tx.get<{ schedule: number }>(selectRemains)?.schedule;
}

/** Removes the next lines of schedules that are gone, at most so many; gives how many they were. */
export function sweepFires(tx: Tx, rows: number): number {
  let left = rows;
  for (let schedule = leftFires(tx); schedule !== undefined && left > 0; schedule = leftFires(tx)) {
    left -= trimFires(tx, schedule, Number.MAX_SAFE_INTEGER, left);
    if (left > 0) tx.run(removeRemains, schedule);
  }
  return rows - left;
}

/** So many more instants came to that. */
export function addTotal(tx: Tx, what: string, instants: number): void {
  tx.run(count, what, instants);
}
