import { assert } from "../lib/assert.ts";
import { memoOfTexts } from "../lib/memo.ts";
import { numberAt, parseRanges } from "../lib/ranges.ts";
import { MatrixPoints } from "./matrix.ts";
import type { Matrix, Point, Spec } from "./types.ts";

/**
 * What the tasks of a job are, as a function of its spec and a task's number: how many there are, and what tells each from the others. So an array or a
 * matrix of a million tasks is its spec and nothing else, in the state and in memory, and every node finds the same task under the same number.
 */
export interface Shape {
  readonly tasks: number;
  /** Of a task that there is. */
  point(task: number): Point;
}

const known = new WeakMap<Spec, Shape>();

/** undefined: one task, or one for each node, which nothing but its node tells from the others. */
export function shapeOf(spec: Spec): Shape | undefined {
  assert(spec.targets === undefined, "names of targets are in the state, where points.ts reads them");
  if (spec.count === undefined && spec.array === undefined && spec.matrix === undefined) return undefined;
  let shape = known.get(spec);
  if (shape === undefined) known.set(spec, (shape = makeShape(spec)));
  return shape;
}

/** How many tasks the spec makes; 0 stands for each_node, which the state decides. */
export function tasksIn(spec: Spec): number {
  if (spec.eachNode === true) return 0;
  return spec.targets === undefined ? (shapeOf(spec)?.tasks ?? 1) : spec.targets.count;
}

function makeShape({ count, array, matrix }: Spec): Shape {
  if (matrix !== undefined) {
    const points = matrixPoints(JSON.stringify(matrix));
    return { tasks: points.count, point: (task) => ({ index: task, matrix: points.at(task) }) };
  }
  if (array === undefined) return { tasks: count ?? 1, point: (task) => ({ index: task }) };
  const list = parseRanges(array);
  assert(typeof list !== "string", `the array of a checked spec can be read: ${array}`);
  return { tasks: list.count, point: (task) => ({ index: numberAt(list, task) ?? task }) };
}

/** Specs of long texts are read again and again (state/spec.ts), and what was excluded from them is not to be counted out each time. */
const matrixPoints = memoOfTexts((text) => new MatrixPoints(JSON.parse(text) as Matrix), {
  entries: 32,
  textLength: 256 * 1024,
});
