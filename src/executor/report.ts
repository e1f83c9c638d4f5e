import { monotonicMs } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import { limits } from "../lib/limits.ts";
import { unpackRuns } from "../lib/task-runs.ts";
import type { Report } from "../state/types.ts";
import { reportBytes } from "./guard/frames.ts";
import { attemptKey } from "./names.ts";
import type { AttemptName, ExecutorOptions, UnitEnds, UnitName } from "./types.ts";
import { packReports, unitKey } from "./units.ts";

/** What a {@link Reporter} asks and tells. */
export interface ReporterEvents {
  /** Those that are in the log, or were refused as out of date. */
  onReported(reports: readonly Report[]): void;
  /** The unit that the report's task is in; undefined: none. */
  readonly unitOf: (report: Report) => UnitName | undefined;
  /** Other tasks are here that begin as soon as there is room. */
  readonly hasMore: () => boolean;
}

/**
 * Brings results to the log, many at a time: one call is under way, what ends meanwhile makes the next batch. A result stays here until
 * it is in the log; what failed is repeated, because reports are fenced by their attempt (J1) and may arrive twice.
 */
export class Reporter {
  readonly #options: Pick<ExecutorOptions, "report" | "log">;
  readonly #events: ReporterEvents;
  readonly #waiting = new Map<string, Report>();
  /** Ends of whole units, told as they are. */
  readonly #units = new Map<string, UnitEnds>();
  /** Of those that wait: refused together with others, or ("bare") by themselves. */
  readonly #suspects = new Map<string, "whole" | "bare">();
  #flushing = false;
  #closed = false;
  /** Monotonic ms; when the last batch was on its way. */
  #sentAt = -Infinity;
  /** Results since then of tasks that are in no unit. */
  #singles = 0;
  /** Monotonic ms; until then those since then may wait for others. undefined: nothing waits. */
  #patientUntil: number | undefined;
  #hurry: () => void = () => {};

  constructor(options: Pick<ExecutorOptions, "report" | "log">, events: ReporterEvents) {
    this.#options = options;
    this.#events = events;
  }

  add(reports: readonly Report[]): void {
    for (const report of reports) {
      this.#waiting.set(attemptKey(report), bounded(report));
      if (this.#events.unitOf(report) !== undefined) {
        this.#patientUntil = Math.min(this.#patientUntil ?? Infinity, monotonicMs() + patienceOf(report));
        continue;
      }
      this.#singles += 1;
      if (this.#singles === 1) this.#hurry();
    }
    if (!this.#flushing && !this.#closed) void this.#flush();
  }

  /** What has ended of a unit, which is told once. */
  addUnit(ends: UnitEnds): void {
    this.#units.set(unitKey(ends), ends);
    this.#patientUntil = -Infinity; // they took no time
    if (!this.#flushing && !this.#closed) void this.#flush();
  }

  /** It has not been told yet. */
  hasUnit(name: UnitName): boolean {
    return this.#units.has(unitKey(name));
  }

  /** Nobody wants it any more. */
  forgetUnit(name: UnitName): void {
    this.#units.delete(unitKey(name));
  }

  get units(): readonly UnitName[] {
    return [...this.#units.values()];
  }

  /** Nobody wants this result any more. */
  forget(name: AttemptName): void {
    this.#waiting.delete(attemptKey(name));
  }

  /** Nothing more begins here: the leader is to know at once. */
  hurry(): void {
    this.#hurry();
  }

  close(): void {
    this.#closed = true;
    this.#hurry();
  }

  /**
   * While more is here to begin, nobody is idle for lack of news: what ends soon goes together, since an entry costs all nodes about the same with one result as with ten. Those
   * who wait for a job of one task get their answer first. Where nothing more is here a place is idle meanwhile: for a small part of the time that the task had it.
   */
  async #gather(): Promise<void> {
    const left = (): number => {
      if (!this.#events.hasMore()) return this.#singles > 0 ? 0 : (this.#patientUntil ?? 0) - monotonicMs();
      return this.#sentAt + (this.#singles > 0 ? limits.reportGatherMs : limits.unitGatherMs) - monotonicMs();
    };
    for (let restMs = left(); restMs > 0 && this.#mayWait(); restMs = left()) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((resolve) => {
        this.#hurry = resolve;
        timer = setTimeout(resolve, Math.ceil(restMs));
      });
      clearTimeout(timer);
    }
    this.#hurry = () => {};
  }

  #mayWait(): boolean {
    return !this.#closed && this.#suspects.size === 0 && !this.#isFull();
  }

  /** More is here than one entry takes: to wait gathers nothing. */
  #isFull(): boolean {
    let room: number = limits.reportBytes;
    for (const report of this.#waiting.values()) {
      room -= reportBytes(report);
      if (room < 0) return true;
    }
    return false;
  }

