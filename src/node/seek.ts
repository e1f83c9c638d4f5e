import { nodeId, type NodeId } from "../lib/ids.ts";

/** A member that was off while others moved asks at API addresses that it was given, until somebody leads again for it. */
export interface SeekPorts {
  /** API addresses, with or without a scheme; asked anew in every round, since they may grow. */
  addresses(): readonly string[];
  /** GET of the cluster as the node at that API address knows it (`/v1/cluster` with this node's token); undefined: no answer that helps. */
  ask(address: string): Promise<SeenCluster | undefined>;
  /** A leader is known, or the node stops. */
  isOver(): boolean;
  /** A member answered there, or is known to others there. */
  found(node: NodeId, address: string): void;
  pause(): Promise<void>;
}

/** The part of an answer that matters here: peer addresses by node. */
export interface SeenCluster {
  readonly cluster: string;
  readonly nodes: readonly { readonly id: number; readonly peer: string }[];
}

/** Ends when a leader is known. Asking costs a request per address and round. */
export async function seekMembers(cluster: string, ports: SeekPorts): Promise<void> {
  while (!ports.isOver()) {
    for (const address of ports.addresses()) {
      const seen = await ports.ask(address);
      if (seen === undefined || seen.cluster !== cluster || ports.isOver()) continue;
      for (const { id, peer } of seen.nodes) ports.found(nodeId(id), peer);
    }
    await ports.pause();
  }
}
