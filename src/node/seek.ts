import { type Epoch, parseEpoch } from "../lib/epoch.ts";
import { type KnownAddress, parseAddresses } from "./address-book.ts";

/** A member that was off while others moved asks at API addresses that it was given, whenever nobody leads as far as it has heard. */
export interface SeekPorts {
  /** API addresses, with or without a scheme; asked anew in every round, since they may grow. */
  addresses(): readonly string[];
  /** GET of the cluster as the node at that API address knows it (`/v1/cluster` with this node's token); undefined: no answer that helps. */
  ask(address: string): Promise<SeenCluster | undefined>;
  /** A leader is known. It may move in its turn before anybody has told the others where this node is. */
  isLed(): boolean;
  /** The node stops. */
  isOver(): boolean;
  /** Where the members are, as one of them says that answered. */
  found(addresses: readonly KnownAddress[]): void;
  /** Between two rounds. */
  pause(isLed: boolean): Promise<void>;
}

/** The part of an answer that matters here, if it is one at all: peer addresses by node. */
export interface SeenCluster {
  readonly cluster?: unknown;
  readonly epoch?: unknown;
  readonly nodes?: unknown;
}

/** Ends with the node. Asking costs a request per address and round. */
export async function seekMembers(cluster: string, epoch: Epoch, ports: SeekPorts): Promise<void> {
  while (!ports.isOver()) {
    const isLed = ports.isLed();
    for (const address of isLed ? [] : ports.addresses()) {
      const seen = await ports.ask(address);
      if (seen?.cluster !== cluster || isBefore(seen.epoch, epoch) || ports.isOver()) continue;
      const told = addressesIn(seen);
      if (told.length > 0) ports.found(told);
    }
    await ports.pause(isLed);
  }
}

/** Of each node that could be understood. A release that does not tell of starts is believed where nothing else is known. */
function addressesIn({ nodes }: SeenCluster): KnownAddress[] {
  if (!Array.isArray(nodes)) return [];
  return (nodes as readonly SeenNode[]).flatMap((row) => {
    const { id: node, peer: address, starts = 0 } = row ?? {};
    return address === "" ? [] : (parseAddresses([{ node, address, starts }]) ?? []);
  });
}

type SeenNode = { readonly id?: unknown; readonly peer?: unknown; readonly starts?: unknown } | null;

/** Those of an epoch before know where its members were then. One of a later epoch leads to who fences this node. */
function isBefore(seen: unknown, own: Epoch): boolean {
  const epoch = typeof seen === "string" ? parseEpoch(seen) : undefined;
  return epoch !== undefined && epoch.number < own.number;
}