  async #flush(): Promise<void> {
    this.#flushing = true;
    await Promise.resolve(); // what ends in this turn goes with the first batch
    let failures = 0;
    while ((this.#waiting.size > 0 || this.#units.size > 0) && !this.#closed) {
      await this.#gather();
      if (this.#closed) break;
      const batch = this.#nextBatch();
      const whole = this.#nextUnits();
      if (batch.length === 0 && whole.length === 0) continue; // forgotten meanwhile
      this.#sentAt = monotonicMs();
      this.#patientUntil = undefined;
      // Of those that stay somebody may wait for one.
      this.#singles = this.#waiting.size > batch.length ? 1 : 0;
      // One alone gains nothing, and may be one of those that were refused together.
      const { singles, units } =
        batch.length > 1 ? packReports(batch, this.#events.unitOf) : { singles: batch, units: [] };
      try {
        await this.#options.report(singles, [...whole, ...units]);
        failures = 0;
        for (const ends of whole) if (this.#units.get(unitKey(ends)) === ends) this.#units.delete(unitKey(ends));
        this.#settle(batch);
      } catch (error) {
        if (error instanceof Fault && error.retry === "never") {
          for (const ends of whole) this.#takeApart(ends);
          this.#onRefused(batch, error.message);
          continue;
        }
        failures += 1;
        this.#singles += batch.length;
        if (failures === 1) {
          const message = error instanceof Error ? error.message : String(error);
          this.#options.log("warn", `results could not be logged and are kept: ${message}`, {
            results: this.#waiting.size,
          });
        }
        await Bun.sleep(Math.min(limits.reportRetryMs, firstRetryMs * 2 ** Math.min(failures - 1, 10)));
      }
    }
    this.#flushing = false;
  }

  #settle(batch: readonly Report[]): void {
    for (const report of batch) {
      this.#waiting.delete(attemptKey(report));
      this.#suspects.delete(attemptKey(report));
    }
    this.#events.onReported(batch);
  }

  /**
   * The log does not take these, now or later. One bad result must not hold up the others, and its task must end even if the
   * result cannot be told (J2): so they are sent one by one, and what is refused alone is replaced by the bare fact of its end.
   */
  #onRefused(batch: readonly Report[], why: string): void {
    const [report] = batch;
    if (report === undefined) return;
    if (batch.length > 1) {
      for (const one of batch) this.#suspects.set(attemptKey(one), "whole");
      return;
    }
    const key = attemptKey(report);
    this.#options.log("error", `the result of attempt ${key} was refused: ${why}`);
    if (this.#suspects.get(key) === "bare") {
      this.#settle(batch); // there is nothing else to try
      return;
    }
    this.#suspects.set(key, "bare");
    if (this.#waiting.has(key)) this.#waiting.set(key, bareReport(report, why));
  }

  /** Its tasks are told one by one: what is wrong with one of them must not hold up the others. */
  #takeApart(ends: UnitEnds): void {
    if (!this.#units.delete(unitKey(ends))) return; // forgotten meanwhile
    const { job, first } = ends;
    for (const run of unpackRuns(ends.runs) ?? []) {
      for (let task = first + run.first; task < first + run.first + run.count; task++) {
        const name = { job, task, attempt: 1 };
        const { startedAt, finishedAt } = run;
        const nothing = { signal: null, reason: undefined, tail: new Uint8Array(0), log: undefined };
        this.#waiting.set(attemptKey(name), {
          ...name,
          ...nothing,
          state: "succeeded",
          exitCode: 0,
          startedAt,
          finishedAt,
        });
        this.#suspects.set(attemptKey(name), "whole");
      }
    }
  }

  /** As many as one entry may hold; none while results are told one by one. */
  #nextUnits(): UnitEnds[] {
    const units: UnitEnds[] = [];
    let room: number = limits.reportBytes;
    for (const ends of this.#suspects.size > 0 ? [] : this.#units.values()) {
      room -= ends.runs.length + unitBytes;
      if ((room < 0 && units.length > 0) || units.length >= limits.assignmentsPerEntry) break;
      units.push(ends);
    }
    return units;
  }

  /** A suspect alone, or the oldest results, as many as one entry may hold. */
  #nextBatch(): Report[] {
    for (const key of this.#suspects.keys()) {
      const suspect = this.#waiting.get(key);
      if (suspect !== undefined) return [suspect];
      this.#suspects.delete(key); // forgotten meanwhile
    }
    const batch: Report[] = [];
    let room: number = limits.reportBytes;
    for (const report of this.#waiting.values()) {
      room -= reportBytes(report);
      if (room < 0 && batch.length > 0) break;
      batch.push(report);
    }
    return batch;
  }
}

/** How long the result of a task of a unit may wait for others; one that never began has no start. */
function patienceOf({ startedAt, finishedAt }: Report): number {
  if (startedAt === 0) return 0;
  return Math.min(limits.unitGatherMs, Math.max(0, finishedAt - startedAt) / patiencePart);
}

/** A place that is idle for that part of its task's time is not missed. */
const patiencePart = 32;
const firstRetryMs = 50;
/** What the name of a unit takes of an entry, at most. */
const unitBytes = 64;

/** Reasons may quote what people wrote, at any length. */
function bounded(report: Report): Report {
  const { reason } = report;
  if (reason === undefined || reason.length <= limits.reasonLength) return report;
  return { ...report, reason: `${reason.slice(0, limits.reasonLength - 1)}…` };
}

function bareReport({ job, task, attempt, startedAt, finishedAt }: Report, why: string): Report {
  const name = { job, task, attempt };
  const nothing = { exitCode: null, signal: null, tail: new Uint8Array(0), log: undefined };
  const reason = `its result was refused by the log: ${why}`;
  return bounded({ ...name, ...nothing, state: "failed", reason, startedAt, finishedAt });
}
