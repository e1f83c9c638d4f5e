import { assert } from "../lib/assert.ts";
import { numberAt, positionOf } from "../lib/ranges.ts";
import { type Shape, shapeOf } from "./shape.ts";
import { readSpec } from "./spec.ts";
import type { StoredJob } from "./tables/job.ts";
import { pickedTask, pickOf } from "./tables/pick.ts";
import { placeInList, targetAt } from "./tables/target.ts";
import type { ReadTx } from "./tx.ts";
import type { Point, Spec, Targets } from "./types.ts";

/** What tells one of a job's tasks from the others; undefined: nothing that its spec says. */
export type PointOf = (task: number) => Point | undefined;

const none: PointOf = () => undefined;

/** Of all tasks of a job: reads its spec once. One that has fewer tasks than its spec makes retries some of them (tables/pick.ts). */
export function pointsOf(tx: ReadTx, job: Pick<StoredJob, "id" | "tasks" | "spec">): PointOf {
  const shape = shapeIn(tx, readSpec(job.spec));
  if (shape === undefined) return none;
  if (job.tasks === shape.tasks) return (task) => shape.point(task);
  return (task) => shape.point(pickedTask(tx, job.id, task));
}

/** The same of some tasks, [first, first + count), for whoever asks later, when the state cannot be read any more. */
export function pointsApart(
  tx: ReadTx,
  job: Pick<StoredJob, "id" | "tasks" | "spec">,
  { first, count }: { readonly first: number; readonly count: number },
): PointOf {
  const spec = readSpec(job.spec);
  const shape = shapeIn(tx, spec);
  if (shape === undefined) return none;
  const picked = job.tasks === shape.tasks ? undefined : pickOf(tx, job.id);
  const numberOf = (task: number): number => {
    if (job.tasks === shape.tasks) return task;
    const number = picked === undefined ? undefined : numberAt(picked, task);
    assert(number !== undefined, `job ${job.id} does not say which task of its spec ${task} is`);
    return number;
  };
  if (spec.targets === undefined) return (task) => shape.point(numberOf(task));
  const points = Array.from({ length: count }, (_, at) => shape.point(numberOf(first + at)));
  return (task) => points[task - first];
}

function shapeIn(tx: ReadTx, spec: Spec): Shape | undefined {
  return spec.targets === undefined ? shapeOf(spec) : shapeOfTargets(tx, spec.targets);
}

function shapeOfTargets(tx: ReadTx, { list, count }: Targets): Shape {
  return { tasks: count, point: (task) => ({ target: targetAt(tx, list, task) }) };
}

/** The task that is about a target of its job; undefined: it has none of that name. */
export function taskAbout(
  tx: ReadTx,
  job: Pick<StoredJob, "id" | "tasks">,
  targets: Targets,
  name: string,
): number | undefined {
  const place = placeInList(tx, targets.list, name);
  return place === undefined ? undefined : taskAt(tx, job, targets, place);
}

/** The same, of the place that the target has in its list. */
export function taskAt(
  tx: ReadTx,
  job: Pick<StoredJob, "id" | "tasks">,
  targets: Targets,
  place: number,
): number | undefined {
  if (job.tasks === targets.count) return place;
  const picked = pickOf(tx, job.id);
  return picked === undefined ? undefined : positionOf(picked, place);
}
