import { z } from "zod";
import type { JobId, NodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { jobById } from "../tables/job.ts";
import { hasOnlyTask, startOnlyTask } from "../tables/only-task.ts";
import { presentTask } from "../tables/running.ts";
import { startTask } from "../tables/task.ts";
import { UnitBook } from "../tables/unit.ts";
import { count, instant, jobIdShape, nodeIdShape } from "./shapes.ts";

interface Started {
  readonly job: JobId;
  readonly task: number;
  readonly attempt: number;
  /** The executor's wall clock, epoch ms. */
  readonly startedAt: number;
}

interface TasksStarted {
  readonly node: NodeId;
  readonly tasks: readonly Started[];
}

const shape = z.strictObject({
  node: nodeIdShape,
  tasks: z
    .array(z.strictObject({ job: jobIdShape, task: count, attempt: z.number().int().positive(), startedAt: instant }))
    .min(1)
    .max(limits.assignmentsPerEntry * 8),
});

export const taskStart = command<TasksStarted>()({
  name: "task.start",
  tag: 13,
  since: 1,
  right: "internal",
  doc: "A node tells which of its attempts have begun to run; attempts that are not the present ones are passed over (J1).",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { node, tasks }, context) {
    let started = 0;
    const units = new UnitBook(tx);
    for (const { job, task, attempt, startedAt } of tasks) {
      const of = jobById(tx, job);
      const row = of === undefined ? undefined : presentTask(tx, of, task);
      if (of === undefined || row?.state !== "running" || row.attempt !== attempt || row.node !== node) continue;
      if (hasOnlyTask(of)) startOnlyTask(tx, job, startedAt);
      else if (row.unit === undefined) startTask(tx, job, task, startedAt);
      else units.start(row, startedAt);
      context.changed({ topic: "task", kind: "started", job, task, attempt, node });
      started += 1;
    }
    units.write();
    return accept({ started });
  },
});
