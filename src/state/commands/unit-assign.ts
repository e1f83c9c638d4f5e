import { z } from "zod";
import type { JobId, NodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command, type ApplyContext } from "../command.ts";
import { Work } from "../ending.ts";
import { onlyTaskLevel } from "../levels.ts";
import { batchEndOf } from "../tables/gate.ts";
import type { OpenJob } from "../tables/job.ts";
import { stateOfNode } from "../tables/node.ts";
import { assignTask, insertRunningTask, insertWaitingTask, taskById } from "../tables/task.ts";
import type { Tx } from "../tx.ts";
import type { NodeState } from "../types.ts";
import { jobIdShape, nodeIdShape, taskAttempt } from "./shapes.ts";

/** Tasks of one job handed to one node together, each with the number of its attempt. */
export interface Unit {
  readonly job: JobId;
  readonly node: NodeId;
  readonly tasks: readonly (readonly [task: number, attempt: number])[];
}

interface UnitsAssigned {
  readonly units: readonly Unit[];
}

const shape = z.strictObject({
  units: z
    .array(
      z.strictObject({
        job: jobIdShape,
        node: nodeIdShape,
        tasks: z.array(taskAttempt).min(1).max(limits.assignmentsPerEntry),
      }),
    )
    .min(1)
    .max(limits.assignmentsPerEntry),
});

/** Plans of one leader may reach the log with gaps between them; a larger gap is not a plan of ours. */
const gapMax = 64 * limits.assignmentsPerEntry;

export const unitAssign = command<UnitsAssigned>()({
  name: "unit.assign",
  tag: 12,
  since: 1,
  right: "internal",
  doc: "Gives tasks to nodes. What is out of date is refused task by task; the rest stands.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { units }, context) {
    const work = new Work(tx, context);
    const states = new Map<NodeId, NodeState | undefined>();
    const refused: Unit[] = [];
    for (const unit of units) {
      const job = work.jobs.get(unit.job);
      if (!states.has(unit.node)) states.set(unit.node, stateOfNode(tx, unit.node));
      const open = job !== undefined && states.get(unit.node) === "up" && isOpen(job);
      const tasks = open
        ? unit.tasks.filter(([task, attempt]) => !assign(tx, context, job, task, attempt, unit.node))
        : unit.tasks;
      if (tasks.length > 0) refused.push({ job: unit.job, node: unit.node, tasks });
    }
    work.close();
    return accept({ refused });
  },
});

/** Tasks of it may be given out. */
export function isOpen({ row }: OpenJob): boolean {
  return row.finished_at === null && row.cancelling === 0 && row.rest === "queued" && row.gate === null;
}

/** Gives one task to the node; false when it is not waiting for exactly this attempt (J1), or its batch has not begun. */
function assign(tx: Tx, context: ApplyContext, job: OpenJob, task: number, attempt: number, node: NodeId): boolean {
  const { row } = job;
  // Of an only task nothing else can run; to read the spec would cost more than all the rest.
  const parallel = row.tasks === 1 ? undefined : job.spec.parallel;
  if (task >= row.tasks || (parallel !== undefined && row.running >= parallel)) return false;
  if (task >= row.next_task) {
    if (attempt !== 1 || task - row.next_task > gapMax || task >= batchEndOf(tx, row)) return false;
    for (let skipped = row.next_task; skipped < task; skipped++) insertWaitingTask(tx, row.id, skipped, null, null);
    if (row.tasks === 1 && context.level >= onlyTaskLevel) {
      row.only_node = node;
      row.only_fence = context.index;
    } else insertRunningTask(tx, row.id, task, node, context.index);
    row.next_task = task + 1;
  } else {
    const present = taskById(tx, row.id, task);
    if (present === undefined || present.state !== "queued" || attempt !== present.attempt + 1) return false;
    if (present.pin !== null && present.pin !== node) return false;
    assignTask(tx, row.id, task, attempt, node, context.index);
  }
  if (job.touched === "not") job.touched = "assigned";
  row.running += 1;
  if (row.state === "queued") {
    row.state = "running";
    row.started_at = context.at;
    context.changed({ topic: "job", kind: "state", job: job.id, state: "running", cancelling: false });
  }
  context.changed({ topic: "task", kind: "assigned", job: job.id, task, attempt, node });
  return true;
}
