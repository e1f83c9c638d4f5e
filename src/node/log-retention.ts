import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { removeLogs } from "../executor/log-file.ts";
import type { PackShelf } from "../executor/pack-shelf.ts";
import { limits } from "../lib/limits.ts";
import { jobStates } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { AppliedEvent } from "./api.ts";

/** What retention works on. */
export interface LogRetentionPorts {
  readonly dataDir: string;
  readonly shelf: Pick<PackShelf, "lookAtAll" | "jobs" | "forget" | "clear" | "compact">;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  /** These packs of this node, or copies of those of others, are here no more. */
  onRemoved(packs: readonly { readonly source: number; readonly name: string }[]): void;
  log(level: "warn", message: string): void;
  /** Bytes of packs, this node's and of copies each; absent: {@link limits}. */
  readonly keepBytes?: number;
  /** Packs of this size and more are compacted; absent: {@link limits}. */
  readonly compactBytes?: number;
}

/**
 * A job's logs go when the job goes (L1, N1): each node forgets them when it applies the removal, and at start what was removed while it was away. A pack goes
 * when all its jobs are gone, here and where its copy is: each of the two finds that out by itself. One that is wanted to less than half is written anew, by its node alone, in a sweep. More than limits.packsBytes are not kept.
 */
export class LogRetention {
  readonly #ports: LogRetentionPorts;
  #going: Promise<void> = Promise.resolve();
  /** Jobs with files of releases before packs; undefined: not looked yet. */
  #legacy: Set<number> | undefined;

  constructor(ports: LogRetentionPorts) {
    this.#ports = ports;
  }

  onApplied(events: readonly AppliedEvent[]): void {
    const removed: number[] = [];
    for (const event of events) {
      for (const change of event.changes) {
        if (change.topic === "job" && change.kind === "removed") removed.push(change.job);
      }
    }
    if (removed.length > 0) this.#then(() => this.#forget(removed));
  }

  /** The state is as new as the cluster's: what it does not know any more is deleted. */
  sweep(): void {
    this.#then(async () => {
      await this.#sweepFiles();
      await this.#ports.shelf.lookAtAll();
      for (let after = 0; ;) {
        const jobs = this.#ports.shelf.jobs(after, sweptAtOnce);
        if (jobs.length === 0) break;
        this.#ports.shelf.forget(this.#unknown(jobs));
        after = jobs.at(-1)!;
        await new Promise((resolve) => setImmediate(resolve));
      }
      // Before packs are written anew: what those take the place of stays until the next sweep, and by then they have their copies.
      await this.#clear();
      for (let packs = 0; packs < compactedAtOnce; packs++)
        if (!(await this.#ports.shelf.compact(this.#ports.compactBytes))) break;
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
  #then(step: () => Promise<void>): void {
    this.#going = this.#going.then(step).catch((error: unknown) => {
      this.#ports.log("warn", `logs could not be deleted: ${error instanceof Error ? error.message : String(error)}`);
    });
  }

  async #forget(jobs: readonly number[]): Promise<void> {
    this.#ports.shelf.forget(jobs);
    await this.#clear();
    const inFiles = this.#legacy;
    await this.#removeFiles(inFiles === undefined ? jobs : jobs.filter((job) => inFiles.has(job)));
  }

  async #clear(): Promise<void> {
    const removed = await this.#ports.shelf.clear(this.#ports.keepBytes ?? limits.packsBytes);
    const wanted = removed.filter((pack) => pack.wanted).length;
    if (wanted > 0)
      this.#ports.log("warn", `${wanted} packs of logs were deleted before their jobs: there were more than are kept`);
    if (removed.length > 0) this.#ports.onRemoved(removed);
  }

  async #sweepFiles(): Promise<void> {
    const kept = await readdir(join(this.#ports.dataDir, "logs")).catch(() => [] as string[]);
    const jobs = kept.map(Number).filter((job) => Number.isSafeInteger(job) && job > 0);
    this.#legacy = new Set(jobs);
    await this.#removeFiles(this.#unknown(jobs));
  }

  #unknown(jobs: readonly number[]): number[] {
    const known = this.#ports.view((tx) => jobStates(tx, jobs));
    return jobs.filter((job) => !known.has(job));
  }

  async #removeFiles(jobs: readonly number[]): Promise<void> {
    for (const job of jobs) {
      try {
        await removeLogs(this.#ports.dataDir, job);
        this.#legacy?.delete(job);
      } catch (error) {
        this.#ports.log(
          "warn",
          `the logs of job ${job} could not be deleted: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
    }
  }
}

const sweptAtOnce = 500;
/** In one sweep, of which there is one every few minutes. */
const compactedAtOnce = 16;
