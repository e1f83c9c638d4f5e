import { limits } from "../../lib/limits.ts";
import { changeLoad, heldLoad, readCounter, setCounting } from "./counter.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/**
 * How many unfinished jobs each submitter has, by name, and how many they may have. They are counted only where somebody's number is limited: without any limit nothing is written
 * for a job, and nothing read. When the first limit is set, the jobs that are there are counted in steps, the first one with it and the others by later entries (submitter.count), in the order of
 * their ids; `counter.counting` is the first that is not counted yet (0: all are, null: nobody counts). A job that ends before its turn was never counted in, and one that is added
 * meanwhile is when its turn comes.
 */

/** The name of who has no limit of their own. */
const anySubmitter = "*";

const selectLimit = sql("select jobs from submitter_limit where name = ?");
const selectLimits = sql("select name, jobs from submitter_limit order by name");
const selectAnyLimit = sql("select 1 from submitter_limit limit 1");
const writeLimit = change("submitter_limit.set", "insert or replace into submitter_limit (name, jobs) values (?, ?)");
const removeLimit = change("submitter_limit.remove", "delete from submitter_limit where name = ?");
const forgetLoads = change("submitter_load.forget", "delete from submitter_load");
const selectLoad = sql("select jobs from submitter_load where name = ?");
const selectLoads = sql("select name, jobs from submitter_load order by jobs desc, name limit ?");

/** A submitter's name and a number of jobs. */
export interface NamedJobs {
  readonly name: string;
  readonly jobs: number;
}

/** Limits by name, "*" for everybody without one of their own. */
export function jobLimits(tx: ReadTx): NamedJobs[] {
  return tx.all<NamedJobs>(selectLimits);
}

/** Set for that very name; undefined: none is. */
export function ownJobLimit(tx: ReadTx, name: string): number | undefined {
  return tx.get<{ jobs: number }>(selectLimit, name)?.jobs;
}

/** What holds for a submitter; undefined: no limit. */
export function jobLimitOf(tx: ReadTx, name: string): number | undefined {
  return ownJobLimit(tx, name) ?? ownJobLimit(tx, anySubmitter);
}

/** undefined: there is none any more. */
export function setJobLimit(tx: Tx, name: string, jobs: number | undefined): void {
  if (jobs === undefined) tx.run(removeLimit, name);
  else tx.run(writeLimit, name, jobs);
  const isWanted = tx.get(selectAnyLimit) !== undefined;
  const { counting } = readCounter(tx);
  if (isWanted && counting === null) {
    setCounting(tx, 1);
    countNext(tx, limits.countedJobs); // where there are few jobs, the limit holds from this entry on
  }
  if (!isWanted && counting !== null) {
    setCounting(tx, null);
    tx.run(forgetLoads);
  }
}

/** Unfinished jobs of that submitter, as far as they are counted; in an entry those that it has made so far among them. */
export function loadOf(tx: ReadTx, name: string): number {
  return (tx.get<{ jobs: number }>(selectLoad, name)?.jobs ?? 0) + heldLoad(tx, name);
}

/** Who has most unfinished jobs. */
export function largestLoads(tx: ReadTx, limit: number): NamedJobs[] {
  return tx.all<NamedJobs>(selectLoads, limit);
}

const selectNext = sql(
  `select submitted_by as name, count(*) as jobs, max(id) as last from
   (select id, submitted_by from job where finished_at is null and id >= ? order by id limit ?) group by submitted_by order by submitted_by`,
);

/** Jobs are still to be counted. */
export function isCountingUp(tx: ReadTx): boolean {
  return (readCounter(tx).counting ?? 0) > 0;
}

/** Counts the next jobs, at most so many; gives how many they were. */
export function countNext(tx: Tx, rows: number): number {
  const from = readCounter(tx).counting ?? 0;
  if (from === 0) return 0;
  const found = tx.all<NamedJobs & { readonly last: number }>(selectNext, from, rows);
  let counted = 0;
  let last = from;
  for (const one of found) {
    changeLoad(tx, one.name, one.jobs);
    counted += one.jobs;
    last = Math.max(last, one.last + 1);
  }
  setCounting(tx, counted < rows ? 0 : last);
  return counted;
}
