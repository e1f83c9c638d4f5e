import type { JobId } from "../../lib/ids.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";
import type { JobState } from "../types.ts";
import { leftStopped } from "./stopped.ts";
import { scheduleTie, type StoredJob } from "./job.ts";

/**
 * What a job waits for, beside nodes with room. The job's row says in one column what is shut, so that a plain job costs nothing; the rest is a row
 * of job_gate for as long as the job is unfinished.
 */

/** Bits of `job.gate`. */
export const shut = {
  /** By a person. */
  held: 1,
  startAt: 2,
  after: 4,
  key: 8,
  /** Its next batch is put off until an instant. */
  pause: 16,
  /** Its next batch waits for a person. */
  approval: 32,
} as const;

/** Bits of `job.ties`. */
export const tied = {
  /** It has a row in job_gate. */
  gate: 1,
  /** Others wait for its end: rows in job_after. */
  children: 2,
  /** It has several batches. */
  batches: 4,
  /** A schedule made it: a row in schedule_open. */
  schedule: scheduleTie,
} as const;

/** How far a job with a key is from having it. */
export const turn = { waitsForOthers: 0, isNext: 1, has: 2 } as const;

/** A job's row of job_gate. */
export interface StoredGate {
  readonly job: JobId;
  /** Epoch ms; null: it is reached, or there is none. */
  readonly start_at: number | null;
  /** Epoch ms; null: it has passed, or there is none. */
  readonly deadline_at: number | null;
  /** Jobs that it waits for and that have not ended as they are to. */
  readonly after_left: number;
  readonly key: string | null;
  readonly turn: number;
  /** Of a job with batches: its tasks before this one may begin; null: all of them. */
  readonly batch_end: number | null;
  /** How many of its tasks had succeeded when the batch began. */
  readonly batch_succeeded: number | null;
  /** Epoch ms; null: no batch is put off. */
  readonly pause_until: number | null;
}

const insert = change(
  "job_gate.add",
  "insert into job_gate (job, start_at, deadline_at, after_left, key) values (?, ?, ?, ?, ?)",
);
const select = sql(
  "select job, start_at, deadline_at, after_left, key, turn, batch_end, batch_succeeded, pause_until from job_gate where job = ?",
);
const remove = change("job_gate.remove", "delete from job_gate where job = ?");

/** A job that was just added, in nobody's way yet. */
export function insertGate(
  tx: Tx,
  gate: Pick<StoredGate, "job" | "start_at" | "deadline_at" | "after_left" | "key">,
): void {
  tx.run(insert, gate.job, gate.start_at, gate.deadline_at, gate.after_left, gate.key);
}

/** undefined: it is finished, or waits and waited for nothing. */
export function gateOf(tx: ReadTx, job: number): StoredGate | undefined {
  return tx.get<StoredGate>(select, job);
}

/** The job has ended. */
export function removeGate(tx: Tx, job: number): void {
  tx.run(remove, job);
}

const setBits = change("job.gate", "update job set gate = ?, ties = ? where id = ?");

/** Writes both columns of the job's row, which JobBook leaves alone; 0 is null. */
export function writeBits(tx: Tx, job: StoredJob, gate: number, ties: number): void {
  job.gate = gate === 0 ? null : gate;
  job.ties = ties === 0 ? null : ties;
  tx.run(setBits, job.gate, job.ties, job.id);
}

const setAfterLeft = change("job_gate.after-left", "update job_gate set after_left = ? where job = ?");
const clearStart = change("job_gate.started", "update job_gate set start_at = null where job = ?");
const clearDeadline = change("job_gate.overdue", "update job_gate set deadline_at = null where job = ?");
const setTurn = change("job_gate.turn", "update job_gate set turn = ? where job = ?");

/** So many of those that it waits for are left. */
export function writeAfterLeft(tx: Tx, job: number, left: number): void {
  tx.run(setAfterLeft, left, job);
}

/** Its instant has come. */
export function startReached(tx: Tx, job: number): void {
  tx.run(clearStart, job);
}

/** Its deadline has been dealt with. */
export function deadlinePassed(tx: Tx, job: number): void {
  tx.run(clearDeadline, job);
}

/** One of {@link turn}. */
export function writeTurn(tx: Tx, job: number, now: number): void {
  tx.run(setTurn, now, job);
}

