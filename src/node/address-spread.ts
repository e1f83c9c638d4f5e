import { limits } from "../lib/limits.ts";

export interface AddressSpreadPorts {
  hasLeader(): boolean;
  /** Exchanges books with everybody who is met now. */
  tellAll(): void;
  /** Throws nothing; gives what takes it back. */
  later(action: () => void, ms: number): () => void;
}

/**
 * When what was learnt of addresses is told on. Where somebody leads, the log tells all of it: told on by each to each besides, a join would
 * cost messages by the square of the members. Where nobody leads it is the only way to one (node/address-book.ts).
 */
export class AddressSpread {
  readonly #ports: AddressSpreadPorts;
  #takeBack: (() => void) | undefined;

  constructor(ports: AddressSpreadPorts) {
    this.#ports = ports;
  }

  /** The book has changed by another member's word. A leader that is believed in may be gone already: looked at again a moment later. */
  learnt(): void {
    if (!this.#ports.hasLeader()) return this.#ports.tellAll();
    this.#takeBack ??= this.#ports.later(() => {
      this.#takeBack = undefined;
      if (!this.#ports.hasLeader()) this.#ports.tellAll();
    }, limits.addressesLoggedMs);
  }

  stop(): void {
    this.#takeBack?.();
  }
}
