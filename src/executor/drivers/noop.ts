import { limits } from "../../lib/limits.ts";
import { formatDuration } from "../../lib/units.ts";
import type { Assignment, Report } from "../../state/types.ts";
import type { Started } from "../guard/frames.ts";
import { monotonicMs, wallMs, timerMsMax } from "../../lib/clock.ts";
import { attemptKey, nameOf } from "../names.ts";
import { PackWriter } from "../pack-writer.ts";
import { Tail } from "../tail.ts";
import type { AttemptName } from "../types.ts";

export interface NoopEvents {
  onEnded(reports: readonly Report[]): void;
  onStarted(attempts: readonly Started[]): void;
}

/**
 * Driver noop: tasks that only take their time, for tests and benchmarks. It has no effects, so it needs no guard: what a crash of
 * the node interrupts is simply begun again. Tasks of no duration end in the turn in which they start, all of them in one
 * batch; the others share a timer per slotMs.
 */
export class NoopDriver {
  readonly #packs: PackWriter;
  readonly #events: NoopEvents;
  readonly #live = new Map<string, Live>();
  /** By due time in slots. */
  readonly #slots = new Map<number, { readonly timer: ReturnType<typeof setTimeout>; readonly due: Live[] }>();
  #unannounced: Live[] = [];
  #announcer: ReturnType<typeof setTimeout> | undefined;

  constructor(dataDir: string, events: NoopEvents) {
    this.#packs = new PackWriter(dataDir, "n");
    this.#events = events;
  }

  start(assignments: readonly Assignment[]): void {
    const ended: Report[] = [];
    for (const assignment of assignments) {
      const forMs = assignment.spec.noop?.forMs ?? 0;
      const { timeoutMs } = assignment.spec;
      const live: Live = { assignment, startedAt: wallMs(), since: monotonicMs(), timeoutMs };
      if (forMs === 0) ended.push(this.#finish(live));
      else this.#begin(live, Math.min(forMs, timeoutMs ?? forMs));
    }
    if (ended.length > 0) this.#events.onEnded(ended);
  }

  /** Ends it as cancelled; unknown ones are ignored. */
  stop(name: AttemptName): void {
    const live = this.#live.get(attemptKey(name));
    if (live === undefined) return;
    this.#live.delete(attemptKey(name));
    this.#events.onEnded([report(live, "cancelled", { exitCode: null })]);
  }

  /** One that would have run longer than its timeout has so much more time. */
  extend(name: AttemptName, ms: number): void {
    const live = this.#live.get(attemptKey(name));
    const { timeoutMs, noop } = live?.assignment.spec ?? {};
    if (live === undefined || timeoutMs === undefined) return;
    live.timeoutMs = timeoutMs + ms;
    const forMs = Math.min(noop?.forMs ?? 0, live.timeoutMs);
    this.#place(live, forMs - (monotonicMs() - live.since));
  }

  drop(name: AttemptName): void {
    this.#live.delete(attemptKey(name));
  }

  close(): void {
    for (const slot of this.#slots.values()) clearTimeout(slot.timer);
    this.#slots.clear();
    clearTimeout(this.#announcer);
    this.#live.clear();
    this.#packs.close();
  }

  #begin(live: Live, forMs: number): void {
    this.#live.set(attemptKey(live.assignment), live);
    this.#place(live, forMs);
    if (forMs <= limits.startedAfterMs) return;
    this.#unannounced.push(live);
    this.#announcer ??= setTimeout(() => this.#announce(), limits.startedAfterMs);
  }

  #place(live: Live, forMs: number): void {
    const slot = Math.ceil((monotonicMs() + forMs) / slotMs);
    live.slot = slot;
    const known = this.#slots.get(slot);
    if (known !== undefined) known.due.push(live);
    else this.#wait(slot, [live]);
  }

  /** In steps of what a timer can count. */
  #wait(slot: number, due: Live[]): void {
    const leftMs = Math.max(0, slot * slotMs - monotonicMs());
    const timer = setTimeout(
      () => {
        if (leftMs > timerMsMax) return this.#wait(slot, due);
        this.#slots.delete(slot);
        return this.#end(slot, due);
      },
      Math.min(leftMs, timerMsMax),
    );
    this.#slots.set(slot, { timer, due });
  }

  #end(slot: number, due: readonly Live[]): void {
    const ended: Report[] = [];
    for (const live of due) {
      // Another attempt, or the same one begun anew, may have the key by now.
      if (this.#live.get(attemptKey(live.assignment)) !== live || live.slot !== slot) continue;
      this.#live.delete(attemptKey(live.assignment));
      ended.push(this.#finish(live));
    }
    if (ended.length > 0) this.#events.onEnded(ended);
  }

  #finish(live: Live): Report {
    const { timeoutMs } = live;
    const { noop, output } = live.assignment.spec;
    if (timeoutMs !== undefined && timeoutMs < (noop?.forMs ?? 0)) {
      return report(live, "timeout", {
        exitCode: null,
        reason: `ran longer than its timeout of ${formatDuration(timeoutMs)}`,
      });
    }
    const exitCode = noop?.exit ?? 0;
    const state = exitCode === 0 ? "succeeded" : "failed";
    const outputBytes = noop?.outputBytes ?? 0;
    if (outputBytes === 0) return report(live, state, { exitCode });
    const tail = new Tail(Math.min(output?.tailBytes ?? limits.tailDefaultBytes, limits.tailMaxBytes));
    const writer = this.#packs.open(live.assignment, output?.keepBytes ?? limits.logKeepBytes);
    for (let left = outputBytes; left > 0; left -= filling.length) {
      const bytes = left < filling.length ? filling.subarray(filling.length - left) : filling;
      writer.write("stdout", wallMs(), bytes);
      tail.push(bytes);
    }
    const log = writer.close();
    const reason =
      writer.dropped === 0 ? undefined : `the log is truncated, ${writer.dropped} bytes of output were not kept`;
    return report(live, state, { exitCode, tail: tail.bytes(), log, reason });
  }

  #announce(): void {
    this.#announcer = undefined;
    const now = wallMs();
    const young = this.#unannounced.findIndex(
      (live) => now - live.startedAt < limits.startedAfterMs && now >= live.startedAt,
    );
    const due = this.#unannounced.splice(0, young < 0 ? this.#unannounced.length : young);
    const running = due.filter((live) => this.#live.get(attemptKey(live.assignment)) === live);
    if (running.length > 0) {
      this.#events.onStarted(running.map((live) => ({ ...nameOf(live.assignment), startedAt: live.startedAt })));
    }
    if (this.#unannounced.length > 0) this.#announcer = setTimeout(() => this.#announce(), limits.startedAfterMs / 2);
  }
}

interface Live {
  readonly assignment: Assignment;
  readonly startedAt: number;
  /** On monotonicMs(). */
  readonly since: number;
  timeoutMs: number | undefined;
  /** Where it is due; one that was given more time stands in an earlier slot, too. */
  slot?: number;
}

function report(
  live: Live,
  state: Report["state"],
  more: Pick<Report, "exitCode"> & Partial<Pick<Report, "reason" | "tail" | "log">>,
): Report {
  return {
    ...nameOf(live.assignment),
    state,
    exitCode: more.exitCode,
    signal: null,
    reason: more.reason,
    startedAt: live.startedAt,
    finishedAt: wallMs(),
    tail: more.tail ?? noBytes,
    log: more.log,
  };
}

const slotMs = 5;
const noBytes = new Uint8Array(0);
/** Lines of 64 bytes. */
const filling = new TextEncoder().encode(`${"skein noop ".padEnd(63, ".")}\n`.repeat(1024));
