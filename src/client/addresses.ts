/**
 * The addresses of the members and what is known of their health: the one that answered last comes first, one that failed is
 * passed over for a while that doubles. Clock and chance are given from outside.
 */
export class Addresses {
  readonly #all: Address[];
  readonly #now: () => number;

  /** URLs or host:port; at least one. Throws TypeError on text that is neither. */
  constructor(addresses: readonly string[], now: () => number) {
    if (addresses.length === 0) throw new TypeError("give the address of at least one node");
    this.#now = now;
    this.#all = [...new Set(addresses.map(normalise))].map((url) => ({
      url,
      failures: 0,
      downUntil: 0,
      cause: undefined,
    }));
  }

  /** In the order to try them. Those that are thought to be down come last, soonest due first. */
  inOrder(): readonly Address[] {
    const now = this.#now();
    const up = this.#all.filter((one) => one.downUntil <= now);
    const down = this.#all.filter((one) => one.downUntil > now).toSorted((a, b) => a.downUntil - b.downUntil);
    return [...up, ...down];
  }

  /** The address answered: it is asked first from now on. */
  worked(address: Address): void {
    address.failures = 0;
    address.downUntil = 0;
    address.cause = undefined;
    if (this.#all[0] === address) return;
    this.#all.splice(this.#all.indexOf(address), 1);
    this.#all.unshift(address);
  }

  failed(address: Address, cause: string): void {
    address.failures += 1;
    address.cause = cause;
    address.downUntil = this.#now() + Math.min(5000, 100 * 2 ** Math.min(address.failures, 10));
  }
}

export interface Address {
  readonly url: string;
  failures: number;
  /** On the clock of the constructor. */
  downUntil: number;
  cause: string | undefined;
}

/** A bare host:port: in the clear on loopback, over TLS anywhere else, as nodes serve it. */
export function withScheme(text: string): string {
  if (text.includes("://")) return text;
  const isLocal = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:|\/|$)/i.test(text);
  return `${isLocal ? "http" : "https"}://${text}`;
}

function normalise(address: string): string {
  const text = address.trim();
  const url = new URL(withScheme(text));
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new TypeError(`"${address}" is not the address of a node: write https://HOST:PORT`);
  }
  return url.origin;
}
