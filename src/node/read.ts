import type { NodeId } from "../lib/ids.ts";
import { nobody } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import type { ReadReady } from "../raft/types.ts";
import { monotonicMs } from "../lib/clock.ts";

/**
 * How new a read must be (R1). A linearizable read learns an index from the leader, which confirms its leadership with a
 * round of heartbeats sent after the read arrived (ReadIndex), and waits until this node has applied it. All reads that
 * wait share a round; a read never joins a round that was already under way when it came.
 */
export interface ReaderPorts {
  leader(): NodeId;
  isLeading(): boolean;
  applied(): number;
  readIndex(ticket: number): void;
  /** Asks the leader by rpc; undefined: it does not lead. Throws Fault. */
  askLeader(leader: NodeId): Promise<number | undefined>;
  schedule(): void;
}

interface Round {
  readonly resolve: (index: number | undefined) => void;
}

/** Tells when the local state is new enough to be read. */
export class Reader {
  readonly #ports: ReaderPorts;
  /** Reads that wait for the next round. */
  #next: Promise<number | undefined> | undefined;
  #underWay: Promise<unknown> | undefined;
  /** Ends the question that another node has not answered yet. */
  #abandon: () => void = () => {};
  #ticket = 0;
  readonly #rounds = new Map<number, Round>();
  #appliedWaiters: { readonly index: number; readonly resolve: () => void }[] = [];

  constructor(ports: ReaderPorts) {
    this.#ports = ports;
  }

  /** An index that is at least as new as every write acknowledged before this call, applied here. */
  async linearizable(): Promise<Outcome<number>> {
    const deadline = monotonicMs() + limits.readWaitMs;
    while (monotonicMs() < deadline) {
      const index = await withDeadline(this.#joinRound(), deadline);
      if (index === undefined) {
        await pause(10);
        continue;
      }
      if (await this.waitApplied(index, deadline)) return accept(index);
    }
    return refuse(
      "unavailable",
      "no leader answered within 5 s: repeat the request, ask another node (`skein nodes ls` names who is missing), or over HTTP read what this one has with consistency=stale",
      {
        retryAfterMs: 1000,
      },
    );
  }

  /** Leader only, for itself and for peers that ask: an index confirmed by a round that starts after the call. */
  confirm(): Promise<number | undefined> {
    if (!this.#ports.isLeading()) return Promise.resolve(undefined);
    this.#ticket += 1;
    const ticket = this.#ticket;
    return new Promise((resolve) => {
      this.#rounds.set(ticket, { resolve });
      this.#ports.readIndex(ticket);
      this.#ports.schedule();
    });
  }

  /** Another one leads, or nobody: who was asked may be frozen, and those who wait behind it must not share its fate. */
  onLeadership(): void {
    this.#abandon();
  }

  onReads(reads: readonly ReadReady[]): void {
    for (const read of reads) {
      this.#rounds.get(read.ticket)?.resolve(read.index);
      this.#rounds.delete(read.ticket);
    }
  }

  /** True once this node has applied `index`; false at the deadline (monotonicMs). */
  waitApplied(index: number, deadline: number): Promise<boolean> {
    if (this.#ports.applied() >= index) return Promise.resolve(true);
    return new Promise((resolve) => {
      const waiter = {
        index,
        resolve: (): void => {
          clearTimeout(timer);
          resolve(true);
        },
      };
      const timer = setTimeout(
        () => {
          this.#appliedWaiters = this.#appliedWaiters.filter((one) => one !== waiter);
          resolve(false);
        },
        Math.max(0, deadline - monotonicMs()),
      );
      this.#appliedWaiters.push(waiter);
    });
  }

  onApplied(applied: number): void {
    if (this.#appliedWaiters.length === 0) return;
    const waiting = this.#appliedWaiters;
    this.#appliedWaiters = waiting.filter((one) => one.index > applied);
    for (const one of waiting) if (one.index <= applied) one.resolve();
  }

  /** One round for all who came since the last one started. */
  #joinRound(): Promise<number | undefined> {
    if (this.#next !== undefined) return this.#next;
    const before = this.#underWay ?? Promise.resolve();
    const round: Promise<number | undefined> = before.then(() => {
      this.#next = undefined;
      this.#underWay = round.catch(() => undefined);
      return this.#ask();
    });
    this.#next = round;
    return round;
  }

  async #ask(): Promise<number | undefined> {
    const leader = this.#ports.leader();
    if (leader === nobody) return undefined;
    if (this.#ports.isLeading()) return this.confirm();
    const abandoned = new Promise<undefined>((resolve) => {
      this.#abandon = () => resolve(undefined);
    });
    try {
      return await Promise.race([this.#ports.askLeader(leader), abandoned]);
    } catch {
      return undefined; // unreachable or refused: the loop asks again until its deadline
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The promise's value, or undefined at the deadline: a frozen leader must not hold a reader for ever. */
function withDeadline<Value>(promise: Promise<Value>, deadline: number): Promise<Value | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(undefined), Math.max(0, deadline - monotonicMs()));
    void promise.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      () => {
        clearTimeout(timer);
        resolve(undefined);
      },
    );
  });
}