// ------------------------------------------------------------------------------------------------- batches

const setBatch = change("job_gate.batch", "update job_gate set batch_end = ?, batch_succeeded = ? where job = ?");
const setPause = change("job_gate.pause", "update job_gate set pause_until = ? where job = ?");

/** Its tasks before `end` may begin. `succeeded`: how many have by now. */
export function writeBatch(tx: Tx, job: number, end: number, succeeded: number): void {
  tx.run(setBatch, end, succeeded, job);
}

/** Its next batch is put off until then, epoch ms; null: no longer. */
export function writePause(tx: Tx, job: number, until: number | null): void {
  tx.run(setPause, until, job);
}

/** The first task of the job that may not begin yet; all of them may where there are no batches, which costs nothing to find out. */
export function batchEndOf(tx: ReadTx, { id, tasks, ties }: Pick<StoredJob, "id" | "tasks" | "ties">): number {
  return ((ties ?? 0) & tied.batches) === 0 ? tasks : (gateOf(tx, id)?.batch_end ?? tasks);
}

// ---------------------------------------------------------------------------------------------------- keys

const ofKey = sql("select job from job_gate where key = ? and turn = ? and job >= ? order by job limit 1");
const ofKeyBefore = sql("select job from job_gate where key = ? and turn = ? and job < ? order by job limit ?");

/** The job that has the key: at most one. */
export function holderOf(tx: ReadTx, key: string): JobId | undefined {
  return tx.get<{ job: JobId }>(ofKey, key, turn.has, 0)?.job;
}

/** The oldest job from `first` on that waits for nothing but the key. */
export function nextOf(tx: ReadTx, key: string, first: number): JobId | undefined {
  return tx.get<{ job: JobId }>(ofKey, key, turn.isNext, first)?.job;
}

/** An unfinished job of the key: the one that has it, or the first one that waits. */
export function unfinishedOf(tx: ReadTx, key: string): JobId | undefined {
  const waiting = (now: number): JobId | undefined => tx.get<{ job: JobId }>(ofKey, key, now, 0)?.job;
  return holderOf(tx, key) ?? waiting(turn.isNext) ?? waiting(turn.waitsForOthers);
}

/** Jobs before `before` that are without the key and want it, at most `limit`: those that were next first. */
export function waitingBefore(tx: ReadTx, key: string, before: number, limit: number): JobId[] {
  const jobs: JobId[] = [];
  for (const now of [turn.isNext, turn.waitsForOthers]) {
    if (jobs.length >= limit) break;
    for (const { job } of tx.all<{ job: JobId }>(ofKeyBefore, key, now, before, limit - jobs.length)) jobs.push(job);
  }
  return jobs;
}

const insertReplace = change("job_replace.set", "insert or replace into job_replace (key, before) values (?, ?)");
const selectReplace = sql("select before from job_replace where key = ?");
const firstReplace = sql("select key, before from job_replace order by key limit 1");
const removeReplace = change("job_replace.remove", "delete from job_replace where key = ?");

/** Jobs of the key before this one are still to be cancelled, and get it no more; 0: there are none. */
export function replacedBefore(tx: ReadTx, key: string): number {
  return tx.get<{ before: number }>(selectReplace, key)?.before ?? 0;
}

/** Leaves it to later commands to cancel them. */
export function leaveReplace(tx: Tx, key: string, before: number): void {
  tx.run(insertReplace, key, before);
}

/** All of them are cancelled. */
export function replaceDone(tx: Tx, key: string): void {
  tx.run(removeReplace, key);
}

/** What was left to later commands; undefined: nothing. */
export function leftReplace(tx: ReadTx): { readonly key: string; readonly before: number } | undefined {
  return tx.get(firstReplace);
}

// --------------------------------------------------------------------------------------------------- after

/** How a parent is to end. */
export type Condition = "succeeded" | "failed" | "done";

const insertChild = change("job_after.add", "insert into job_after (parent, child, condition) values (?, ?, ?)");
const selectChildren = sql("select child, condition from job_after where parent = ? order by child limit ?");
const removeChildren = change("job_after.told", "delete from job_after where parent = ? and child <= ?");

