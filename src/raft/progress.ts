import { assert } from "../lib/assert.ts";
import type { NodeId } from "../lib/ids.ts";

/**
 * How the leader sends to a follower. "probe": where the logs agree is a guess, one append at a time. "replicate": it
 * is known, or hoped of who has just voted for this leader, appends are pipelined within a window. "snapshot": what it lacks is not in the log any more; nothing is sent from the log while one
 * is on its way. "relay": another member feeds it with what is committed (a learner only, so it counts in no quorum); the leader sends it nothing and
 * knows how far it is by hearsay.
 */
export type ProgressMode = "probe" | "replicate" | "snapshot" | "relay";

/** The leader's view of one other node. Always match < next. */
export class Progress {
  readonly node: NodeId;
  mode: ProgressMode = "probe";
  /** Known to be durable there and equal to our log. */
  match = 0;
  /** The next entry to send. */
  next: number;
  /** Probing: an append is under way, wait for its answer or for a heartbeat's. */
  paused = false;
  /** An append must go out with the next drain, empty if need be: it finds out what was lost. */
  nudge = false;
  /** The highest commit index that this node has been told. */
  announced = 0;
  /** The newest read round that this node answered in this term. */
  round = 0;
  /** Heard from since the last quorum check. */
  active = false;
  #wasActive = false;
  /** Quorum checks in a row by which it had not been heard. -1: the first of them may follow at once. */
  #checksUnheard = -1;
  /** As it says itself. */
  slowDisk = false;
  /** The end of the leader's log when it began to lead, or to send to this node. */
  readonly #searchFrom: number;
  readonly #window: Inflight;

  constructor(node: NodeId, next: number, inflightAppends: number, inflightBytes: number) {
    assert(next >= 1, "the first entry is 1");
    this.node = node;
    this.next = next;
    this.#searchFrom = next;
    this.#window = new Inflight(inflightAppends, inflightBytes);
  }

  /** Heard from since the quorum check before the last one: at no moment a time of no account. */
  get isHeard(): boolean {
    return this.active || this.#wasActive;
  }

  /** Not heard for an election timeout at least. Unlike {@link isHeard} it presumes nothing of who had no time yet to be heard. */
  get isSilent(): boolean {
    return !this.active && this.#checksUnheard > 0;
  }

  /** A quorum check was made. */
  checked(): void {
    this.#checksUnheard = this.active ? 0 : this.#checksUnheard + 1;
    this.#wasActive = this.active;
    this.active = false;
  }

  get hasRoom(): boolean {
    return !this.#window.isFull;
  }

  /** An append with entries up to `last` was sent while replicating. */
  sent(last: number, bytes: number): void {
    assert(this.mode === "replicate" && last >= this.next, "only replication runs ahead of acknowledgements");
    this.next = last + 1;
    this.#window.add(last, bytes);
  }

  /** The node has everything up to `match`; our log begins after `base`. True when that is news. */
  acknowledged(match: number, base: number): boolean {
    this.active = true;
    const news = match > this.match;
    if (news) {
      this.match = match;
      this.#window.freeUpTo(match);
      if (this.next <= match) this.next = match + 1;
    }
    // An empty probe that fits is as good as one that brought something; and so is any snapshot from which the log goes on, be it the one
    // that we sent or another.
    const goesOn = this.mode === "probe" || (this.mode === "snapshot" && this.match >= base);
    if (goesOn && match === this.match) {
      this.mode = "replicate";
      this.next = this.match + 1;
      this.paused = false;
    }
    assert(this.match < this.next, "match < next");
    return news;
  }

  /** What it had acknowledged after `match` was lost there (D3). An old message of that kind costs a repetition at most. */
  forgot(match: number): void {
    if (match >= this.match) return;
    this.match = match;
    if (this.mode === "replicate") this.probe();
  }

  /**
   * It voted for this leader, so its log most likely ends where ours did: what is written first, while a failover holds everybody up, does not
   * wait for the answer to the first append. A hope is no match: commit counts acknowledgements alone, and a refusal ends it.
   */
  hope(): void {
    if (this.mode === "probe" && this.match === 0) this.mode = "replicate";
  }

