import { type KnownAddress, parseAddresses } from "./address-book.ts";

/** A member that was off while others moved asks at API addresses that it was given, until somebody leads again for it. */
export interface SeekPorts {
  /** API addresses, with or without a scheme; asked anew in every round, since they may grow. */
  addresses(): readonly string[];
  /** GET of the cluster as the node at that API address knows it (`/v1/cluster` with this node's token); undefined: no answer that helps. */
  ask(address: string): Promise<SeenCluster | undefined>;
  /** A leader is known, or the node stops. */
  isOver(): boolean;
  /** Where the members are, as one of them says that answered. */
  found(addresses: readonly KnownAddress[]): void;
  pause(): Promise<void>;
}

/** The part of an answer that matters here, if it is one at all: peer addresses by node. */
export interface SeenCluster {
  readonly cluster?: unknown;
  readonly nodes?: unknown;
}

/** Ends when a leader is known. Asking costs a request per address and round. */
export async function seekMembers(cluster: string, ports: SeekPorts): Promise<void> {
  while (!ports.isOver()) {
    for (const address of ports.addresses()) {
      const seen = await ports.ask(address);
      if (seen?.cluster !== cluster || ports.isOver()) continue;
      const told = addressesIn(seen);
      if (told !== undefined) ports.found(told);
    }
    await ports.pause();
  }
}

/** undefined: it says none that could be understood. A release that does not tell of starts is believed where nothing else is known. */
function addressesIn({ nodes }: SeenCluster): KnownAddress[] | undefined {
  if (!Array.isArray(nodes)) return undefined;
  const rows = nodes as readonly ({
    readonly id?: unknown;
    readonly peer?: unknown;
    readonly starts?: unknown;
  } | null)[];
  const told = rows.map((row) => ({ node: row?.id, address: row?.peer, starts: row?.starts ?? 0 }));
  return parseAddresses(told.filter(({ address }) => address !== ""));
}
