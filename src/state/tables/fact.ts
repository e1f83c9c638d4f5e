import type { Facts } from "../../lib/facts.ts";
import { limits } from "../../lib/limits.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/** Names of facts that are other than they were: what each was, and what it is; null: it was not there. */
export type FactChanges = Readonly<Record<string, readonly [was: string | null, is: string | null]>>;

/**
 * What is known of targets, and jobs that ask them and of which not all is kept yet (facts.ts). "changed" says what was other the time before, as JSON. Of
 * more targets than are kept those go that were asked the longest ago. What a job has found to be other than before it is kept beside, by job and target, until the job is forgotten: the
 * next one that asks the target takes only the place of the former's facts.
 */
export interface StoredFacts {
  readonly target: string;
  /** Epoch ms. */
  readonly at: number;
  readonly job: number;
  readonly facts: string;
  readonly changed: string;
}

const columns = "target, at, job, facts, changed";
const select = sql(`select ${columns} from fact where target = ?`);
const selectAfter = sql(`select ${columns} from fact where target > ? order by target limit ?`);
const countAll = sql("select count(*) as targets from fact");
const selectSame = sql("select target from fact where json_extract(facts, ?) = ? order by target limit ?");
const selectOther = sql("select target from fact where json_extract(facts, ?) <> ? order by target limit ?");

/** undefined: nothing is known of it. */
export function factsOfTarget(tx: ReadTx, target: string): StoredFacts | undefined {
  return tx.get<StoredFacts>(select, target);
}

/** By name, those after `after`. */
export function factsAfter(tx: ReadTx, after: string, rows: number): StoredFacts[] {
  return tx.all<StoredFacts>(selectAfter, after, rows);
}

/** Targets of which the fact is this, or is there and another one. */
export function targetsByFact(tx: ReadTx, name: string, isSame: boolean, value: string): string[] {
  if (!/^[a-z][a-z0-9_]*$/.test(name)) return [];
  const rows = tx.all<{ target: string }>(isSame ? selectSame : selectOther, `$.${name}`, value, limits.factTargets);
  return rows.map(({ target }) => target);
}

const write = change("fact.set", `insert or replace into fact (${columns}) values (?, ?, ?, ?, ?)`);
const evict = change(
  "fact.evict",
  "delete from fact where target in (select target from fact order by at, target limit ?)",
);

/** Which job has asked a target, and when (epoch ms). */
interface Asked {
  readonly job: number;
  readonly at: number;
  /** It is gone, and nothing is kept with it. */
  readonly isGone: boolean;
}

/** What a target has said, all that there is: what is other about it is kept beside. */
export function writeFacts(tx: Tx, target: string, facts: Facts, asked: Asked): void {
  const row = factsOfTarget(tx, target);
  const before = row === undefined ? undefined : (JSON.parse(row.facts) as Facts);
  const changed: Record<string, readonly [string | null, string | null]> = {};
  if (before !== undefined)
    for (const name of new Set([...Object.keys(before), ...Object.keys(facts)]))
      if (before[name] !== facts[name]) changed[name] = [before[name] ?? null, facts[name] ?? null];
  keep(tx, target, facts, changed, asked);
}

/** Something of what a target is: the rest stays as it was, and what was not known before is no change. True: nothing was known of it. */
export function addFacts(tx: Tx, target: string, facts: Facts, asked: Asked): boolean {
  const row = factsOfTarget(tx, target);
  const before = row === undefined ? {} : (JSON.parse(row.facts) as Facts);
  const others = Object.entries(facts).filter(([name, is]) => before[name] !== undefined && before[name] !== is);
  const all = Object.entries({ ...before, ...facts }).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const changed = Object.fromEntries(others.map(([name, is]) => [name, [before[name]!, is] as const]));
  keep(tx, target, Object.fromEntries(all), changed, asked);
  return row === undefined;
}

function keep(tx: Tx, target: string, facts: Facts, changed: FactChanges, { job, at, isGone }: Asked): void {
  tx.run(write, target, at, job, JSON.stringify(facts), JSON.stringify(changed));
  if (Object.keys(changed).length > 0 && !isGone) keepChanges(tx, job, target, changed);
}

const selectChanges = sql("select changed from fact_change where job = ? and target = ?");
const selectAnyChange = sql("select 1 from fact_change where job = ? limit 1");
const setChanges = change(
  "fact_change.set",
  "insert or replace into fact_change (job, target, changed) values (?, ?, ?)",
);
const removeChanges = change("fact_change.remove-of-job", "delete from fact_change where job = ?");
const sweepSome = change(
  "fact_change.sweep",
  "delete from fact_change where job = ? and target in (select target from fact_change where job = ? order by target limit ?)",
);

/** A job that has asked a target twice is told of what is other than before the first time. */
function keepChanges(tx: Tx, job: number, target: string, changed: FactChanges): void {
  const all: Record<string, readonly [string | null, string | null]> = { ...changesOf(tx, job, target) };
  for (const [name, [was, is]] of Object.entries(changed)) {
    const first = all[name]?.[0];
    if (first === is) delete all[name];
    else all[name] = [first === undefined ? was : first, is];
  }
  tx.run(setChanges, job, target, JSON.stringify(all));
}

/** What a job has found to be other about a target; undefined: nothing, or the job has not asked it. */
export function changesOf(tx: ReadTx, job: number, target: string): FactChanges | undefined {
  const row = tx.get<{ changed: string }>(selectChanges, job, target);
  const changes = row === undefined ? {} : (JSON.parse(row.changed) as FactChanges);
  return Object.keys(changes).length === 0 ? undefined : changes;
}

/** There may be something that {@link changesOf} gives, of some target. */
export function hasChanges(tx: ReadTx, job: number): boolean {
  return tx.get(selectAnyChange, job) !== undefined;
}

/** The job is gone. */
export function removeFactChanges(tx: Tx, job: number): void {
  tx.run(removeChanges, job);
}

/** Removes so many of a job that is gone; gives how many they were. */
export function sweepFactChanges(tx: Tx, job: number, rows: number): number {
  return tx.run(sweepSome, job, job, rows);
}

/** Only so many are kept. */
export function boundFacts(tx: Tx): void {
  const over = (tx.get<{ targets: number }>(countAll)?.targets ?? 0) - limits.factTargets;
  if (over > 0) tx.run(evict, over);
}

/** A job that asks targets; tasks before `next` are done with. */
export interface FactJob {
  readonly job: number;
  readonly next: number;
}

const selectJobs = sql("select job, next from fact_job order by job limit 20");
const addJob = change("fact_job.add", "insert into fact_job (job, next) values (?, 0)");
const moveJob = change("fact_job.move", "update fact_job set next = ? where job = ?");
const dropJob = change("fact_job.remove", "delete from fact_job where job = ?");

/** The oldest ones. */
export function factJobs(tx: ReadTx): FactJob[] {
  return tx.all<FactJob>(selectJobs);
}

const selectJob = sql("select job, next from fact_job where job = ?");

/** Not all of what the job has printed is kept yet. */
export function isGathering(tx: ReadTx, job: number): boolean {
  return tx.get<FactJob>(selectJob, job) !== undefined;
}

/** What it prints is to be kept. */
export function addFactJob(tx: Tx, job: number): void {
  tx.run(addJob, job);
}

/** So far it is done with; null: wholly. */
export function moveFactJob(tx: Tx, job: number, next: number | null): void {
  if (next === null) tx.run(dropJob, job);
  else tx.run(moveJob, next, job);
}
