import { assert } from "../lib/assert.ts";
import { formatInstant } from "../lib/calendar.ts";
import { jobId, type JobId, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { matchesSelector, parseSelector } from "../lib/selector.ts";
import { isUnreachable } from "../lib/unreachable.ts";
import {
  authorities,
  authorityHolders,
  type AuthorityRow,
  type CertificateRow,
  certificates,
  type FormerAuthority,
  formerAuthorities,
} from "./tables/authority.ts";
import { extensionsInUnits, extensionsOn } from "./tables/extension.ts";
import { readCounter } from "./tables/counter.ts";
import { gateOf, shut, tied } from "./tables/gate.ts";
import { idempotencyOf, type IdempotencyRow } from "./tables/idempotency.ts";
import { countFailingSources } from "./tables/bundle-source.ts";
import { countFailing } from "./tables/inventory.ts";
import { countsOf, jobById, originOf, type StoredJob } from "./tables/job.ts";
import { jobScan, scanJobs } from "./tables/job-scan.ts";
import { allNodes, nodeByReference, stateOfNode } from "./tables/node.ts";
import { hasOnlyTask, tailOfOnlyTask } from "./tables/only-task.ts";
import { playbookKey, recapOf } from "./tables/recap.ts";
import { presentTask, presentTasks } from "./tables/running.ts";
import { singlesRunningOn, type StoredTask } from "./tables/task.ts";
import { targetCount } from "./tables/target.ts";
import { type OpenUnit, unitsOn, unitWith } from "./tables/unit.ts";
import { auditBefore, type AuditRow } from "./tables/audit.ts";
import { scheduleTotals } from "./tables/schedule-fire.ts";
import { scheduleScope } from "./tables/schedule-scope.ts";
import { type SecretFacts, secretsAfter } from "./tables/secret.ts";
import { type StoredTemplate, templateByName, templatesAfter } from "./tables/template.ts";
import { jobLimits, largestLoads, loadOf } from "./tables/load.ts";
import { packHolders } from "./tables/pack-copy.ts";
import { anySubmitter, submitters } from "./tables/submitter.ts";
import { tokenById, tokensAfter, type TokenRow } from "./tables/token.ts";
import { isLevelHeld } from "./tables/upgrade.ts";
import { type PointOf, pointsApart, pointsOf, taskAbout } from "./points.ts";
import type { SubmitterView, TemplateView } from "./answers.ts";
import { readSpec } from "./spec.ts";
import { sql, type ReadTx } from "./tx.ts";
import type {
  AskedState,
  Assignment,
  JobState,
  JobView,
  NodeRow,
  Point,
  Spec,
  TaskState,
  TaskView,
  UnitAssignment,
} from "./types.ts";
import { type AttemptRow, jobView, rowlessTaskView, taskView } from "./views.ts";

/**
 * Everything that is read from the state, for the API, the scheduler and the executor. Pure: SQL in, plain objects out.
 * Lists page by an opaque, URL-safe `next`.
 */

export interface ClusterRow {
  readonly cluster: string;
  readonly level: number;
  readonly votersWanted: number;
  readonly createdAt: number;
}

export { boundsOf } from "./tables/bounds.ts";
export { readOutcomes } from "./tables/batch.ts";
export { allBundles, bundleByDigest, bundleHolders, bundlesHeldBy, unusedBundles } from "./tables/bundle.ts";
export { packCopiesHeldBy, packCopiesOf, packHolders } from "./tables/pack-copy.ts";
export { stateOfNode } from "./tables/node.ts";
export { placementOf } from "./tables/placement.ts";
export { type Timing, timingOf } from "./tables/timing.ts";
export type { AuthorityRow, CertificateRow } from "./tables/authority.ts";
export type { TokenRow } from "./tables/token.ts";
export { countSecretsUnder, secretByName, secretsUnder } from "./tables/secret.ts";

export interface JobFilter {
  readonly state?: JobState | undefined;
  readonly name?: string | undefined;
  /** A label selector. */
  readonly label?: string | undefined;
  /** The schedule that made them. */
  readonly schedule?: string | undefined;
  /** Epoch ms: submitted at or after. */
  readonly since?: number | undefined;
  readonly limit: number;
  readonly next?: string | undefined;
}

export interface TaskFilter {
  readonly state?: AskedState | undefined;
  readonly target?: string | undefined;
  readonly limit: number;
  readonly next?: string | undefined;
}

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly next?: string;
}

