/**
 * What is known of the tasks of a unit (state/tables/unit.ts), as runs of tasks that are alike, and packed into bytes: of a task that ended its start and
 * its end in whole milliseconds, nothing rounded or left out. Tasks that follow one another and began and ended in the same milliseconds are one run.
 *
 *   packed = run*        run = head, start?, duration?, more?    all of them varints
 *   head = gap * 8 + kind * 2 + (has more)     gap: tasks between the run before and this one     kind: see below
 *   start: since the start of the run before, zigzag    duration: zigzag (wall clocks go back)    more: tasks of the run beyond the first, less one
 */
export type RunKind = "ended" | "apart" | "started";

/** Tasks [first, first + count) of a unit, counted from its first one. */
export interface TaskRun {
  readonly first: number;
  readonly count: number;
  /** "apart": they have rows of their own, which say everything. "started": they run since `startedAt`. */
  readonly kind: RunKind;
  /** Epoch ms; 0 where there is none. */
  readonly startedAt: number;
  readonly finishedAt: number;
}

const kinds = ["ended", "apart", "started"] as const satisfies readonly RunKind[];

/** Runs in ascending order that do not reach into each other. */
export function packRuns(runs: readonly TaskRun[]): Uint8Array {
  const out: number[] = [];
  let at = 0;
  let start = 0;
  for (const run of runs) {
    write(out, (run.first - at) * 8 + kinds.indexOf(run.kind) * 2 + (run.count > 1 ? 1 : 0));
    if (run.kind !== "apart") {
      write(out, zigzag(run.startedAt - start));
      start = run.startedAt;
    }
    if (run.kind === "ended") write(out, zigzag(run.finishedAt - run.startedAt));
    if (run.count > 1) write(out, run.count - 2);
    at = run.first + run.count;
  }
  return Uint8Array.from(out);
}

/** What packRuns made; undefined: bytes that it makes of nothing. */
export function unpackRuns(bytes: Uint8Array): TaskRun[] | undefined {
  const runs: TaskRun[] = [];
  let position = 0;
  const read = (): number => {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 49; scale *= 128) {
      const byte = bytes[position++];
      if (byte === undefined) return Number.NaN;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    return Number.NaN;
  };
  let at = 0;
  let start = 0;
  while (position < bytes.length) {
    const head = read();
    const kind = kinds[Math.floor(head / 2) % 4];
    if (kind === undefined) return undefined;
    const first = at + Math.floor(head / 8);
    if (kind !== "apart") start += unzigzag(read());
    const startedAt = kind === "apart" ? 0 : start;
    const finishedAt = kind === "ended" ? start + unzigzag(read()) : 0;
    const count = head % 2 === 1 ? read() + 2 : 1;
    at = first + count;
    if (!(startedAt >= 0 && finishedAt >= 0 && startedAt <= lastInstant && finishedAt <= lastInstant && at <= tasksMax))
      return undefined;
    runs.push({ first, count, kind, startedAt, finishedAt });
  }
  return runs;
}

/** The last instant that can be written as a date, and more tasks than any unit has. */
const lastInstant = 8_640_000_000_000_000;
const tasksMax = 2 ** 32;

function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1;
}

function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

function write(out: number[], value: number): void {
  while (value >= 128) {
    out.push((value % 128) + 128);
    value = Math.floor(value / 128);
  }
  out.push(value);
}

/** Gathers tasks in ascending order into runs. */
export class RunGatherer {
  readonly runs: TaskRun[] = [];

  add(run: TaskRun): void {
    const last = this.runs.at(-1);
    if (last !== undefined && last.first + last.count === run.first && isAlike(last, run))
      this.runs[this.runs.length - 1] = { ...last, count: last.count + run.count };
    else this.runs.push(run);
  }
}

function isAlike(a: TaskRun, b: TaskRun): boolean {
  return a.kind === b.kind && a.startedAt === b.startedAt && a.finishedAt === b.finishedAt;
}

/** The run that a task is in; undefined: nothing is known of it. */
export function runAt(runs: readonly TaskRun[], task: number): TaskRun | undefined {
  let [low, high] = [0, runs.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (runs[middle]!.first <= task) low = middle + 1;
    else high = middle;
  }
  const run = runs[low - 1];
  return run !== undefined && task < run.first + run.count ? run : undefined;
}

/** What is told of some tasks takes the place of what was known of them. Both in ascending order. */
export function mergeRuns(known: readonly TaskRun[], told: readonly TaskRun[]): TaskRun[] {
  const merged = new RunGatherer();
  let [at, from] = [0, 0]; // the next known run, and the first task that is not merged yet
  const takeKnown = (to: number): void => {
    for (let run = known[at]; run !== undefined && run.first < to; run = known[at]) {
      const first = Math.max(run.first, from);
      const end = Math.min(run.first + run.count, to);
      if (end > first) merged.add({ ...run, first, count: end - first });
      if (run.first + run.count > to) return;
      at += 1;
    }
  };
  for (const run of told) {
    takeKnown(run.first);
    merged.add(run);
    from = run.first + run.count;
  }
  takeKnown(Number.POSITIVE_INFINITY);
  return merged.runs;
}

/** The tasks of [0, count) that run: nothing is known of them, or that they have started. Ranges in ascending order. */
export function* runningIn(runs: readonly TaskRun[], count: number): Generator<{ first: number; count: number }> {
  let open = 0;
  for (const run of runs) {
    if (run.kind === "started") continue;
    if (run.first > open) yield { first: open, count: run.first - open };
    open = run.first + run.count;
  }
  if (open < count) yield { first: open, count: count - open };
}

/** Those tasks of a run of which `isWanted` holds for what is known (undefined: nothing), as runs of their own. */
export function* partsOf(
  run: TaskRun,
  known: readonly TaskRun[],
): Generator<{ readonly part: TaskRun; readonly before: RunKind | undefined }> {
  let at = run.first;
  const end = run.first + run.count;
  let [low, high] = [0, known.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (known[middle]!.first + known[middle]!.count <= at) low = middle + 1;
    else high = middle;
  }
  for (; at < end; low++) {
    const next = known[low];
    const gapEnd = Math.min(next?.first ?? end, end);
    if (gapEnd > at) yield { part: { ...run, first: at, count: gapEnd - at }, before: undefined };
    at = Math.max(at, gapEnd);
    if (next === undefined || at >= end) continue;
    const stop = Math.min(next.first + next.count, end);
    yield { part: { ...run, first: at, count: stop - at }, before: next.kind };
    at = stop;
  }
}
