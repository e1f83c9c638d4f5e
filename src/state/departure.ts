import type { NodeId } from "../lib/ids.ts";
import type { ApplyContext } from "./command.ts";
import { lostReport, Work } from "./ending.ts";
import type { OpenJob } from "./tables/job.ts";
import { runningOn } from "./tables/running.ts";
import { waitingPinnedTo } from "./tables/task.ts";
import type { Tx } from "./tx.ts";

/** Ends every running attempt of a node as lost; gives how many there were. */
export function endAttemptsOf(tx: Tx, context: ApplyContext, node: NodeId, reason: string): number {
  const work = new Work(tx, context);
  const touched = new Set<OpenJob>();
  const running = runningOn(tx, node);
  for (const row of running) {
    const job = work.jobs.get(row.job);
    if (job === undefined) continue;
    work.endAttempt(job, row, node, lostReport(reason, context.at));
    touched.add(job);
  }
  for (const job of touched) work.finishIfDone(job);
  work.close();
  return running.length;
}

/** Waiting tasks that only this node may run end as lost, those of jobs that do not wait for it (J2); all when it never comes back. Looks at so many at most; gives how many there were. */
export function endPinnedTo(
  tx: Tx,
  context: ApplyContext,
  node: NodeId,
  reason: string,
  isWanted: (job: OpenJob) => boolean = () => true,
  most?: number,
): number {
  const work = new Work(tx, context);
  const touched = new Set<OpenJob>();
  let ended = 0;
  for (const row of waitingPinnedTo(tx, node, most)) {
    const job = work.jobs.get(row.job);
    // A job has one task a node, so the rest of it that one of these may end (max_failures) is not among the others.
    if (job === undefined || !isWanted(job)) continue;
    work.endWaiting(job, row, "lost", reason);
    ended += 1;
    touched.add(job);
  }
  for (const job of touched) {
    if (!work.finishIfDone(job)) {
      context.changed({
        topic: "job",
        kind: "state",
        job: job.id,
        state: job.row.state,
        cancelling: job.row.cancelling === 1,
      });
    }
  }
  work.close();
  return ended;
}