export interface Totals {
  readonly submitted: number;
  readonly finished: { readonly [State in JobState]?: number };
  readonly jobsUnfinished: number;
  /** Those that are still kept. */
  readonly jobsFinished: number;
  /** Jobs that have failed and were not run again. */
  readonly deadLetters: number;
  /** Inventories whose command gives nothing good. */
  readonly inventoriesFailing: number;
  readonly bundleSourcesFailing: number;
  readonly tasksRunning: number;
  readonly tasksQueued: number;
  readonly schedules: number;
  /** All of them together. */
  readonly schedulesPaused: boolean;
  /** What instants came to, ever: "fired", or why they made no job. */
  readonly instants: Readonly<Record<string, number>>;
}

const selectMeta = sql("select applied, hash from meta");

/** Index of the last entry that the rows contain; 0 at the beginning. */
export function appliedIndex(tx: ReadTx): number {
  return tx.get<{ applied: number }>(selectMeta)?.applied ?? 0;
}

/** The rolling hash at that index: 16 hexadecimal digits, "" at the beginning. */
export function stateHash(tx: ReadTx): string {
  return tx.get<{ hash: string }>(selectMeta)?.hash ?? "";
}

/** The log's clock: the newest entry's, epoch ms, which never goes back. */
export function stateClock(tx: ReadTx): number {
  return readCounter(tx).at;
}

const selectCluster = sql(
  "select cluster, level, voters_wanted as votersWanted, created_at as createdAt from cluster where id = 1",
);

/** undefined: the cluster.create entry has not been applied yet. */
export function clusterRow(tx: ReadTx): ClusterRow | undefined {
  return tx.get<ClusterRow>(selectCluster);
}

/** A person keeps the leader from raising the level. */
export function levelHeld(tx: ReadTx): boolean {
  return isLevelHeld(tx);
}

export interface AuthorityState {
  readonly authorities: readonly AuthorityRow[];
  readonly certificates: readonly CertificateRow[];
  readonly holders: readonly { readonly authority: string; readonly node: NodeId }[];
  /** The oldest first. */
  readonly former: readonly FormerAuthority[];
}

/** Who is believed, or was before, what the members show, and who knows which key. */
export function authorityState(tx: ReadTx): AuthorityState {
  return {
    authorities: authorities(tx),
    certificates: certificates(tx),
    holders: authorityHolders(tx),
    former: formerAuthorities(tx),
  };
}

/** Every member, by id. */
export function listNodes(tx: ReadTx): NodeRow[] {
  return allNodes(tx);
}

/** By id (a number or its digits) or name. */
export function findNode(tx: ReadTx, idOrName: string | number): NodeRow | undefined {
  return nodeByReference(tx, idOrName);
}

/** The id was given to a node that is no member any more. */
export function wasRemoved(tx: ReadTx, node: NodeId): boolean {
  return node < readCounter(tx).next_node && findNode(tx, node) === undefined;
}

/** The largest id that was ever given to a node. */
export function newestNode(tx: ReadTx): number {
  return readCounter(tx).next_node - 1;
}

/** The token's row, revoked and expired ones included: the caller judges it. */
export function findToken(tx: ReadTx, id: string): TokenRow | undefined {
  return tokenById(tx, id);
}

/** undefined: there is none, or it has been forgotten. */
export function findJob(tx: ReadTx, id: number): JobView | undefined {
  const job = jobById(tx, id);
  return job === undefined ? undefined : shown(tx, job);
}

/** The spec of a job as it is stored; undefined: there is no such job. */
export function specOfJob(tx: ReadTx, id: number): Spec | undefined {
  const job = jobById(tx, id);
  return job === undefined ? undefined : readSpec(job.spec);
}

