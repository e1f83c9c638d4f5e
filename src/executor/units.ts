import type { JobId } from "../lib/ids.ts";
import { isGroup } from "../lib/room.ts";
import { packRuns, RunGatherer } from "../lib/task-runs.ts";
import type { Report, Spec, UnitAssignment } from "../state/types.ts";
import { wallMs } from "../lib/clock.ts";
import type { UnitEnds, UnitName } from "./types.ts";

type TaskRange = UnitAssignment["running"][number];

/** One text per unit. */
export function unitKey({ job, first }: UnitName): string {
  return `${job}/${first}`;
}

/**
 * A unit that this node holds (state/tables/unit.ts): its tasks that wait here for their turn, in order. `live` of them are held one by one by now, and
 * never more than its width.
 */
export class HeldUnit {
  readonly assignment: UnitAssignment;
  /** What runs of it is one process, and takes the room of one task (driver ansible). */
  readonly isGroup: boolean;
  live = 0;
  /** An earlier process may have begun any of it (see Held). */
  mayHaveBegun = false;
  /** Of a group: how many count themselves as taking that room. */
  takers = 0;
  /** By task: what was added to the timeouts of those that wait. */
  readonly extended = new Map<number, number>();
  /** In descending order: the next one is the last. */
  #waiting: number[] = [];

  /** Of its tasks that run by the state, those wait that are not `elsewhere`. */
  constructor(assignment: UnitAssignment, elsewhere: (task: number) => boolean = () => false) {
    this.assignment = assignment;
    this.isGroup = isGroup(assignment.spec);
    for (const [task, ms] of assignment.extended) this.extended.set(task, ms);
    for (const task of tasksOf(assignment)) if (!elsewhere(task)) this.#waiting.push(task);
    this.#waiting.reverse();
  }

  /** The next task that may begin, which is one of the live ones from now on; undefined: none may. */
  take(): number | undefined {
    if (this.live >= this.assignment.width) return undefined;
    return this.takeAny();
  }

  /** The same, whatever its width. */
  takeAny(): number | undefined {
    const task = this.#waiting.pop();
    if (task !== undefined) this.live += 1;
    return task;
  }

  /** So many of those that wait, the last ones, which are of the live ones from now on. */
  takeLast(most: number): number[] {
    const tasks = this.#waiting.splice(0, most);
    this.live += tasks.length;
    return tasks;
  }

  /** Those that wait, as ranges. */
  waitingRanges(): TaskRange[] {
    const ranges: { first: number; count: number }[] = [];
    for (let at = this.#waiting.length - 1; at >= 0; at--) {
      const task = this.#waiting[at]!;
      const last = ranges.at(-1);
      if (last !== undefined && last.first + last.count === task) last.count += 1;
      else ranges.push({ first: task, count: 1 });
    }
    return ranges;
  }

  /** A task that was taken waits again. */
  putBack(task: number): void {
    this.live -= 1;
    const at = this.#waiting.findIndex((one) => one < task);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, task);
  }

  /** The task waits no more; false: it did not. */
  remove(task: number): boolean {
    const at = this.#waiting.indexOf(task);
    if (at >= 0) this.#waiting.splice(at, 1);
    return at >= 0;
  }

  /** Those wait no more that do not run by the state. */
  keepOnly(assignment: UnitAssignment): void {
    const running = new Set(tasksOf(assignment));
    this.#waiting = this.#waiting.filter((task) => running.has(task));
  }

  get waits(): boolean {
    return this.#waiting.length > 0;
  }
}

function* tasksOf({ running }: UnitAssignment): Generator<number, void, undefined> {
  for (const { first, count } of running) for (let task = first; task < first + count; task++) yield task;
}

/** The units that this node holds and of which something waits or runs. */
export class HeldUnits {
  readonly #units = new Map<string, HeldUnit>();

  get(name: UnitName): HeldUnit | undefined {
    return this.#units.get(unitKey(name));
  }

