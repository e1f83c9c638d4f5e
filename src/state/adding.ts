import { assert } from "../lib/assert.ts";
import { jobId, type JobId } from "../lib/ids.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { matchesSelector, parseSelector } from "../lib/selector.ts";
import { bundleKey, bundleMissing } from "./bundles.ts";
import type { ApplyContext } from "./command.ts";
import { type Asked, readGated, shutGates } from "./gating.ts";
import { secretPlaces, secretsKey } from "./secrets.ts";
import { tasksIn } from "./shape.ts";
import { displayName, isGated, readSpec } from "./spec.ts";
import { useBundle } from "./tables/bundle.ts";
import { countSubmitted, readCounter } from "./tables/counter.ts";
import { addFactJob } from "./tables/fact.ts";
import { addContentOf, hasContent } from "./tables/inventory.ts";
import { insertJob, insertPinnedJob, noteOrigin, type Origin } from "./tables/job.ts";
import { allNodes } from "./tables/node.ts";
import { hasSecret, noteUses } from "./tables/secret.ts";
import { addJobOf, insertTargets, targetCount } from "./tables/target.ts";
import { insertWaitingTask } from "./tables/task.ts";
import { targetsKey } from "./targets.ts";
import type { ReadTx, Tx } from "./tx.ts";
import type { NodeRow, Spec } from "./types.ts";

/** How jobs come into the state, whoever asks for them: a person's request (job.submit) or a schedule (firing.ts). */

/**
 * [name, tasks, spec as JSON, selector, places]: tasks 0 stands for each_node, and only then the selector is given. The places are there only for
 * a job that waits for more than a node (gates.ts): where in the request the jobs stand that its `after` names.
 */
export type NewJob = readonly [
  name: string,
  tasks: number,
  spec: string,
  selector: string | null,
  places?: readonly number[] | undefined,
];

/** A job as the log has it. `places`: see {@link NewJob}, of one that waits for something. */
export function newJob(spec: Spec, places: () => readonly number[]): NewJob {
  assert(
    spec.targets === undefined || spec.targets.count > 0,
    "what stands for targets was looked up before (state/targets.ts)",
  );
  assert(spec.bundle?.digest !== "", "what the names of bundles stand for was looked up before (state/bundles.ts)");
  const selector = spec.eachNode === true ? (spec.on ?? "") : null;
  const job = [displayName(spec), tasksIn(spec), JSON.stringify(spec), selector] as const;
  return isGated(spec) ? [...job, places()] : job;
}

/** Jobs to be added, and in whose name. */
export interface Addition {
  readonly jobs: readonly NewJob[];
  /** Names of targets by the digest of their list: those that the state may not have. */
  readonly names: ReadonlyMap<string, string>;
  /** undefined: a person's own. */
  readonly origin: Origin | undefined;
  /** What the jobs print are facts of their targets. */
  readonly gathers: boolean;
  readonly by: string;
  /** Called when the rows of the jobs are there, and before any of them waits for another. */
  readonly added?: (first: JobId) => void;
}

/** All of them, or a refusal with every problem. */
export function addJobs(
  tx: Tx,
  { jobs, names, origin, gathers, by, added }: Addition,
  context: ApplyContext,
): Outcome<{ readonly first: JobId; readonly count: number }> {
  const pinned = resolveEachNode(tx, jobs);
  if (!Array.isArray(pinned)) return pinned;
  const unknown = unknownSecrets(tx, jobs);
  if (unknown !== undefined) return unknown;
  const treeless = unknownBundles(tx, jobs);
  if (treeless !== undefined) return treeless;
  const alone = copiesOfOne(tx, jobs);
  if (alone !== undefined) return alone;
  const listless = unknownTargets(tx, jobs, names);
  if (listless !== undefined) return listless;
  const first = jobId(readCounter(tx).next_job);
  const { at } = context;
  const gated = readGated(tx, asked(jobs), first, at);
  if ("ok" in gated) return gated;
  const fired = origin?.schedule === undefined ? undefined : origin;
  let tasks = 0;
  let id: number = first;
  for (const [name, count, text] of jobs) {
    const spec = gated.size === 0 ? text : (gated.get(id - first)?.text ?? text);
    if (count > 0) {
      insertJob(tx, id, name, count, at, by, spec, fired);
      tasks += count;
    } else {
      const nodes: NodeRow[] | undefined = pinned.shift();
      assert(nodes !== undefined, "each each_node job has its list of nodes");
      insertPinnedJob(tx, id, name, nodes.length, at, by, spec);
      nodes.forEach((node, task) => insertWaitingTask(tx, id, task, node.id, node.name));
      tasks += nodes.length;
    }
    if (spec.includes(secretsKey)) noteUses(tx, id, readSpec(spec));
    if (spec.includes(bundleKey)) noteBundle(tx, readSpec(spec));
    if (spec.includes(targetsKey)) noteTargets(tx, id, readSpec(spec), names, at);
    if (origin !== undefined && (fired === undefined || count === 0)) noteOrigin(tx, id, origin);
    if (gathers) addFactJob(tx, id);
    id += 1;
  }
  countSubmitted(tx, by, jobs.length, tasks);
  added?.(first);
  context.changed({ topic: "job", kind: "added", first, count: jobs.length });
  if (gated.size > 0) shutGates(tx, context, gated.values());
  return accept({ first, count: jobs.length });
}

