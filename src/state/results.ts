import { limits } from "../lib/limits.ts";
import { pointsOf, taskAt } from "./points.ts";
import { isIn, type Page, viewOfTask } from "./queries.ts";
import { readSpec } from "./spec.ts";
import { changesOf, hasChanges } from "./tables/fact.ts";
import { jobById, type StoredJob } from "./tables/job.ts";
import { jobScan, scanJobs } from "./tables/job-scan.ts";
import { jobsOfTargets, placesOfTarget } from "./tables/target.ts";
import { mayHaveTargets } from "./targets.ts";
import { type ReadTx, sql } from "./tx.ts";
import type { AskedState, ResultView, Spec } from "./types.ts";

/**
 * What was run where, over all jobs: newest jobs first, and their tasks in order. Asked for targets, only jobs that are about one of them are looked at: those of the lists that
 * hold its name (tables/target.ts), and those with a task for each node. Without, and without a job, all jobs that are about targets are.
 */
export interface ResultFilter {
  /** Names. */
  readonly targets?: readonly string[] | undefined;
  readonly job?: number | undefined;
  readonly state?: AskedState | undefined;
  /** A label that its job has. */
  readonly label?: readonly [key: string, value: string] | undefined;
  /** Epoch ms: submitted at or after, and at or before. */
  readonly since?: number | undefined;
  readonly until?: number | undefined;
  readonly limit: number;
  readonly next?: string | undefined;
}

/** A page may hold fewer than `limit` and still have a `next`. */
export function listResults(tx: ReadTx, filter: ResultFilter): Page<ResultView> {
  const cursor = readPlace(filter.next);
  const limit = Math.min(filter.limit, limits.listMax);
  const wanted = filter.targets === undefined ? undefined : wantedOf(tx, filter.targets);
  const items: ResultView[] = [];
  let [looked, bytes] = [0, 0];
  for (const job of candidates(tx, filter, wanted, cursor.job)) {
    if (typeof job === "number") return { items, next: writePlace(job, 0) };
    if (filter.since !== undefined && job.submitted_at < filter.since) break; // ids and times of submission grow together
    if (looked >= limits.resultsLooked) return { items, next: writePlace(job.id, 0) };
    looked += 1;
    if (filter.until !== undefined && job.submitted_at > filter.until) continue;
    const spec = readSpec(job.spec);
    if (filter.label !== undefined && spec.labels?.[filter.label[0]] !== filter.label[1]) continue;
    const pointOf = pointsOf(tx, job);
    const isOther = mayHaveTargets(job.spec) && hasChanges(tx, job.id);
    for (const task of tasksOf(tx, job, spec, wanted, job.id === cursor.job ? cursor.task : 0)) {
      if (items.length === limit || bytes >= limits.pageBytes || looked >= limits.resultsLooked)
        return { items, next: writePlace(job.id, task) };
      looked += 1;
      const view = viewOfTask(tx, job, task, pointOf(task));
      if (!isIn(view, filter.state)) continue;
      const changed = isOther && view.target !== undefined ? changesOf(tx, job.id, view.target) : undefined;
      items.push({ ...view, name: job.name, ...(changed === undefined ? {} : { facts_changed: changed }) });
      bytes += view.tail.length;
    }
  }
  return { items };
}

/** Where the names are, by list, and the names themselves: of nodes. */
interface Wanted {
  readonly names: readonly string[];
  readonly places: ReadonlyMap<string, readonly number[]>;
}

function wantedOf(tx: ReadTx, names: readonly string[]): Wanted {
  const places = new Map<string, number[]>();
  for (const name of names)
    for (const { list, position } of placesOfTarget(tx, name)) {
      const known = places.get(list);
      if (known === undefined) places.set(list, [position]);
      else known.push(position);
    }
  return { names, places };
}

