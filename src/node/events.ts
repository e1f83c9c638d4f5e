import { limits } from "../lib/limits.ts";
import { isTerminal } from "../lib/states.ts";
import type { JobState } from "../state/types.ts";
import type { EventJournalReader } from "../storage/event-journal.ts";
import type { AppliedEvent, PastEvents } from "./api.ts";

/** What is on the disk of the past. */
export type StoredEvents = Pick<EventJournalReader, "oldest" | "read">;

/**
 * What this node has applied, for those who watch: a bounded past to resume from, the newest of it in memory and more on the disk, listeners, and
 * waiters for jobs. A waiter costs one map entry and no timer of its own beyond its deadline.
 */
export class Events {
  #kept: AppliedEvent[] = [];
  /** Where #kept begins: entries before it were dropped (amortised, not one by one). */
  #start = 0;
  #keptBytes = 0;
  /** Events with index > #floor are all kept. */
  #floor: number;
  readonly #listeners = new Map<(event: AppliedEvent) => void, (() => void) | undefined>();
  readonly #waiters = new Map<number, Set<(state?: JobState) => void>>();

  readonly #past: { readonly stored: StoredEvents | undefined; applied(): number } | undefined;

  /** Begins at the index `applied`; `past`: what was stored, and how far the state has come. */
  constructor(applied: number, past?: { readonly stored: StoredEvents | undefined; applied(): number }) {
    this.#floor = applied;
    this.#past = past;
  }

  publish(events: readonly AppliedEvent[], now: number): void {
    for (const event of events) {
      if (event.changes.length === 0) continue;
      this.#kept.push(event);
      this.#keptBytes += costBytes(event);
      for (const listener of this.#listeners.keys()) listener(event);
      this.#wake(event);
    }
    this.#drop(now);
  }

  /** Hears of every event from now on; `onJump` when some are missing. */
  watch(listener: (event: AppliedEvent) => void, onJump?: () => void): () => void {
    this.#listeners.set(listener, onJump);
    return () => this.#listeners.delete(listener);
  }

  /** The state jumped to `applied`: what happened in between is not known here, and whoever resumes from before must list again. */
  reset(applied: number): void {
    this.#kept = [];
    this.#start = 0;
    this.#keptBytes = 0;
    this.#floor = applied;
    for (const onJump of Array.from(this.#listeners.values())) onJump?.();
    for (const waiters of Array.from(this.#waiters.values())) for (const wake of Array.from(waiters)) wake();
  }

  /** Events in memory after `from`, or undefined when some of them are not there. */
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

  /** Events on the disk after `from`, or undefined when some of them are gone. Those that are not committed yet are left out. */
  stored(from: number): AsyncGenerator<PastEvents, void, undefined> | undefined {
    const oldest = this.#past?.stored?.oldest();
    return oldest === undefined || from < oldest ? undefined : this.#read(from);
  }

  async *#read(from: number): AsyncGenerator<PastEvents, void, undefined> {
    const past = this.#past!;
    for await (const line of past.stored!.read(from, past.applied())) {
      const events = JSON.parse(line.text) as AppliedEvent[];
      yield { through: line.to, events: events.filter((event) => event.index > from && event.changes.length > 0) };
    }
  }

  /** The first index that can still be resumed from. */
  oldest(): number {
    return Math.min(this.#floor, this.#past?.stored?.oldest() ?? this.#floor);
  }

  /** How the job ends, as soon as it does; undefined when it is forgotten, the state jumped, the time is up, or the signal fired. */
  jobEnded(job: number, timeoutMs: number, signal?: AbortSignal): Promise<JobState | undefined> {
    return new Promise((resolve) => {
      const wake = (state?: JobState): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        const waiting = this.#waiters.get(job);
        waiting?.delete(wake);
        if (waiting?.size === 0) this.#waiters.delete(job);
        resolve(state);
      };
      const onAbort = (): void => wake();
      const timer = setTimeout(wake, Math.min(timeoutMs, limits.waitMs));
      const waiting = this.#waiters.get(job);
      if (waiting === undefined) this.#waiters.set(job, new Set([wake]));
      else waiting.add(wake);
      if (signal?.aborted === true) wake();
      else signal?.addEventListener("abort", onAbort);
    });
  }

  #wake(event: AppliedEvent): void {
    if (this.#waiters.size === 0) return;
    for (const change of event.changes) {
      if (change.topic !== "job" || change.kind === "added" || change.kind === "batch") continue;
      const state = change.kind === "state" ? change.state : undefined;
      if (state !== undefined && !isTerminal(state)) continue;
      const waiting = this.#waiters.get(change.job);
      if (waiting !== undefined) for (const wake of Array.from(waiting)) wake(state);
    }
  }

  #drop(now: number): void {
    const oldestAt = now - limits.eventsInMemoryMs;
    while (this.#start < this.#kept.length) {
      const first = this.#kept[this.#start]!;
      if (this.#keptBytes <= limits.eventsInMemoryBytes && first.at >= oldestAt) break;
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
  let bytes = 96 + event.changes.length * 128;
  for (const change of event.changes)
    if (change.topic === "task" && change.kind === "unit-ended") bytes += change.tasks.length * 64;
  return bytes;
}
