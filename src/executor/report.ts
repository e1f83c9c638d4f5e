import { Fault } from "../lib/fault.ts";
import { limits } from "../lib/limits.ts";
import type { Report } from "../state/types.ts";
import { reportBytes } from "./guard/frames.ts";
import { attemptKey } from "./names.ts";
import type { AttemptName, ExecutorOptions } from "./types.ts";

/**
 * Brings results to the log, many at a time: one call is under way, what ends meanwhile makes the next batch. A result stays here until
 * it is in the log; what failed is repeated, because reports are fenced by their attempt (J1) and may arrive twice.
 */
export class Reporter {
  readonly #options: Pick<ExecutorOptions, "report" | "log">;
  readonly #onReported: (reports: readonly Report[]) => void;
  readonly #waiting = new Map<string, Report>();
  /** Of those that wait: refused together with others, or ("bare") by themselves. */
  readonly #suspects = new Map<string, "whole" | "bare">();
  #flushing = false;
  #closed = false;

  /** `onReported` gets those that are in the log, or were refused as out of date. */
  constructor(options: Pick<ExecutorOptions, "report" | "log">, onReported: (reports: readonly Report[]) => void) {
    this.#options = options;
    this.#onReported = onReported;
  }

  add(reports: readonly Report[]): void {
    for (const report of reports) this.#waiting.set(attemptKey(report), bounded(report));
    if (!this.#flushing && !this.#closed) void this.#flush();
  }

  /** Nobody wants this result any more. */
  forget(name: AttemptName): void {
    this.#waiting.delete(attemptKey(name));
  }

  close(): void {
    this.#closed = true;
  }

  async #flush(): Promise<void> {
    this.#flushing = true;
    await Promise.resolve(); // what ends in this turn goes with the first batch
    let failures = 0;
    while (this.#waiting.size > 0 && !this.#closed) {
      const batch = this.#nextBatch();
      try {
        await this.#options.report(batch);
        failures = 0;
        this.#settle(batch);
      } catch (error) {
        if (error instanceof Fault && error.retry === "never") {
          this.#onRefused(batch, error.message);
          continue;
        }
        failures += 1;
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
    this.#onReported(batch);
  }

  /**
   * The log does not take these, now or later. One bad result must not hold up the others, and its task must end even if the
   * result cannot be told (J2): so they are sent one by one, and what is refused alone is replaced by the bare fact of its end.
   */
  #onRefused(batch: readonly Report[], why: string): void {
    const [report] = batch;
    if (report === undefined || batch.length > 1) {
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

const firstRetryMs = 50;

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
