import { z } from "zod";
import type { JobId, NodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command, type ApplyContext } from "../command.ts";
import { Work } from "../ending.ts";
import { batchEndOf } from "../tables/gate.ts";
import type { OpenJob } from "../tables/job.ts";
import { stateOfNode } from "../tables/node.ts";
import { insertUnit } from "../tables/unit.ts";
import type { Tx } from "../tx.ts";
import type { NodeState } from "../types.ts";
import { isOpen } from "./unit-assign.ts";
import { count, jobIdShape, nodeIdShape } from "./shapes.ts";

/** The first attempts of tasks [first, first + count) of a job, handed to one node together; `width` of them run at once. */
export interface RangeUnit {
  readonly job: JobId;
  readonly node: NodeId;
  readonly first: number;
  readonly count: number;
  readonly width: number;
}

interface RangesAssigned {
  readonly units: readonly RangeUnit[];
}

const positive = z.number().int().positive();

const shape = z.strictObject({
  units: z
    .array(
      z
        .strictObject({
          job: jobIdShape,
          node: nodeIdShape,
          first: count,
          count: positive.max(limits.unitTasks),
          width: positive,
        })
        .refine((unit) => unit.width <= unit.count),
    )
    .min(1)
    .max(limits.assignmentsPerEntry),
});

export const rangeAssign = command<RangesAssigned>()({
  name: "range.assign",
  tag: 78,
  since: 3,
  right: "internal",
  doc: "Gives ranges of an array's tasks, which nothing was known of, to nodes. What is out of date is refused unit by unit; the rest stands.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { units }, context) {
    const work = new Work(tx, context);
    const states = new Map<NodeId, NodeState | undefined>();
    const refused: RangeUnit[] = [];
    for (const unit of units) {
      const job = work.jobs.get(unit.job);
      if (!states.has(unit.node)) states.set(unit.node, stateOfNode(tx, unit.node));
      const open = job !== undefined && states.get(unit.node) === "up" && isOpen(job);
      if (!open || !assign(tx, context, job, unit)) refused.push(unit);
    }
    work.close();
    return accept({ refused });
  },
});

/** False when the range does not begin with the first task that was never assigned, or goes beyond the job's batch: who planned it has missed something, and plans anew (J1). */
function assign(tx: Tx, context: ApplyContext, job: OpenJob, unit: RangeUnit): boolean {
  const { row } = job;
  const { parallel } = job.spec;
  // The only task of a job has a place of its own (tables/only-task.ts).
  if (row.tasks === 1 || unit.first !== row.next_task || unit.first + unit.count > batchEndOf(tx, row)) return false;
  if (parallel !== undefined && row.running + unit.count > parallel) return false;
  insertUnit(tx, unit, unit.node, context.index);
  row.next_task += unit.count;
  row.running += unit.count;
  if (job.touched === "not") job.touched = "assigned";
  if (row.state === "queued") {
    row.state = "running";
    row.started_at = context.at;
    context.changed({ topic: "job", kind: "state", job: job.id, state: "running", cancelling: false });
  }
  const { first, width, node } = unit;
  context.changed({ topic: "task", kind: "unit-assigned", job: job.id, first, count: unit.count, width, node });
  return true;
}