function shown(tx: ReadTx, job: StoredJob): JobView {
  const isTold = job.gate !== null || ((job.ties ?? 0) & tied.batches) !== 0;
  const recap = job.spec.includes(playbookKey) ? recapOf(tx, job.id, countsOf(job)) : undefined;
  return jobView(job, isTold ? gateOf(tx, job.id) : undefined, recap);
}

const selectStates = sql("select id, state from job where id in (select value from json_each(?))");

/** The states of many jobs; unknown ids are left out. */
export function jobStates(tx: ReadTx, ids: readonly number[]): Map<number, JobState> {
  const states = new Map<number, JobState>();
  for (const row of tx.all<{ id: number; state: JobState }>(selectStates, JSON.stringify(ids)))
    states.set(row.id, row.state);
  return states;
}

const newestJobs = jobScan("id < ?", "id desc");
const newestOpenJobs = jobScan("finished_at is null and id < ?", "id desc");

/** Rows read at once, and at most, for one page: a filter that matches little gives short pages with a `next`. */
const scanRows = 1000;
const scanMax = 50_000;

/** Newest first. A page may hold fewer than `limit` jobs and still have a `next`. */
export function listJobs(tx: ReadTx, filter: JobFilter): Page<JobView> {
  const open = filter.state === "queued" || filter.state === "running";
  const scan = open ? newestOpenJobs : newestJobs;
  const terms = filter.label === undefined ? [] : parseSelector(filter.label);
  if (typeof terms === "string") return { items: [] };
  const limit = Math.min(filter.limit, limits.listMax);
  const items: JobView[] = [];
  let before = readCursor(filter.next) ?? Number.MAX_SAFE_INTEGER;
  const isAll = filter.state === undefined && filter.name === undefined && filter.schedule === undefined;
  const plain = isAll && terms.length === 0;
  let shownBytes = 0;
  for (let scanned = 0, scannedBytes = 0; scanned < scanMax && scannedBytes < limits.scanBytes;) {
    const { rows, bytes, isLast } = scanJobs(tx, scan, [before], plain ? limit + 1 : scanRows);
    scanned += rows.length;
    scannedBytes += bytes;
    for (const row of rows) {
      // Ids and times of submission grow together.
      if (filter.since !== undefined && row.submitted_at < filter.since) return { items };
      const isFull = items.length === limit || (items.length > 0 && shownBytes + row.spec.length > limits.pageBytes);
      if (isFull) return { items, next: writeCursor(before) };
      before = row.id;
      if (filter.state !== undefined && row.state !== filter.state) continue;
      if (filter.name !== undefined && row.name !== filter.name) continue;
      if (filter.schedule !== undefined && originOf(row).schedule !== filter.schedule) continue;
      if (terms.length > 0 && !matchesSelector(terms, readSpec(row.spec).labels ?? {})) continue;
      items.push(shown(tx, row));
      shownBytes += row.spec.length;
    }
    if (isLast) return { items };
  }
  return { items, next: writeCursor(before) };
}

export interface TokenFilter {
  readonly kind?: "api" | "join" | undefined;
  /** Revoked, expired and used-up ones too. */
  readonly all: boolean;
  /** Epoch ms: what has expired is judged by it. */
  readonly now: number;
  readonly limit: number;
  readonly next?: string | undefined;
}

/** By id. A page may hold fewer than `limit` tokens and still have a `next`. */
export function listTokens(tx: ReadTx, filter: TokenFilter): Page<TokenRow> {
  const limit = Math.min(filter.limit, limits.listMax);
  const items: TokenRow[] = [];
  let after = filter.next ?? "";
  for (;;) {
    const rows = tokensAfter(tx, after, scanRows);
    for (const row of rows) {
      if (items.length === limit) return { items, next: after };
      after = row.id;
      if (filter.kind !== undefined && row.kind !== filter.kind) continue;
      if (filter.all || tokenState(row, filter.now) === "active") items.push(row);
    }
    if (rows.length < scanRows) return { items };
  }
}

