import { limits } from "../lib/limits.ts";
import type { ApplyContext } from "./command.ts";
import { isDead } from "./dead.ts";
import { ansibleLevel, forgetLevel, inventoryLevel, unitLevel } from "./levels.ts";
import { countDead, countExpired, readCounter } from "./tables/counter.ts";
import { removeFactChanges, sweepFactChanges } from "./tables/fact.ts";
import { releaseIdempotency } from "./tables/idempotency.ts";
import type { StoredJob } from "./tables/job.ts";
import { hasUnusedInventory, removeContentOf, sweepInventories } from "./tables/inventory.ts";
import { hasOnlyTask } from "./tables/only-task.ts";
import { removePick } from "./tables/pick.ts";
import { playbookKey, removeRecap } from "./tables/recap.ts";
import { leftFires, sweepFires } from "./tables/schedule-fire.ts";
import { removeJobOf, removeTargets, unusedTargets } from "./tables/target.ts";
import { removeUnits, sweepUnits } from "./tables/unit.ts";
import { readSpec } from "./spec.ts";
import { mayHaveTargets, targetsKey } from "./targets.ts";
import { change, sql, type ReadTx, type Tx } from "./tx.ts";
import { jobId } from "../lib/ids.ts";

const deleteJob = change("job.remove", "delete from job where id = ?");
const deleteTasks = change("task.remove-of-job", "delete from task where job = ?");
const deleteAttempts = change("attempt.remove-of-job", "delete from attempt where job = ?");
const insertRemains = change("remains.add", "insert into remains (job) values (?)");

/**
 * How finished jobs go: by their age or number (job.expire), or because a person says so (job.remove). The job is gone at once, for whoever asks; of a job with many
 * tasks their rows go after it, a bounded number with each entry (job.sweep), since ten million of them would keep every node from its other work for half a minute.
 * One belongs to one command; `close()` counts what it forgot.
 */
export class Forgetting {
  readonly #tx: Tx;
  readonly #context: ApplyContext;
  #rows = 0;
  removed = 0;

  constructor(tx: Tx, context: ApplyContext) {
    this.#tx = tx;
    this.#context = context;
  }

  forget(job: StoredJob): void {
    const { id, next_task: rows } = job;
    this.#tx.run(deleteJob, id);
    let isLater = false;
    if (!hasOnlyTask(job)) {
      const isMuch = rows > limits.forgetAtOnceRows || this.#rows + rows > limits.forgetRows;
      isLater = isMuch && this.#context.level >= forgetLevel;
      if (isLater) this.#tx.run(insertRemains, id);
      else {
        this.#rows += rows;
        this.#tx.run(deleteTasks, id);
        this.#tx.run(deleteAttempts, id);
        if (job.tasks > 1 && this.#context.level >= unitLevel) removeUnits(this.#tx, id);
      }
    }
    if (!isLater && this.#context.level >= inventoryLevel && mayHaveTargets(job.spec)) removeFactChanges(this.#tx, id);
    if (isDead(job)) countDead(this.#tx, -1, this.#context.level);
    if (job.origin !== null) removePick(this.#tx, id);
    if (this.#context.level >= ansibleLevel && job.spec.includes(playbookKey)) removeRecap(this.#tx, id);
    if (job.spec.includes(targetsKey)) {
      const { targets } = readSpec(job.spec);
      if (targets !== undefined) removeJobOf(this.#tx, targets.list, id);
      for (const content of targets?.inventories ?? []) removeContentOf(this.#tx, content, id, this.#context.at);
    }
    releaseIdempotency(this.#tx, id);
    this.#context.changed({ topic: "job", kind: "removed", job: jobId(id) });
    this.removed += 1;
  }

  close(): void {
    if (this.removed > 0) countExpired(this.#tx, this.removed);
  }
}

const selectRemains = sql("select job from remains order by job limit 1");

/** A job that is gone and whose tasks' rows are not; undefined: there is none. */
export function nextRemains(tx: ReadTx): number | undefined {
  return tx.get<{ job: number }>(selectRemains)?.job;
}

const sweepAttempts = change(
  "attempt.sweep",
  "delete from attempt where job = ? and (task, attempt) in (select task, attempt from attempt where job = ? order by task, attempt limit ?)",
);
const sweepTasks = change(
  "task.sweep",
  "delete from task where job = ? and task in (select task from task where job = ? order by task limit ?)",
);
const deleteRemains = change("remains.remove", "delete from remains where job = ?");

/** Something is left of what is gone: rows of tasks, lists of targets that no other job has, pieces of inventories that nothing names, the history of schedules. */
export function hasRemains(tx: ReadTx): boolean {
  return (
    nextRemains(tx) !== undefined ||
    unusedTargets(tx) !== undefined ||
    hasUnusedInventory(tx, keptUntil(tx)) ||
    leftFires(tx) !== undefined
  );
}

/** What of inventories was touched later is for somebody who has just sent it, or looked it up. */
function keptUntil(tx: ReadTx): number {
  return readCounter(tx).at - limits.inventoryPieceKeepMs;
}

/** Removes the next rows of what is left of jobs and schedules that are gone, at most so many, but a list of targets always whole; gives how many they were. */
export function sweepRemains(tx: Tx, rows: number): number {
  let left = rows;
  for (let job = nextRemains(tx); job !== undefined && left > 0; job = nextRemains(tx)) {
    left -= tx.run(sweepAttempts, job, job, left);
    if (left > 0) left -= tx.run(sweepTasks, job, job, left);
    if (left > 0) left -= sweepUnits(tx, job, left);
    if (left > 0) left -= sweepFactChanges(tx, job, left);
    if (left > 0) tx.run(deleteRemains, job);
  }
  for (let list = unusedTargets(tx); list !== undefined && left > 0; list = unusedTargets(tx)) {
    removeTargets(tx, list.hash);
    left -= Math.ceil(list.count / limits.targetsPerSweptRow);
  }
  if (left > 0 && hasUnusedInventory(tx, keptUntil(tx)))
    left -= sweepInventories(
      tx,
      keptUntil(tx),
      readCounter(tx).at - limits.inventoryPieceKeepMs - 1,
      limits.inventoryPiecesSwept,
    );
  if (left > 0) left -= sweepFires(tx, left);
  return rows - left;
}