function* asked(jobs: readonly NewJob[]): Generator<Asked> {
  for (const [, , spec, , places] of jobs) yield { spec, places };
}

/** Refuses jobs that name a secret that is not there: they would fail one by one, when nobody looks any more. */
function unknownSecrets(tx: ReadTx, jobs: readonly NewJob[]): ReturnType<typeof refuse> | undefined {
  const details = jobs.flatMap(([, , spec], position) =>
    spec.includes(secretsKey)
      ? secretPlaces(readSpec(spec))
          .filter(({ secret }) => !hasSecret(tx, secret))
          .map(({ path, secret }) => ({ path: `jobs[${position}].${path}`, message: `there is no secret ${secret}` }))
      : [],
  );
  if (details.length === 0) return undefined;
  return refuse("invalid", `${details[0]!.message}: set it first ('skein secret set')`, { details });
}

/** Refuses jobs whose bundle is gone since its name was looked up. */
function unknownBundles(tx: ReadTx, jobs: readonly NewJob[]): ReturnType<typeof refuse> | undefined {
  for (const [position, [, , text]] of jobs.entries()) {
    const missing = text.includes(bundleKey) ? bundleMissing(tx, readSpec(text)) : undefined;
    if (missing === undefined) continue;
    const message = `there is no bundle of sha256:${missing} any more`;
    return refuse("conflict", `${message}: push it, and submit it again`, {
      details: [{ path: `jobs[${position}].bundle`, message }],
    });
  }
  return undefined;
}

/** The job, which has just come, has its bundle until it has finished. */
function noteBundle(tx: Tx, { bundle }: Spec): void {
  if (bundle !== undefined) useBundle(tx, bundle.digest);
}

/**
 * Refuses jobs whose targets are in no list that came with them or that the state has: a list that was known when it was left out may be gone by now. Whoever
 * submits sends it then.
 */
function unknownTargets(
  tx: ReadTx,
  jobs: readonly NewJob[],
  names: ReadonlyMap<string, string>,
): ReturnType<typeof refuse> | undefined {
  const counts = new Map<string, number | undefined>();
  for (const [position, [, , text]] of jobs.entries()) {
    const targets = text.includes(targetsKey) ? readSpec(text).targets : undefined;
    if (targets === undefined) continue;
    const { list, count, inventories = [] } = targets;
    if (!inventories.every((content) => hasContent(tx, content))) {
      const message = "an inventory of its targets is not there any more";
      return refuse("conflict", `${message}: submit it again`, {
        details: [{ path: `jobs[${position}].targets`, message }],
      });
    }
    if (!counts.has(list)) counts.set(list, targetCount(tx, list) ?? linesIn(names.get(list)));
    const known = counts.get(list);
    if (known === count) continue;
    const message =
      known === undefined ? "the names of its targets are not there" : `has ${count} targets and ${known} names`;
    return refuse("conflict", `${message}: submit it again`, {
      details: [{ path: `jobs[${position}].targets`, message }],
    });
  }
  return undefined;
}

function linesIn(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  let lines = 1;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) lines += 1;
  return lines;
}

/** The job is about the targets of its list, which is written with the first job that has it. */
function noteTargets(tx: Tx, id: number, { targets }: Spec, names: ReadonlyMap<string, string>, at: number): void {
  if (targets === undefined) return;
  const { list } = targets;
  const given = names.get(list);
  if (given !== undefined && targetCount(tx, list) === undefined) insertTargets(tx, list, given);
  addJobOf(tx, list, id);
  for (const content of targets.inventories ?? []) addContentOf(tx, content, id, at);
}

/** Refuses jobs whose output is to be on two disks before they finish, where there is one node: nobody could ever take the copy. */
function copiesOfOne(tx: ReadTx, jobs: readonly NewJob[]): ReturnType<typeof refuse> | undefined {
  const synced = jobs.flatMap(([, , spec], position) =>
    spec.includes(syncKey) && readSpec(spec).output?.sync === true ? [position] : [],
  );
  if (synced.length === 0 || allNodes(tx).length > 1) return undefined;
  const message =
    "this cluster has one node, and a second one to hold the copy is needed: leave sync out, or join a node";
  const details = synced.map((position) => ({ path: `jobs[${position}].output.sync`, message }));
  return refuse("invalid", message, { details });
}

/** As it stands in the text of a spec that may have it. */
const syncKey = '"sync":true';

/** The nodes of every each_node job, frozen now; a refusal when one of them has none. Nothing is read when there is no such job. */
function resolveEachNode(tx: ReadTx, jobs: readonly NewJob[]): NodeRow[][] | ReturnType<typeof refuse> {
  const lists: NodeRow[][] = [];
  let up: NodeRow[] | undefined;
  for (const [position, [, count, , selector]] of jobs.entries()) {
    if (count > 0) continue;
    // One that was let in and has not said where it is may never come.
    up ??= allNodes(tx).filter((node) => node.state === "up" && node.api !== "");
    const terms = parseSelector(selector ?? "");
    const nodes = typeof terms === "string" ? [] : up.filter((node) => matchesSelector(terms, node.labels));
    if (nodes.length === 0) {
      const message = selector === "" ? "no node is up" : `no node that is up matches "${selector}"`;
      return refuse("invalid", `each_node: ${message}`, { details: [{ path: `jobs[${position}].on`, message }] });
    }
    lists.push(nodes);
  }
  return lists;
}