/** Whether a token can still be used, and if not, why. */
export function tokenState(row: TokenRow, now: number): "active" | "revoked" | "expired" | "used" {
  if (row.revoked) return "revoked";
  if (row.expiresAt !== null && row.expiresAt <= now) return "expired";
  return row.uses === 0 ? "used" : "active";
}

/** Who has a weight or a limit of their own, and who has most unfinished jobs; by name. */
export function listSubmitters(tx: ReadTx): SubmitterView[] {
  const weights = new Map(submitters(tx).map(({ name, weight }) => [name, weight]));
  const bounds = new Map(jobLimits(tx).map(({ name, jobs }) => [name, jobs]));
  const loads = largestLoads(tx, limits.loadsShown).map(({ name }) => name);
  const isCounted = readCounter(tx).counting !== null;
  return [...new Set([...weights.keys(), ...bounds.keys(), ...loads])].toSorted().map((name) => ({
    name,
    weight: weights.get(name) ?? weights.get(anySubmitter) ?? 1,
    jobs_max: bounds.get(name) ?? bounds.get(anySubmitter) ?? null,
    jobs: isCounted && name !== anySubmitter ? loadOf(tx, name) : null,
  }));
}

/** undefined: there is none of that name. */
export function findTemplate(tx: ReadTx, name: string): TemplateView | undefined {
  const row = templateByName(tx, name);
  return row === undefined ? undefined : templateView(row);
}

/** By name. */
export function listTemplates(
  tx: ReadTx,
  { limit, next }: { readonly limit: number; readonly next?: string | undefined },
): Page<TemplateView> {
  const rows = templatesAfter(tx, next ?? "", limit + 1);
  const items = rows.slice(0, limit).map(templateView);
  return rows.length > limit ? { items, next: items.at(-1)!.name } : { items };
}

function templateView({ name, revision, description, parameters, spec, set_at, set_by }: StoredTemplate): TemplateView {
  return {
    name,
    revision,
    ...(description === null ? {} : { description }),
    parameters: JSON.parse(parameters) as TemplateView["parameters"],
    spec: JSON.parse(spec) as TemplateView["spec"],
    set_at: formatInstant(set_at),
    set_by,
  };
}

/** What a request under that key was about, and made; undefined: the token has not used it, or it has been forgotten. */
export function jobsUnderKey(
  tx: ReadTx,
  token: string,
  key: string,
): (IdempotencyRow & { readonly template: string | undefined; readonly schedule: string | undefined }) | undefined {
  const row = idempotencyOf(tx, token, key);
  if (row === undefined) return undefined;
  const job = jobById(tx, row.first);
  const { template, schedule } = job === undefined ? {} : originOf(job);
  return { ...row, template, schedule };
}

export interface AuditFilter {
  /** Epoch ms: at or after. */
  readonly since?: number | undefined;
  /** Id of a token, or a name: a token's, or the node's that acted by itself. */
  readonly by?: string | undefined;
  /** A command ("token.revoke"), or what it begins with ("token"). */
  readonly what?: string | undefined;
  readonly limit: number;
  readonly next?: string | undefined;
}

/** Newest first. A page may hold fewer than `limit` rows and still have a `next`. */
export function listAudit(tx: ReadTx, filter: AuditFilter): Page<AuditRow> {
  const limit = Math.min(filter.limit, limits.listMax);
  const items: AuditRow[] = [];
  let before = readCursor(filter.next) ?? Number.MAX_SAFE_INTEGER;
  for (let scanned = 0; scanned < scanMax; scanned += scanRows) {
    const rows = auditBefore(tx, before, scanRows);
    for (const row of rows) {
      // The log's clock never goes back.
      if (filter.since !== undefined && row.at < filter.since) return { items };
      if (items.length === limit) return { items, next: writeCursor(before) };
      before = row.seq;
      if (filter.by !== undefined && row.token !== filter.by && row.name !== filter.by) continue;
      if (filter.what !== undefined && row.command !== filter.what && !row.command.startsWith(`${filter.what}.`))
        continue;
      items.push(row);
    }
    if (rows.length < scanRows) return { items };
  }
  return { items, next: writeCursor(before) };
}

