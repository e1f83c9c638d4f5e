import { z } from "zod";
import type { JobId, NodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { type ApplyContext, command } from "../command.ts";
import { Work } from "../ending.ts";
import type { OpenJob } from "../tables/job.ts";
import { nodeById } from "../tables/node.ts";
import type { Tx } from "../tx.ts";
import { count, jobIdShape, nodeIdShape } from "./shapes.ts";

interface UnitRecalled {
  readonly node: NodeId;
  readonly attempts: readonly (readonly [job: JobId, task: number, attempt: number])[];
}

const shape = z.strictObject({
  node: nodeIdShape,
  attempts: z
    .array(z.tuple([jobIdShape, count, z.number().int().positive()]))
    .min(1)
    .max(limits.assignmentsPerEntry),
});

export const unitRecall = command<UnitRecalled>()({
  name: "unit.recall",
  tag: 76,
  since: 3,
  right: "internal",
  doc: "Takes back attempts that a node has not begun and cannot begin any more: they wait again, which counts neither as a loss nor as a retry. What is out of date is passed over.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { node, attempts }, context) {
    const reason = `node ${nodeById(tx, node)?.name ?? node} had not begun it, and it was taken back`;
    return accept({ recalled: takeBackAll(tx, context, node, attempts, reason) });
  },
});

/** Those of them wait again that the node has and has told nothing of; gives how many. */
export function takeBackAll(
  tx: Tx,
  context: ApplyContext,
  node: NodeId,
  attempts: UnitRecalled["attempts"],
  reason: string,
): number {
  const work = new Work(tx, context);
  const touched = new Set<OpenJob>();
  let taken = 0;
  for (const [id, task, attempt] of attempts) {
    const job = work.jobs.get(id);
    const row = job === undefined ? undefined : work.taskOf(job, task);
    if (job === undefined || row?.state !== "running" || row.attempt !== attempt || row.node !== node) continue;
    if (row.started_at !== null) continue; // it has told that it runs
    work.takeBack(job, row, node, reason);
    touched.add(job);
    taken += 1;
  }
  for (const job of touched) work.finishIfDone(job);
  work.close();
  return taken;
}
