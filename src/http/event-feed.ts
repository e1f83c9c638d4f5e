import { formatInstant } from "../lib/calendar.ts";
import { limits } from "../lib/limits.ts";
import type { AppliedEvent, NodeApi } from "../node/api.ts";
import type { Change } from "../state/types.ts";
import { changeView } from "./change-view.ts";
import { eventText } from "./streams.ts";

/** What a reader wants of all changes. */
export interface EventFilter {
  readonly topics: ReadonlySet<string>;
  /** Only changes of these jobs and of their tasks. */
  readonly jobs?: ReadonlySet<number> | undefined;
}

/** Ready to be sent, the same bytes for all who want the same. */
interface Piece {
  readonly bytes: Uint8Array;
  /** How many changes it tells of. */
  readonly changes: number;
}

/** One reader's place in the feed: what it has not taken yet. Pieces are shared, so a slow reader costs references. */
export interface Seat {
  readonly filter: EventFilter;
  /** Oldest first; taken by the reader. */
  pieces: Piece[];
  /** Too far behind (L1), or the state jumped: the stream ends, and its reader may resume. */
  isCut: boolean;
  /** Called when there is something to take, or nothing more will come. */
  wake: () => void;
  /** Changes in `pieces`. */
  backlog: number;
  /** Rounds of the keep-alive in which nothing was said. */
  silentRounds: number;
}

/** Seats of those that want all changes of the same topics: their text is made once. */
interface Group {
  readonly topics: ReadonlySet<string>;
  readonly seats: Set<Seat>;
  text: string;
  changes: number;
}

const roundsPerKeepAlive = 3;

/**
 * Tells readers what changes. A change costs what those cost who want it: it is written as text once, whole topics are told to groups of readers with one
 * encoding for each group and turn, changes of single jobs are found by the job, and the rest of ten thousand readers never hears of it. Nobody has a timer of
 * his own.
 */
export class EventFeed {
  readonly #node: NodeApi;
  readonly #groups = new Map<string, Group>();
  readonly #byJob = new Map<number, Set<Seat>>();
  readonly #seats = new Set<Seat>();
  readonly #encoder = new TextEncoder();
  #isFlushDue = false;
  #end: (() => void) | undefined;

  constructor(node: NodeApi) {
    this.#node = node;
  }

