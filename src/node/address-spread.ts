import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { type KnownAddress, parseAddresses } from "./address-book.ts";

export interface AddressSpreadPorts {
  hasLeader(): boolean;
  /** Whom this node can ask now. */
  met(): readonly NodeId[];
  /** Tells a member that is met where this node knows the members to be, and gives its answer to the same. Rejects with a Fault when there is none. */
  exchange(peer: NodeId): Promise<unknown>;
  /** What a member answered. */
  learn(told: readonly KnownAddress[]): void;
  /** Throws nothing; gives what takes it back. */
  later(action: () => void, ms: number): () => void;
}

/**
 * When addresses are told on. Each contact begins with an exchange of books, repeated until it has been answered: no other would come, for a socket that is
 * open is not dialed again, and the two would never learn what only the other one knows. What is learnt later is told on where nobody leads, as the only
 * way to one (node/address-book.ts). Where somebody leads, the log tells all of it: told on by each to each besides, a join would cost messages by the
 * square of the members.
 */
export class AddressSpread {
  readonly #ports: AddressSpreadPorts;
  #takeBack: (() => void) | undefined;
  /** Members that did not answer: what takes back the next time. */
  readonly #again = new Map<NodeId, () => void>();
  #stopped = false;

  constructor(ports: AddressSpreadPorts) {
    this.#ports = ports;
  }

  /** That member is met from now on. */
  meets(peer: NodeId): void {
    this.#again.get(peer)?.();
    this.#again.delete(peer);
    void this.#exchange(peer, limits.addressesAgainMs);
  }

  /** The book has changed by another member's word. A leader that is believed in may be gone already: looked at again a moment later. */
  learnt(): void {
    if (!this.#ports.hasLeader()) return this.#tellAll();
    this.#takeBack ??= this.#ports.later(() => {
      this.#takeBack = undefined;
      if (!this.#ports.hasLeader()) this.#tellAll();
    }, limits.addressesLoggedMs);
  }

  stop(): void {
    this.#stopped = true;
    this.#takeBack?.();
    for (const takeBack of this.#again.values()) takeBack();
    this.#again.clear();
  }

  #tellAll(): void {
    for (const peer of this.#ports.met()) this.meets(peer);
  }

  async #exchange(peer: NodeId, againMs: number): Promise<void> {
    if (this.#stopped || (await this.#isAnswered(peer))) return;
    if (this.#stopped || this.#again.has(peer)) return;
    const again = (): void => {
      this.#again.delete(peer);
      // One that is not met any more is asked at the next contact.
      if (this.#ports.met().includes(peer))
        void this.#exchange(peer, Math.min(2 * againMs, limits.addressesAgainMostMs));
    };
    this.#again.set(peer, this.#ports.later(again, againMs));
  }

  /** Also by what is no book, or by a refusal for good: the same question would get the same answer. */
  async #isAnswered(peer: NodeId): Promise<boolean> {
    try {
      const theirs = parseAddresses(await this.#ports.exchange(peer));
      if (theirs !== undefined) this.#ports.learn(theirs);
      return true;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return error.retry === "never";
    }
  }
}
