import { isPeerAddress } from "../lib/host-port.ts";
import { isId, nodeId, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";

/** Where a member can be reached on its peer port, as it said itself in its `starts`-th start; a later start's word counts more. */
export interface KnownAddress {
  readonly node: NodeId;
  /** host:port; "": not known. */
  readonly address: string;
  readonly starts: number;
}

/**
 * Where the members are. A node's id is its identity, its address is only news, and it comes from four sides: the log (what a node announced),
 * identity.json (before the log is read), the other members (each exchanges its book with whom it meets), and hints (an address that answered
 * under that id just now). So any one contact leads to all others, even when all have moved while nobody led to log it.
 */
export class AddressBook {
  readonly #known = new Map<NodeId, KnownAddress>();
  #members: ReadonlySet<NodeId> = new Set();

  /** The members, and what the log (or identity.json) says of them; others are forgotten. */
  setMembers(members: readonly KnownAddress[]): void {
    this.#members = new Set(members.map(({ node }) => node));
    for (const node of this.#known.keys()) if (!this.#members.has(node)) this.#known.delete(node);
    this.learn(members);
  }

  /** Takes over what is newer, of members only. True when an address changed by it. */
  learn(told: readonly KnownAddress[]): boolean {
    let changed = false;
    for (const one of told) {
      const known = this.#known.get(one.node);
      if (!this.#members.has(one.node) || one.address === "") continue;
      if (known !== undefined && known.starts >= one.starts) continue;
      changed ||= known?.address !== one.address;
      this.#known.set(one.node, one);
    }
    return changed;
  }

  /** That node answered there just now: tried at once, until something newer than what is known is learnt. True when it is another address. */
  hint(node: NodeId, address: string): boolean {
    const known = this.#known.get(node);
    if (!this.#members.has(node) || known?.address === address || address === "") return false;
    this.#known.set(node, { node, address, starts: known?.starts ?? 0 });
    return true;
  }

  /** What is known of members with an address. */
  list(): KnownAddress[] {
    return [...this.#known.values()];
  }

  /** Every member, "" for one whose address is not known. */
  addresses(): Map<NodeId, string> {
    return new Map([...this.#members].map((node) => [node, this.#known.get(node)?.address ?? ""]));
  }
}

/** A peer's book, as it came: undefined when it is none. */
export function parseAddresses(value: unknown): KnownAddress[] | undefined {
  if (!Array.isArray(value) || value.length > limits.nodes) return undefined;
  const addresses: KnownAddress[] = [];
  for (const one of value as readonly unknown[]) {
    const { node, address, starts } = (one ?? {}) as { readonly [Field in keyof KnownAddress]?: unknown };
    if (!isId(node) || typeof address !== "string" || !isPeerAddress(address)) return undefined;
    if (!Number.isSafeInteger(starts) || (starts as number) < 0) return undefined;
    addresses.push({ node: nodeId(node), address, starts: starts as number });
  }
  return addresses;
}