/** Jobs from `from` down. A number: so many were looked through, and it goes on there. */
function* candidates(
  tx: ReadTx,
  filter: ResultFilter,
  wanted: Wanted | undefined,
  from: number,
): Generator<StoredJob | number, void, undefined> {
  if (filter.job !== undefined) {
    const job = filter.job > from ? undefined : jobById(tx, filter.job);
    if (job !== undefined) yield job;
  } else if (wanted === undefined) yield* jobsAboutTargets(tx, from);
  else yield* jobsAbout(tx, wanted, from);
}

const newestJobs = jobScan("id <= ?", "id desc");
const jobsAtOnce = 200;

function* jobsAboutTargets(tx: ReadTx, from: number): Generator<StoredJob | number, void, undefined> {
  let [last, bytesLooked, jobsLooked] = [from, 0, 0];
  while (bytesLooked < limits.scanBytes && jobsLooked < limits.resultJobsLooked) {
    const { rows, bytes, isLast } = scanJobs(tx, newestJobs, [last], jobsAtOnce);
    for (const row of rows) if (isAboutTargets(row)) yield row;
    if (isLast) return;
    last = rows.at(-1)!.id - 1;
    bytesLooked += bytes;
    jobsLooked += rows.length;
  }
  yield last;
}

function isAboutTargets({ spec: text }: StoredJob): boolean {
  if (!mayHaveTargets(text)) return false;
  const { targets, eachNode } = readSpec(text);
  return targets !== undefined || eachNode === true;
}

const jobsOfNode = sql(
  "select distinct job from task where target is not null and target = ? and job < ? order by job desc limit ?",
);

/** Some of each list, and of each node: of all those the newest are certainly the newest of all. */
function* jobsAbout(tx: ReadTx, { names, places }: Wanted, from: number): Generator<StoredJob, void, undefined> {
  for (let before = from + 1; ;) {
    const ids = new Set<number>();
    for (const list of places.keys()) for (const id of jobsOfTargets(tx, list, before, jobsAtOnce)) ids.add(id);
    for (const name of names)
      for (const { job } of tx.all<{ job: number }>(jobsOfNode, name, before, jobsAtOnce)) ids.add(job);
    const newest = [...ids].sort((a, b) => b - a).slice(0, jobsAtOnce);
    for (const id of newest) {
      const job = jobById(tx, id);
      if (job !== undefined) yield job;
    }
    if (newest.length < jobsAtOnce) return;
    before = newest.at(-1)!;
  }
}

const pinnedTask = sql("select task from task where target is not null and target = ? and job = ?");

/** The numbers of a job's tasks from one on; those that are about the names where some are asked for. */
function* tasksOf(
  tx: ReadTx,
  job: StoredJob,
  spec: Spec,
  wanted: Wanted | undefined,
  from: number,
): Generator<number, void, undefined> {
  if (wanted === undefined) {
    for (let task = from; task < job.tasks; task++) yield task;
    return;
  }
  const found: number[] = [];
  if (spec.targets === undefined) {
    for (const name of wanted.names) {
      const row = tx.get<{ task: number }>(pinnedTask, name, job.id);
      if (row !== undefined) found.push(row.task);
    }
  } else {
    for (const place of wanted.places.get(spec.targets.list) ?? []) {
      const task = taskAt(tx, job, spec.targets, place);
      if (task !== undefined) found.push(task);
    }
  }
  yield* found.sort((a, b) => a - b).filter((task) => task >= from);
}

function writePlace(job: number, task: number): string {
  return `${job.toString(36)}.${task.toString(36)}`;
}

const place = /^([0-9a-z]{1,10})\.([0-9a-z]{1,10})$/;

/** It is what a page gives as its `next`. */
export function isResultsPlace(text: string): boolean {
  return place.test(text);
}

function readPlace(text: string | undefined): { readonly job: number; readonly task: number } {
  const [, job, task] = place.exec(text ?? "") ?? [];
  if (job === undefined || task === undefined) return { job: Number.MAX_SAFE_INTEGER - 1, task: 0 };
  return { job: Number.parseInt(job, 36), task: Number.parseInt(task, 36) };
}