  /** A place from the present moment on: whatever is applied later comes there, once. */
  enter(filter: EventFilter): Seat {
    // What this turn has told already is the past.
    this.#flush();
    const seat: Seat = { filter, pieces: [], isCut: false, wake: () => {}, backlog: 0, silentRounds: 0 };
    if (this.#seats.size === 0) this.#begin();
    this.#seats.add(seat);
    if (filter.jobs === undefined) this.#groupOf(filter).seats.add(seat);
    else {
      for (const job of filter.jobs) {
        const seats = this.#byJob.get(job);
        if (seats === undefined) this.#byJob.set(job, new Set([seat]));
        else seats.add(seat);
      }
    }
    return seat;
  }

  /** Gives the place back. */
  leave(seat: Seat): void {
    if (!this.#seats.delete(seat)) return;
    if (seat.filter.jobs === undefined) {
      const group = this.#groupOf(seat.filter);
      group.seats.delete(seat);
      if (group.seats.size === 0) this.#groups.delete(keyOf(seat.filter));
    } else {
      for (const job of seat.filter.jobs) {
        const seats = this.#byJob.get(job);
        seats?.delete(seat);
        if (seats?.size === 0) this.#byJob.delete(job);
      }
    }
    if (this.#seats.size > 0) return;
    this.#end?.();
    this.#end = undefined;
  }

  #begin(): void {
    const unwatch = this.#node.watch(
      (event) => this.#onEvent(event),
      () => {
        for (const seat of this.#seats) cut(seat);
      },
    );
    const timer = setInterval(() => this.#onRound(), limits.streamKeepAliveMs / roundsPerKeepAlive);
    this.#end = () => {
      unwatch();
      clearInterval(timer);
    };
  }

  #groupOf(filter: EventFilter): Group {
    const key = keyOf(filter);
    let group = this.#groups.get(key);
    if (group === undefined)
      this.#groups.set(key, (group = { topics: filter.topics, seats: new Set(), text: "", changes: 0 }));
    return group;
  }

  #onEvent(event: AppliedEvent): void {
    let at: string | undefined;
    for (const [n, change] of event.changes.entries()) {
      if (!isShown(change)) continue;
      let text: string | undefined;
      const written = (): string => (text ??= changeText(event.index, n, (at ??= formatInstant(event.at)), change));
      for (const group of this.#groups.values()) {
        if (!group.topics.has(change.topic)) continue;
        group.text += written();
        group.changes += 1;
        this.#isFlushDue ||= this.#flushLater();
      }
      if (this.#byJob.size > 0) this.#tellJob(change, written);
    }
  }

  #tellJob(change: Change, written: () => string): void {
    let piece: Piece | undefined;
    for (const job of jobsOf(change, this.#byJob)) {
      for (const seat of this.#byJob.get(job) ?? []) {
        if (seat.filter.topics.has(change.topic))
          give(seat, (piece ??= { bytes: this.#encoder.encode(written()), changes: 1 }));
      }
    }
  }

  /** Once a turn, so that what is applied together is sent together. */
  #flushLater(): true {
    queueMicrotask(() => this.#flush());
    return true;
  }

  #flush(): void {
    if (!this.#isFlushDue) return;
    this.#isFlushDue = false;
    for (const group of this.#groups.values()) {
      if (group.changes === 0) continue;
      const piece = { bytes: this.#encoder.encode(group.text), changes: group.changes };
      group.text = "";
      group.changes = 0;
      for (const seat of group.seats) give(seat, piece);
    }
  }

  /** Says to those who have heard nothing for long how far the stream is, so that they resume from there. */
  #onRound(): void {
    let piece: Piece | undefined;
    for (const seat of this.#seats) {
      seat.silentRounds += 1;
      if (seat.silentRounds < roundsPerKeepAlive || seat.pieces.length > 0) continue;
      give(seat, (piece ??= { bytes: this.#encoder.encode(positionText(this.#node.applied)), changes: 0 }));
    }
  }
}

function give(seat: Seat, piece: Piece): void {
  if (seat.isCut) return;
  seat.silentRounds = 0;
  seat.backlog += piece.changes;
  seat.pieces.push(piece);
  if (seat.backlog > limits.watcherBacklogChanges) cut(seat);
  else seat.wake();
}

function cut(seat: Seat): void {
  seat.isCut = true;
  seat.pieces = [];
  seat.wake();
}

function keyOf({ topics }: EventFilter): string {
  return [...topics].toSorted().join(",");
}

/** Tokens are the audit's to show, and gates the leader's to mind. */
function isShown(change: Change): boolean {
  return change.topic !== "token" && change.topic !== "gate";
}

/** Whether a reader wants to hear of it. */
export function wants({ topics, jobs }: EventFilter, change: Change): boolean {
  if (!isShown(change) || !topics.has(change.topic)) return false;
  return jobs === undefined || jobsOf(change, jobs).length > 0;
}

/** Those of the wanted jobs that a change is about. */
function jobsOf(change: Change, wanted: ReadonlySet<number> | ReadonlyMap<number, unknown>): readonly number[] {
  if (change.topic === "job" && change.kind === "added") {
    const { first, count } = change;
    if (count > wanted.size) return [...wanted.keys()].filter((job) => job >= first && job < first + count);
    return Array.from({ length: count }, (_, at) => first + at).filter((job) => wanted.has(job));
  }
  return (change.topic === "job" || change.topic === "task") && wanted.has(change.job) ? [change.job] : [];
}

/** Change `n` of the entry `index`, as the API spells it. */
export function changeText(index: number, n: number, at: string, change: Change): string {
  return eventText(change.topic, `${index}.${n}`, { at, ...changeView(change) });
}

/** How far a stream is when nothing else says so. */
export function positionText(applied: number): string {
  return eventText("position", `${applied}`, {});
}