const attemptsOf = sql("select * from attempt where job = ? and task = ? order by attempt");
const tailOf = sql("select tail from task where job = ? and task = ?");

/** undefined: no such job, or the number is not one of its tasks. */
export function findTask(tx: ReadTx, job: number, task: number): TaskView | undefined {
  const parent = jobById(tx, job);
  if (parent === undefined || !Number.isInteger(task) || task < 0 || task >= parent.tasks) return undefined;
  return viewOfTask(tx, parent, task, pointsOf(tx, parent)(task));
}

/** A task that the job has. */
export function viewOfTask(tx: ReadTx, job: StoredJob, task: number, point: Point | undefined): TaskView {
  const row = presentTask(tx, job, task);
  return row === undefined ? rowlessTaskView(job, task, point) : viewOf(tx, job, row, point);
}

function viewOf(tx: ReadTx, job: StoredJob, row: StoredTask, point: Point | undefined): TaskView {
  const attempts = row.attempt > 1 || row.state === "queued" ? tx.all<AttemptRow>(attemptsOf, row.job, row.task) : [];
  const holders = readSpec(job.spec).output?.sync === true ? (node: number) => packHolders(tx, node) : noHolders;
  return taskView(job, row, attempts, row.tail_size === 0 ? null : storedTail(tx, job, row), point, holders);
}

const noHolders = (): readonly number[] => [];

function storedTail(tx: ReadTx, job: StoredJob, { task }: StoredTask): Uint8Array | null {
  if (hasOnlyTask(job)) return tailOfOnlyTask(tx, job.id);
  return tx.get<{ tail: Uint8Array }>(tailOf, job.id, task)?.tail ?? null;
}

/** Tasks that have no row yet are shown as queued. undefined: no such job. */
export function listTasks(tx: ReadTx, job: number, filter: TaskFilter): Page<TaskView> | undefined {
  const parent = jobById(tx, job);
  if (parent === undefined) return undefined;
  const { targets } = readSpec(parent.spec);
  if (filter.target !== undefined && targets !== undefined) {
    const task = taskAbout(tx, parent, targets, filter.target);
    const view = task === undefined ? undefined : findTask(tx, job, task);
    const isShown = view !== undefined && isIn(view, filter.state);
    return { items: isShown ? [view] : [] };
  }
  const limit = Math.min(filter.limit, limits.listMax);
  const items: TaskView[] = [];
  const pointOf = pointsOf(tx, parent);
  let from = readCursor(filter.next) ?? 0;
  if (from < parent.next_task) {
    let scanned = 0;
    let bytes = 0;
    for (const row of presentTasks(tx, parent, from)) {
      const isFull = items.length === limit || (items.length > 0 && bytes + row.tail_size > limits.pageBytes);
      if (isFull || scanned === scanMax) return { items, next: writeCursor(row.task) };
      from = row.task + 1;
      scanned += 1;
      if (!isIn(row, filter.state)) continue;
      if (filter.target !== undefined && row.target !== filter.target) continue;
      items.push(viewOf(tx, parent, row, pointOf(row.task)));
      bytes += row.tail_size;
    }
  }
  const wanted = filter.target === undefined && (filter.state === undefined || filter.state === parent.rest);
  if (!wanted) return { items };
  for (; from < parent.tasks; from++) {
    if (items.length === limit) return { items, next: writeCursor(from) };
    items.push(rowlessTaskView(parent, from, pointOf(from)));
  }
  return { items };
}

/** The task is one of those that are asked for; undefined: all are. */
export function isIn(
  task: { readonly state: TaskState; readonly reason?: string | null },
  asked?: AskedState,
): boolean {
  if (asked === "unreachable") return isUnreachable(task);
  return asked === undefined || task.state === asked;
}

/** The names of that list of targets are here. */
export function knowsTargets(tx: ReadTx, list: string): boolean {
  return targetCount(tx, list) !== undefined;
}

