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
 * Where the members are, and those who may have become members after what this node knows: a node that was away while the others were replaced one by
 * one knows none of those who are there. Ids are given in order and never twice, so whoever bears a larger one than any that the state has given is such
 * a newcomer, if its certificate proves the id. A node's id is its identity, its address is only news, and it comes from four sides: the log (what a node announced),
 * identity.json (before the log is read), the other members (each exchanges its book with whom it meets), and the API of those that are not met yet (seek.ts).
 * So any one contact leads to all others, even when all have moved while nobody led to log it. Whoever tells it, and however late: of two addresses
 * of a node that of its later start is right, and no other is taken.
 */
export class AddressBook {
  readonly #known = new Map<NodeId, KnownAddress>();
  #members: ReadonlySet<NodeId> = new Set();
  #newest = Infinity;

  /** The members, and what the log (or identity.json) says of them; `newest`: no larger id has been given, as far as this node knows. Others are forgotten. */
  setMembers(members: readonly KnownAddress[], newest: number): void {
    this.#members = new Set(members.map(({ node }) => node));
    this.#newest = newest;
    for (const node of this.#known.keys())
      if (!this.#members.has(node) && !this.isNewcomer(node)) this.#known.delete(node);
    this.learn(members);
  }

  /** That node may have been admitted after what this node knows. */
  isNewcomer(node: NodeId): boolean {
    return node > this.#newest;
  }

  /** Takes over what is newer, of members and newcomers only. True when an address changed by it. */
  learn(told: readonly KnownAddress[]): boolean {
    let changed = false;
    for (const one of told) {
      const known = this.#known.get(one.node);
      if (!this.#isPossible(one.node) || one.address === "") continue;
      if (known !== undefined && known.starts >= one.starts) continue;
      changed ||= known?.address !== one.address;
      this.#known.set(one.node, one);
    }
    return changed;
  }

  /** A member, or one of no more newcomers than a cluster may have members. */
  #isPossible(node: NodeId): boolean {
    if (this.#members.has(node) || this.#known.has(node)) return true;
    return this.isNewcomer(node) && this.#known.size < limits.nodes;
  }

  /** What is known of members and newcomers with an address. */
  list(): KnownAddress[] {
    return [...this.#known.values()];
  }

  /** Every member, "" for one whose address is not known, and the newcomers that were heard of. */
  addresses(): Map<NodeId, string> {
    const nodes = new Set([...this.#members, ...this.#known.keys()]);
    return new Map([...nodes].map((node) => [node, this.#known.get(node)?.address ?? ""]));
  }
}

/** With more no serial of a batch would be a whole number (state/entry.ts). */
const startsMost = 2 ** 21 - 1;

/** A peer's book, as it came: undefined when it is none. */
export function parseAddresses(value: unknown): KnownAddress[] | undefined {
  if (!Array.isArray(value) || value.length > 2 * limits.nodes) return undefined;
  const addresses: KnownAddress[] = [];
  for (const one of value as readonly unknown[]) {
    const { node, address, starts } = (one ?? {}) as { readonly [Field in keyof KnownAddress]?: unknown };
    if (!isId(node) || typeof address !== "string" || !isPeerAddress(address)) return undefined;
    if (!Number.isSafeInteger(starts) || (starts as number) < 0 || (starts as number) > startsMost) return undefined;
    addresses.push({ node: nodeId(node), address, starts: starts as number });
  }
  return addresses;
}
