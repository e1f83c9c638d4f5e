import { z } from "zod";
import type { JobId, NodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { partsOf, type TaskRun, unpackRuns } from "../../lib/task-runs.ts";
import { command } from "../command.ts";
import { Work } from "../ending.ts";
import type { OpenJob } from "../tables/job.ts";
import { count, jobIdShape, nodeIdShape } from "./shapes.ts";

/** Tasks of a unit that succeeded at their first attempt and left nothing but the times at which they began and ended. */
export interface UnitEnds {
  readonly job: JobId;
  /** The first task of the unit. */
  readonly first: number;
  /** Runs of ended tasks, counted from `first` (lib/task-runs.ts). */
  readonly runs: Uint8Array;
}

interface RangesFinished {
  readonly node: NodeId;
  readonly units: readonly UnitEnds[];
}

const runsShape = z.custom<Uint8Array>((value) => {
  if (!(value instanceof Uint8Array) || value.length > limits.reportBytes) return false;
  const runs = unpackRuns(value);
  const last = runs?.at(-1);
  if (runs === undefined || last === undefined || last.first + last.count > limits.unitTasks) return false;
  return runs.every((run) => run.kind === "ended");
}, "must be packed runs of ended tasks");

const shape = z.strictObject({
  node: nodeIdShape,
  units: z
    .array(z.strictObject({ job: jobIdShape, first: count, runs: runsShape }))
    .min(1)
    .max(limits.assignmentsPerEntry * 8),
});

export const rangeFinish = command<RangesFinished>()({
  name: "range.finish",
  tag: 79,
  since: 3,
  right: "internal",
  doc: "A node reports tasks of units that succeeded. What is told of tasks that do not run there, or in another attempt, is refused (J1).",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { node, units }, context) {
    const work = new Work(tx, context);
    const touched = new Set<OpenJob>();
    let refused = 0;
    for (const one of units) {
      const job = work.jobs.get(one.job);
      const unit = job === undefined ? undefined : work.units.around(one.job, one.first);
      const runs = unpackRuns(one.runs) ?? [];
      if (job === undefined || unit?.first !== one.first || unit.row.node !== node) {
        refused += tasksIn(runs);
        continue;
      }
      const told: TaskRun[] = [];
      for (const { part, before } of runs.flatMap((run) => [...partsOf(run, unit.runs)])) {
        // Nothing is known of it, or that it has started: its first attempt runs.
        const runningCount = Math.max(0, Math.min(part.count, unit.row.count - part.first));
        const isRunning = (before === undefined || before === "started") && runningCount > 0;
        if (isRunning) told.push(runningCount === part.count ? part : { ...part, count: runningCount });
        refused += isRunning ? part.count - runningCount : part.count;
      }
      if (told.length === 0) continue;
      work.endInUnit(job, unit, told);
      touched.add(job);
    }
    for (const job of touched) work.finishIfDone(job);
    work.close();
    return accept({ refused });
  },
});

function tasksIn(runs: readonly TaskRun[]): number {
  return runs.reduce((sum, run) => sum + run.count, 0);
}