/** The spec of an attempt that this node holds now; undefined: it does not. */
export function heldAttempt(
  tx: ReadTx,
  name: { readonly job: number; readonly task: number; readonly attempt: number },
  node: NodeId,
): Spec | undefined {
  const job = jobById(tx, name.job);
  const row = job === undefined ? undefined : presentTask(tx, job, name.task);
  if (job === undefined || row?.state !== "running" || row.attempt !== name.attempt || row.node !== node)
    return undefined;
  return readSpec(job.spec);
}

/** What a node holds beside units: its running attempts, in order of their fence. */
export function assignmentsOf(tx: ReadTx, node: NodeId): Assignment[] {
  const jobs = new Map<number, JobOfTasks>();
  const extensions = new Map(extensionsOn(tx, node).map((row) => [`${row.job}/${row.task}`, row.ms]));
  return singlesRunningOn(tx, node).map((row) => {
    let job = jobs.get(row.job);
    if (job === undefined) jobs.set(row.job, (job = jobOf(tx, row.job)));
    const assignment = assignmentOf(row, job.spec, job.pointOf);
    const extendedMs = extensions.get(`${row.job}/${row.task}`);
    return extendedMs === undefined ? assignment : { ...assignment, extendedMs };
  });
}

const selectCancelling = sql(
  `select job, task, attempt from
   (select task.job, task.task, task.attempt, task.fence from task join job on job.id = task.job
    where task.state = 'running' and task.node = ? and job.cancelling > 0
    union all select id, 0, 1, only_fence from job where running = 1 and only_node = ? and cancelling > 0)
   order by fence, job, task`,
);

/** Of what a node holds beside units: attempts of jobs that are being cancelled, or are past their deadline. */
export function cancelledOn(tx: ReadTx, node: NodeId): { job: JobId; task: number; attempt: number }[] {
  return tx.all(selectCancelling, node, node);
}

const selectCancelledUnits = sql(
  `select unit.job, unit.first from unit join job on job.id = unit.job
   where unit.running > 0 and unit.node = ? and job.cancelling > 0 order by fence, unit.job, first`,
);

/** The same of units. */
export function cancelledUnitsOn(tx: ReadTx, node: NodeId): { job: JobId; first: number }[] {
  return tx.all(selectCancelledUnits, node);
}

const selectHeld = sql("select id from job where gate & ? and id in (select value from json_each(?))");

/** Those of the jobs of which the node is to begin nothing more: a person holds them, or has drained the node. */
export function unwantedOn(tx: ReadTx, node: NodeId, jobs: readonly JobId[]): Set<JobId> {
  if (stateOfNode(tx, node) === "draining") return new Set(jobs);
  return new Set(tx.all<{ id: JobId }>(selectHeld, shut.held, JSON.stringify(jobs)).map(({ id }) => id));
}

const selectRunningCounts = sql(
  `select node, count(*) as running from (select node from task where state = 'running'
   union all select only_node from job where running = 1 and only_node is not null) group by node
   union all select node, sum(running) from unit where running > 0 group by node`,
);

/** How many attempts each node holds; nodes without any are left out. */
export function runningByNode(tx: ReadTx): Map<number, number> {
  const rows = tx.all<{ node: number; running: number }>(selectRunningCounts);
  const counts = new Map<number, number>();
  for (const { node, running } of rows) counts.set(node, (counts.get(node) ?? 0) + running);
  return counts;
}

/** One attempt, if it is the present one and running. That it may run longer is told after it was given to its node. */
export function findAssignment(tx: ReadTx, job: number, task: number, attempt: number): Assignment | undefined {
  const parent = jobById(tx, job);
  const row = parent === undefined ? undefined : presentTask(tx, parent, task);
  if (parent === undefined || row?.state !== "running" || row.attempt !== attempt) return undefined;
  return assignmentOf(row, readSpec(parent.spec), pointsOf(tx, parent));
}

function assignmentOf(row: StoredTask, spec: Spec, pointOf: PointOf): Assignment {
  const { task, attempt, fence } = row;
  const point = pointOf(task);
  return {
    job: jobId(row.job),
    task,
    attempt,
    fence,
    spec,
    point,
    target: row.target ?? point?.target,
  };
}

