import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { removeLogs } from "../executor/log-file.ts";
import { jobStates } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { AppliedEvent } from "./api.ts";

/**
 * A job's logs go when the job goes (L1, N1): each node deletes its own when it applies the removal, and at start what was
 * removed while it was away.
 */
export class LogRetention {
  readonly #dataDir: string;
  readonly #view: <Value>(query: (tx: ReadTx) => Value) => Value;
  readonly #log: (level: "warn", message: string) => void;
  #going: Promise<void> = Promise.resolve();

  constructor(
    dataDir: string,
    view: <Value>(query: (tx: ReadTx) => Value) => Value,
    log: (level: "warn", message: string) => void,
  ) {
    this.#dataDir = dataDir;
    this.#view = view;
    this.#log = log;
  }

  onApplied(events: readonly AppliedEvent[]): void {
    const removed: number[] = [];
    for (const event of events) {
      for (const change of event.changes) {
        if (change.topic === "job" && change.kind === "removed") removed.push(change.job);
      }
    }
    if (removed.length > 0) this.#remove(removed);
  }

  /** The state is as new as the cluster's: what it does not know any more is deleted. */
  sweep(): void {
    this.#going = this.#going.then(async () => {
      const kept = await readdir(join(this.#dataDir, "logs")).catch(() => [] as string[]);
      const jobs = kept.map(Number).filter((job) => Number.isSafeInteger(job) && job > 0);
      const known = this.#view((tx) => jobStates(tx, jobs));
      this.#remove(jobs.filter((job) => !known.has(job)));
    });
  }

  /** Resolves when all that was asked for so far is deleted. */
  async settled(): Promise<void> {
    let going: Promise<void>;
    do {
      going = this.#going;
      await going;
    } while (going !== this.#going);
  }

  /** One after the other: a batch of expired jobs must not open a thousand directories at once. */
  #remove(jobs: readonly number[]): void {
    this.#going = this.#going.then(async () => {
      for (const job of jobs) {
        try {
          await removeLogs(this.#dataDir, job);
        } catch (error) {
          this.#log(
            "warn",
            `the logs of job ${job} could not be deleted: ${error instanceof Error ? error.message : String(error)}`,
          );
        }
      }
    });
  }
}