  add(unit: HeldUnit): HeldUnit {
    this.#units.set(unitKey(unit.assignment), unit);
    return unit;
  }

  delete(unit: HeldUnit): void {
    this.#units.delete(unitKey(unit.assignment));
  }

  /** The unit that the first attempt of a task belongs to. */
  around({
    job,
    task,
    attempt,
  }: {
    readonly job: JobId;
    readonly task: number;
    readonly attempt: number;
  }): HeldUnit | undefined {
    if (attempt !== 1 || this.#units.size === 0) return undefined;
    for (const unit of this.#units.values()) {
      const { job: of, first, count } = unit.assignment;
      if (of === job && task >= first && task < first + count) return unit;
    }
    return undefined;
  }

  /** Of one of them tasks wait for their turn. */
  get wait(): boolean {
    for (const unit of this.#units.values()) if (unit.waits) return true;
    return false;
  }

  /** In the order in which they came. */
  all(): readonly HeldUnit[] {
    return [...this.#units.values()];
  }

  get size(): number {
    return this.#units.size;
  }
}

/** Its tasks take no time and leave nothing: they are run here and now, all of them. */
export function isInstant({ driver, noop, timeoutMs }: Spec): boolean {
  if (driver !== "noop" || timeoutMs !== undefined) return false;
  const { forMs = 0, outputBytes = 0, exit = 0 } = noop ?? {};
  return forMs === 0 && outputBytes === 0 && exit === 0;
}

/** Runs such tasks of it as still wait, each with its own start and end: `now` is asked for either. */
export function runInstant(unit: HeldUnit, now: () => number = wallMs): UnitEnds {
  const runs: RunGatherer = new RunGatherer();
  const { job, first } = unit.assignment;
  for (const range of unit.waitingRanges()) {
    let open = { first: range.first - first, count: 0, kind: "ended" as const, startedAt: 0, finishedAt: 0 };
    for (let task = 0; task < range.count; task++) {
      const startedAt = now();
      const finishedAt = now();
      if (open.startedAt !== startedAt || open.finishedAt !== finishedAt) {
        if (open.count > 0) runs.add(open);
        open = { first: range.first - first + task, count: 0, kind: "ended", startedAt, finishedAt };
      }
      open.count += 1;
    }
    if (open.count > 0) runs.add(open);
  }
  return { job, first, runs: packRuns(runs.runs) };
}

/** What a unit can say of its tasks: they succeeded at their first attempt, and left nothing. */
function isPlain(report: Report): boolean {
  const { state, attempt, exitCode, signal, reason, tail, log, startedAt } = report;
  const succeeded = state === "succeeded" && attempt === 1 && exitCode === 0 && signal === null;
  return succeeded && reason === undefined && tail.length === 0 && log === undefined && startedAt >= 1;
}

/** Parts reports into those of units that can be told together, and the others. `unitOf`: the unit that a report's task is in. */
export function packReports(
  reports: readonly Report[],
  unitOf: (report: Report) => UnitName | undefined,
): { readonly singles: readonly Report[]; readonly units: readonly UnitEnds[] } {
  const singles: Report[] = [];
  const packed = new Map<string, { readonly name: UnitName; readonly reports: Report[] }>();
  for (const report of reports) {
    const name = isPlain(report) ? unitOf(report) : undefined;
    if (name === undefined) {
      singles.push(report);
      continue;
    }
    const key = unitKey(name);
    const known = packed.get(key);
    if (known !== undefined) known.reports.push(report);
    else packed.set(key, { name, reports: [report] });
  }
  const units = Array.from(packed.values(), ({ name: { job, first }, reports: own }): UnitEnds => {
    const runs = new RunGatherer();
    for (const { task, startedAt, finishedAt } of own.sort((a, b) => a.task - b.task)) {
      const [from, to] = [Math.round(startedAt), Math.round(finishedAt)];
      runs.add({ first: task - first, count: 1, kind: "ended", startedAt: from, finishedAt: to });
    }
    return { job, first, runs: packRuns(runs.runs) };
  });
  return { singles, units };
}