/** The units that a node holds, in order of their fences. */
export function unitAssignmentsOf(tx: ReadTx, node: NodeId): UnitAssignment[] {
  const extensions = extensionsInUnits(tx, node);
  return unitsOn(tx, node).map((unit) => {
    const own = extensions.filter(({ job, task }) => job === unit.job && unit.taskAt(task)?.state === "running");
    return { ...unitAssignmentOf(tx, unit), extended: own.map(({ task, ms }): [number, number] => [task, ms]) };
  });
}

/** A unit, if something of it runs. */
export function findUnit(tx: ReadTx, job: number, first: number): UnitAssignment | undefined {
  const unit = unitWith(tx, job, first);
  return unit === undefined || unit.first !== first || unit.row.running === 0 ? undefined : unitAssignmentOf(tx, unit);
}

function unitAssignmentOf(tx: ReadTx, unit: OpenUnit): UnitAssignment {
  const row = jobById(tx, unit.job);
  assert(row !== undefined, `unit of job ${unit.job}, which does not exist`);
  const { first, count, fence, width } = unit.row;
  const spec = readSpec(row.spec);
  const pointOf = pointsApart(tx, row, { first, count });
  return {
    job: unit.job,
    first,
    count,
    width,
    fence,
    spec,
    running: [...unit.runningRanges()],
    extended: [],
    at: (task) => {
      const point = pointOf(task);
      return { job: unit.job, task, attempt: 1, fence, spec, point, target: point?.target };
    },
  };
}

interface JobOfTasks {
  readonly spec: Spec;
  readonly pointOf: PointOf;
}

const selectShape = sql("select id, tasks, spec from job where id = ?");

function jobOf(tx: ReadTx, id: number): JobOfTasks {
  const row = tx.get<Pick<StoredJob, "id" | "tasks" | "spec">>(selectShape, id);
  assert(row !== undefined, `task of job ${id}, which does not exist`);
  return { spec: readSpec(row.spec), pointOf: pointsOf(tx, row) };
}

/** Counters over the whole life of the cluster and present gauges; one row, nothing is counted. */
export function totals(tx: ReadTx): Totals {
  const counter = readCounter(tx);
  const { schedules = 0, ...instants } = Object.fromEntries(scheduleTotals(tx));
  const { succeeded, failed, cancelled, skipped } = counter;
  return {
    submitted: counter.submitted,
    finished: { succeeded, failed, cancelled, skipped },
    jobsUnfinished: counter.jobs_unfinished,
    jobsFinished: counter.jobs_finished,
    deadLetters: counter.dead ?? 0,
    inventoriesFailing: countFailing(tx),
    bundleSourcesFailing: countFailingSources(tx),
    tasksRunning: counter.tasks_running,
    tasksQueued: counter.tasks_queued,
    schedules,
    schedulesPaused: scheduleScope(tx).pausedAt !== null,
    instants,
  };
}

function writeCursor(position: number): string {
  return position.toString(36);
}

/** undefined: from the beginning, also for a text that is no cursor. */
function readCursor(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9a-z]{1,11}$/.test(text)) return undefined;
  const position = Number.parseInt(text, 36);
  return Number.isSafeInteger(position) ? position : undefined;
}

export interface ListedSecret extends SecretFacts {
  /** It is encrypted with a key that no authority of this cluster has. */
  readonly isLost: boolean;
}

/** By name. */
export function listSecrets(
  tx: ReadTx,
  filter: { readonly limit: number; readonly next?: string | undefined },
): Page<ListedSecret> {
  const limit = Math.min(filter.limit, limits.listMax);
  const known = new Set(authorities(tx).map((row) => row.fingerprint));
  const rows = secretsAfter(tx, filter.next ?? "", limit + 1);
  const items = rows.slice(0, limit).map((row) => ({ ...row, isLost: !known.has(row.key) }));
  return rows.length > limit ? { items, next: items.at(-1)!.name } : { items };
}
