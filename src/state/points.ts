import { shapeOf } from "./shape.ts";
import { readSpec } from "./spec.ts";
import type { StoredJob } from "./tables/job.ts";
import type { ReadTx } from "./tx.ts";
import type { Point } from "./types.ts";

/** What tells one of a job's tasks from the others; undefined: nothing that its spec says. */
export type PointOf = (task: number) => Point | undefined;

const none: PointOf = () => undefined;

/** Of all tasks of a job: reads its spec once. */
export function pointsOf(_tx: ReadTx, job: Pick<StoredJob, "id" | "tasks" | "spec">): PointOf {
  const shape = shapeOf(readSpec(job.spec));
  return shape === undefined ? none : (task) => shape.point(task);
}