  /** The append after `rejected` did not fit; `candidate` is our best guess of where the logs agree. False: old news. */
  refused(rejected: number, candidate: number): boolean {
    this.active = true;
    if (this.mode === "snapshot" || this.mode === "relay") return false;
    if (this.mode === "replicate") {
      if (rejected <= this.match) return false;
      this.probe();
      // Nothing is known of its log in this term but what it has just said.
      if (this.match === 0) this.next = Math.max(Math.min(rejected, candidate + 1), 1);
      return true;
    }
    if (rejected !== this.next - 1) return false;
    const next = Math.max(Math.min(rejected, candidate + 1), this.match + 1);
    // It lacks what it has acknowledged. The same again at once would go on for ever: a heartbeat tells it (Raft.lostUntil), or shows that this was old.
    if (next === this.next) return false;
    this.next = next;
    this.paused = false;
    return true;
  }

  /** A heartbeat came back: the way is open, so what waits or may have been lost is sent for. */
  heartbeatAnswered(last: number, slowDisk: boolean): void {
    this.active = true;
    this.slowDisk = slowDisk;
    if (this.mode === "snapshot") return;
    this.paused = false;
    if (this.match < last) this.nudge = true;
  }

  /** Others feed it, and say that it is as far as `match`. */
  relayed(match: number): void {
    if (this.mode !== "relay") this.probe();
    this.mode = "relay";
    this.match = match;
    this.next = match + 1;
  }

  /** From now on it is sent to again. What was said of it is where the search begins, and no acknowledgement. */
  direct(): void {
    if (this.mode !== "relay") return;
    const said = this.match;
    this.match = 0;
    this.probe();
    // Of whom nothing was said yet, as after an election, it is not known that it lacks everything: it is searched for like any other.
    if (said > 0) this.next = said + 1;
  }

  /** What it lacks is compacted: nothing from the log before a snapshot has come to its end. */
  awaitSnapshot(): void {
    this.probe();
    this.mode = "snapshot";
  }

  /**
   * The snapshot up to `sent` is there, or (0) none is: it may have had more than that, so that our log, which begins after `base`, follows on. What
   * follows is probed for, after the next sign of life.
   */
  snapshotEnded(sent: number, base: number): void {
    if (this.mode !== "snapshot") return;
    this.probe();
    this.next = Math.max(this.match, sent === 0 ? base : sent) + 1;
    this.paused = true;
  }

  /**
   * What was under way is not to be counted on. A search that is under way goes on from where it is, and one that was left out in hope begins: who has
   * not answered yet in this term has a match of 0, which says nothing of its log, and would be given a snapshot for it.
   */
  probe(): void {
    if (this.mode !== "probe") this.next = this.match === 0 ? this.#searchFrom : this.match + 1;
    this.mode = "probe";
    this.paused = false;
    this.#window.clear();
  }
}

/** The appends under way to one follower: bounded in number and in bytes. */
class Inflight {
  readonly #lasts: number[];
  readonly #sizes: number[];
  readonly #capacity: number;
  readonly #bytesMax: number;
  #start = 0;
  #count = 0;
  #bytes = 0;

  constructor(capacity: number, bytesMax: number) {
    this.#capacity = capacity;
    this.#bytesMax = bytesMax;
    this.#lasts = Array.from({ length: capacity }, () => 0);
    this.#sizes = Array.from({ length: capacity }, () => 0);
  }

  get isFull(): boolean {
    return this.#count === this.#capacity || this.#bytes >= this.#bytesMax;
  }

  add(last: number, bytes: number): void {
    assert(!this.isFull, "the window has room");
    const at = (this.#start + this.#count) % this.#capacity;
    this.#lasts[at] = last;
    this.#sizes[at] = bytes;
    this.#count++;
    this.#bytes += bytes;
  }

  freeUpTo(match: number): void {
    while (this.#count > 0 && this.#lasts[this.#start]! <= match) {
      this.#bytes -= this.#sizes[this.#start]!;
      this.#start = (this.#start + 1) % this.#capacity;
      this.#count--;
    }
  }

  clear(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }
}
