import type { Rolling } from "./types.ts";

/**
 * Rolling batches: the tasks of a job in groups, by their numbers, of which each begins when all tasks of those before it have ended. Sizes are counts or
 * shares of all tasks, fractions rounded up; the last one is that of all batches that follow, too. So a batch is a function of the spec, how many tasks the job
 * has and where it ends, and that end is all that is kept of it (tables/gate.ts). When a batch begins is decided in gates.ts.
 */

/** One batch of a job: its number from 1 on, how many there are, and its tasks [first, first + tasks). */
export interface BatchPlace {
  readonly now: number;
  readonly of: number;
  readonly first: number;
  readonly tasks: number;
}

/** Where the batches of the listed sizes end, but for the last size; and that one, which goes on to the end. */
function layout({ sizes }: Rolling, tasks: number): { readonly ends: readonly number[]; readonly step: number } {
  const ends: number[] = [];
  let end = 0;
  for (const size of sizes.slice(0, -1)) {
    if (end === tasks) break;
    end = Math.min(tasks, end + tasksOf(size, tasks));
    ends.push(end);
  }
  return { ends, step: tasksOf(sizes.at(-1) ?? tasks, tasks) };
}

function tasksOf(size: number | string, tasks: number): number {
  if (typeof size === "number") return size;
  // 10% of 30 is not 3.0000000000000004.
  return Math.max(1, Math.ceil((Number.parseFloat(size) * tasks) / 100 - 1e-9));
}

/** Where the batch ends that follows one that ends at `end`; of 0 the first one. */
export function nextEnd(rolling: Rolling, tasks: number, end: number): number {
  const { ends, step } = layout(rolling, tasks);
  return ends.find((one) => one > end) ?? Math.min(tasks, end + step);
}

/** The batch that ends there. */
export function batchEnding(rolling: Rolling, tasks: number, end: number): BatchPlace {
  const { ends, step } = layout(rolling, tasks);
  const last = ends.at(-1) ?? 0;
  const of = ends.length + Math.ceil((tasks - last) / step);
  const at = ends.indexOf(end);
  if (at !== -1) {
    const first = ends[at - 1] ?? 0;
    return { now: at + 1, of, first, tasks: end - first };
  }
  const turn = Math.ceil((end - last) / step);
  const first = last + (turn - 1) * step;
  return { now: ends.length + turn, of, first, tasks: end - first };
}

/** How many tasks the first `most` batches have. */
export function batchSizes(rolling: Rolling, tasks: number, most: number): number[] {
  const sizes: number[] = [];
  for (let end = 0; end < tasks && sizes.length < most;) {
    const next = nextEnd(rolling, tasks, end);
    sizes.push(next - end);
    end = next;
  }
  return sizes;
}