/** `child` waits for the end of `parent`, which knows it by {@link tied}.children. */
export function insertAfter(tx: Tx, parent: number, child: number, condition: Condition): void {
  tx.run(insertChild, parent, child, condition);
}

/** Those that were not told yet, by id. */
export function childrenOf(
  tx: ReadTx,
  parent: number,
  limit: number,
): { readonly child: JobId; readonly condition: Condition }[] {
  return tx.all(selectChildren, parent, limit);
}

/** The children up to this one were told. */
export function toldUpTo(tx: Tx, parent: number, child: number): void {
  tx.run(removeChildren, parent, child);
}

const insertRelease = change("job_release.set", "insert or replace into job_release (parent, state) values (?, ?)");
const firstRelease = sql("select parent, state from job_release order by parent limit 1");
const removeRelease = change("job_release.remove", "delete from job_release where parent = ?");

/** An ended job, and how it ended: kept here, since the job itself may be forgotten before its last child was told. */
export interface Ended {
  readonly parent: number;
  readonly state: JobState;
}

/** Leaves it to later commands to tell its children. */
export function leaveRelease(tx: Tx, { parent, state }: Ended): void {
  tx.run(insertRelease, parent, state);
}

/** All of its children were told. */
export function releaseDone(tx: Tx, parent: number): void {
  tx.run(removeRelease, parent);
}

/** What was left to later commands; undefined: nothing. */
export function leftRelease(tx: ReadTx): Ended | undefined {
  return tx.get<Ended>(firstRelease);
}

/** An earlier command left something to be done. */
export function isSomethingLeft(tx: ReadTx): boolean {
  return leftRelease(tx) !== undefined || leftReplace(tx) !== undefined || leftStopped(tx) !== undefined;
}

// ---------------------------------------------------------------------------------------------------- time

const dueStarts = sql("select job from job_gate where start_at <= ? order by start_at, job limit ?");
const dueDeadlines = sql("select job from job_gate where deadline_at <= ? order by deadline_at, job limit ?");
const firstStart = sql("select min(start_at) as at from job_gate where start_at is not null");
const firstDeadline = sql("select min(deadline_at) as at from job_gate where deadline_at is not null");
const duePauses = sql("select job from job_gate where pause_until <= ? order by pause_until, job limit ?");
const firstPause = sql("select min(pause_until) as at from job_gate where pause_until is not null");

/** Jobs whose start_at has come at `now` (epoch ms), the longest due first. */
export function startsDue(tx: ReadTx, now: number, limit: number): JobId[] {
  return tx.all<{ job: JobId }>(dueStarts, now, limit).map((row) => row.job);
}

/** Jobs whose next batch was put off until `now` (epoch ms) or earlier, the longest due first. */
export function pausesDue(tx: ReadTx, now: number, limit: number): JobId[] {
  return tx.all<{ job: JobId }>(duePauses, now, limit).map((row) => row.job);
}

/** Jobs whose deadline has passed at `now` (epoch ms), the longest over first. */
export function deadlinesDue(tx: ReadTx, now: number, limit: number): JobId[] {
  return tx.all<{ job: JobId }>(dueDeadlines, now, limit).map((row) => row.job);
}

const hasten = change(
  "job_gate.hasten",
  "update job_gate set deadline_at = max(1, deadline_at - ?) where deadline_at is not null",
);

const hastenPause = change(
  "job_gate.hasten-pause",
  "update job_gate set pause_until = max(1, pause_until - ?) where pause_until is not null",
);

/** Deadlines pass so much earlier, and pauses: they were counted on a clock that went back. What people wrote as an instant stays one. */
export function hastenDeadlines(tx: Tx, ms: number): void {
  tx.run(hasten, ms);
  tx.run(hastenPause, ms);
}

/** The earliest instant that some job waits for, epoch ms; undefined: none does. */
export function nextInstant(tx: ReadTx): number | undefined {
  const start = tx.get<{ at: number | null }>(firstStart)?.at ?? Infinity;
  const deadline = tx.get<{ at: number | null }>(firstDeadline)?.at ?? Infinity;
  const pause = tx.get<{ at: number | null }>(firstPause)?.at ?? Infinity;
  const first = Math.min(start, deadline, pause);
  return first === Infinity ? undefined : first;
}
