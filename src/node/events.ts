import { limits } from "../lib/limits.ts";
import type { AppliedEvent } from "./api.ts";

/**
 * What this node has applied, for those who watch: a bounded past to resume from, listeners, and waiters for jobs.
 * A waiter costs one map entry and no timer of its own beyond its deadline.
 */
export class Events {
  #kept: AppliedEvent[] = [];
  /** Where #kept begins: entries before it were dropped (amortised, not one by one). */
  #start = 0;
  #keptBytes = 0;
  /** Events with index > #floor are all kept. */
  #floor: number;
  readonly #listeners = new Set<(event: AppliedEvent) => void>();
  readonly #waiters = new Map<number, Set<() => void>>();

  constructor(applied: number) {
    this.#floor = applied;
  }

  publish(events: readonly AppliedEvent[], now: number): void {
    for (const event of events) {
      if (event.changes.length === 0) continue;
      this.#kept.push(event);
      this.#keptBytes += costBytes(event);
      for (const listener of this.#listeners) listener(event);
      this.#wake(event);
    }
    this.#drop(now);
  }

  watch(listener: (event: AppliedEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The state jumped to `applied`: what happened in between is not known here, and whoever resumes from before must list again. */
  reset(applied: number): void {
    this.#kept = [];
    this.#start = 0;
    this.#keptBytes = 0;
    this.#floor = applied;
    for (const waiters of Array.from(this.#waiters.values())) for (const wake of Array.from(waiters)) wake();
  }

  /** Events after `from`, or undefined when some of them are gone. */
  after(from: number): readonly AppliedEvent[] | undefined {
    if (from < this.#floor) return undefined;
    let low = this.#start;
    let high = this.#kept.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#kept[middle]!.index <= from) low = middle + 1;
      else high = middle;
    }
    return this.#kept.slice(low);
  }

  oldest(): number {
    return this.#floor;
  }

  /** Resolves at the next change of one of these jobs, at the deadline, or when the signal fires. */
  jobChanged(jobs: readonly number[], timeoutMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", wake);
        for (const job of jobs) {
          const waiting = this.#waiters.get(job);
          waiting?.delete(wake);
          if (waiting?.size === 0) this.#waiters.delete(job);
        }
        resolve();
      };
      const timer = setTimeout(wake, Math.min(timeoutMs, limits.waitMs));
      for (const job of jobs) {
        const waiting = this.#waiters.get(job);
        if (waiting === undefined) this.#waiters.set(job, new Set([wake]));
        else waiting.add(wake);
      }
      if (signal?.aborted === true) wake();
      else signal?.addEventListener("abort", wake);
    });
  }

  #wake(event: AppliedEvent): void {
    if (this.#waiters.size === 0) return;
    for (const change of event.changes) {
      if (change.topic !== "job" || change.kind === "added") continue;
      const waiting = this.#waiters.get(change.job);
      if (waiting !== undefined) for (const wake of Array.from(waiting)) wake();
    }
  }

  #drop(now: number): void {
    const oldestAt = now - limits.eventsKeptMs;
    while (this.#start < this.#kept.length) {
      const first = this.#kept[this.#start]!;
      if (this.#keptBytes <= limits.eventsKeptBytes && first.at >= oldestAt) break;
      this.#keptBytes -= costBytes(first);
      this.#floor = first.index;
      this.#start += 1;
    }
    if (this.#start > 1024 && this.#start * 2 > this.#kept.length) {
      this.#kept = this.#kept.slice(this.#start);
      this.#start = 0;
    }
  }
}

/** What a kept event takes of memory, near enough to bound it. */
function costBytes(event: AppliedEvent): number {
  return 96 + event.changes.length * 128;
}
