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
  #flushing = false;
  #closed = false;

  /** `onReported` gets those that are in the log, or were refused as out of date. */
  constructor(options: Pick<ExecutorOptions, "report" | "log">, onReported: (reports: readonly Report[]) => void) {
    this.#options = options;
    this.#onReported = onReported;
  }

  add(reports: readonly Report[]): void {
    for (const report of reports) this.#waiting.set(attemptKey(report), report);
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
        for (const report of batch) this.#waiting.delete(attemptKey(report));
        this.#onReported(batch);
      } catch (error) {
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

  /** The oldest results, as many as one entry may hold. */
  #nextBatch(): Report[] {
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
