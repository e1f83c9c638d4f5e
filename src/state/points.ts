import { assert } from "../lib/assert.ts";
import { numberAt } from "../lib/ranges.ts";
import { shapeOf } from "./shape.ts";
import { readSpec } from "./spec.ts";
import type { StoredJob } from "./tables/job.ts";
import { pickedTask, pickOf } from "./tables/pick.ts";
import type { ReadTx } from "./tx.ts";
import type { Point } from "./types.ts";

/** What tells one of a job's tasks from the others; undefined: nothing that its spec says. */
export type PointOf = (task: number) => Point | undefined;

const none: PointOf = () => undefined;

/** Of all tasks of a job: reads its spec once. One that has fewer tasks than its spec makes retries some of them (tables/pick.ts). */
export function pointsOf(tx: ReadTx, job: Pick<StoredJob, "id" | "tasks" | "spec">): PointOf {
  const shape = shapeOf(readSpec(job.spec));
  if (shape === undefined) return none;
  if (job.tasks === shape.tasks) return (task) => shape.point(task);
  return (task) => shape.point(pickedTask(tx, job.id, task));
}

/** The same for whoever asks later, when the state cannot be read any more. */
export function pointsApart(tx: ReadTx, job: Pick<StoredJob, "id" | "tasks" | "spec">): PointOf {
  const shape = shapeOf(readSpec(job.spec));
  if (shape === undefined) return none;
  if (job.tasks === shape.tasks) return (task) => shape.point(task);
  const picked = pickOf(tx, job.id);
  return (task) => {
    const number = picked === undefined ? undefined : numberAt(picked, task);
    assert(number !== undefined, `job ${job.id} does not say which task of its spec ${task} is`);
    return shape.point(number);
  };
}
