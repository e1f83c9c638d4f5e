import { assert } from "../lib/assert.ts";
import { jobId } from "../lib/ids.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { numberAt, type RangeList, through } from "../lib/ranges.ts";
import { bundleKey, bundleMissing } from "./bundles.ts";
import type { ApplyContext } from "./command.ts";
import { noteReplayed } from "./dead.ts";
import { Work } from "./ending.ts";
import { readGated, shutGates } from "./gating.ts";
import { secretPlaces, secretsKey } from "./secrets.ts";
import { isGated, readSpec } from "./spec.ts";
import { useBundle } from "./tables/bundle.ts";
import { countSubmitted, readCounter } from "./tables/counter.ts";
import { insertJob, insertPinnedJob, noteOrigin, originOf, type StoredJob } from "./tables/job.ts";
import { nodeById } from "./tables/node.ts";
import { copyPick, insertPick, pickOf } from "./tables/pick.ts";
import { addContentOf } from "./tables/inventory.ts";
import { hasSecret, noteUses } from "./tables/secret.ts";
import { addJobOf } from "./tables/target.ts";
import { insertWaitingTask, taskById } from "./tables/task.ts";
import type { Tx } from "./tx.ts";

/**
 * Adds a job that runs tasks of a finished one again; gives its id. It has the same spec, and each of its tasks is what it was: the same index, the same point of the
 * matrix, the same target, the same node. `chosen`: tasks of that job; undefined: all.
 */
export function addRetry(
  tx: Tx,
  context: ApplyContext,
  job: StoredJob,
  chosen: RangeList | undefined,
): Outcome<number> {
  const spec = readSpec(job.spec);
  const missing = job.spec.includes(secretsKey)
    ? secretPlaces(spec).find(({ secret }) => !hasSecret(tx, secret))
    : undefined;
  if (missing !== undefined)
    return refuse(
      "conflict",
      `job ${job.id} uses the secret ${missing.secret}, which is not there any more: set it first`,
    );
  const treeless = job.spec.includes(bundleKey) ? bundleMissing(tx, spec) : undefined;
  if (treeless !== undefined)
    return refuse(
      "conflict",
      `job ${job.id} ran in the bundle sha256:${treeless}, which is not kept any more: push it first`,
    );
  const id = readCounter(tx).next_job;
  const { at } = context;
  // What the job waited for, it has waited for: the other jobs may be forgotten, and whoever retries wants it now. Its key and its deadline are as before.
  const { after: _, startAt: __, ...rest } = spec;
  const isSame = spec.after === undefined && spec.startAt === undefined;
  const text = isSame ? job.spec : JSON.stringify(rest);
  const gated = isGated(rest) ? readGated(tx, [{ spec: text, places: [] }], id, at) : undefined;
  if (gated !== undefined && "ok" in gated) return gated;
  const by = context.by.name;
  const some = chosen === undefined || chosen.count === job.tasks ? undefined : chosen;
  const tasks = some?.count ?? job.tasks;
  const isPinned = spec.eachNode === true;
  if (isPinned) insertPinnedJob(tx, id, job.name, tasks, at, by, text);
  else insertJob(tx, id, job.name, tasks, at, by, text);
  if (job.spec.includes(secretsKey)) noteUses(tx, id, spec);
  if (spec.bundle !== undefined) useBundle(tx, spec.bundle.digest);
  if (spec.targets !== undefined) {
    addJobOf(tx, spec.targets.list, id);
    for (const content of spec.targets.inventories ?? []) addContentOf(tx, content, id, at);
  }
  const { template } = originOf(job);
  noteOrigin(tx, id, { retry_of: job.id, ...(template === undefined ? {} : { template }) });
  countSubmitted(tx, by, 1, tasks);
  noteReplayed(tx, context, job, id);
  context.changed({ topic: "job", kind: "added", first: jobId(id), count: 1 });
  let gone: readonly number[] = [];
  if (isPinned) gone = pinAgain(tx, job, id, tasks, some);
  else if (some === undefined) copyPick(tx, job.id, id);
  else {
    const whole = pickOf(tx, job.id);
    insertPick(tx, id, whole === undefined ? some.ranges : through(some.ranges, whole));
  }
  if (gated !== undefined) shutGates(tx, context, gated.values());
  if (gone.length > 0) endGone(tx, context, id, gone);
  return accept(id);
}

/** Each task is for the node that it was for; gives those whose node is no member any more. */
function pinAgain(tx: Tx, job: StoredJob, id: number, tasks: number, some: RangeList | undefined): number[] {
  const gone: number[] = [];
  for (let task = 0; task < tasks; task++) {
    const before = taskById(tx, job.id, some === undefined ? task : (numberAt(some, task) ?? task));
    assert(before !== undefined, `job ${job.id} has a row for each of its pinned tasks`);
    insertWaitingTask(tx, id, task, before.pin, before.target);
    if (before.pin === null || nodeById(tx, before.pin) === undefined) gone.push(task);
  }
  return gone;
}

/** Nobody will ever run these tasks: they are lost. */
function endGone(tx: Tx, context: ApplyContext, id: number, gone: readonly number[]): void {
  const work = new Work(tx, context);
  const job = work.jobs.get(id);
  assert(job !== undefined, "the job was just added");
  for (const task of gone) {
    const row = taskById(tx, id, task);
    if (row?.state === "queued") work.endWaiting(job, row, "lost", `node ${row.target ?? ""} is no member any more`);
  }
  work.finishIfDone(job);
  work.close();
}
