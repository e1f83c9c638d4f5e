import type { NodeId } from "../lib/ids.ts";
import type { NodeState } from "../state/types.ts";
import type { LeaseGrant } from "./lease.ts";

/** What the leader asks before it grants a lease. */
export interface GrantPorts {
  /** An index confirmed by a round that begins after the call; undefined: this node does not lead. */
  confirm(): Promise<number | undefined>;
  isLeading(): boolean;
  /** Entries up to there are committed. */
  committed(): number;
  /** A node.lost of the node may be in the log, or on its way there. */
  isLosing(node: NodeId): boolean;
  /** What the applied state says of it; undefined: no member. */
  stateOf(node: NodeId): NodeState | undefined;
  /** The largest index that its lease may name while something is taken back from it (recalls.ts), where `index` is confirmed. */
  ceiling(node: NodeId, index: number): number;
  /** Notes the grant and what it names; the leader's count begins here. */
  granted(node: NodeId, index: number): void;
}

/**
 * Leader: grants `node` its lease. Leadership is confirmed first, by a round that began after the request came, so a deposed
 * leader grants nothing; what follows the confirmation is one step without awaits, so no node.lost comes between (J3).
 */
export async function grantLease(node: NodeId, ports: GrantPorts): Promise<LeaseGrant | undefined> {
  const confirmed = await ports.confirm();
  if (confirmed === undefined || !ports.isLeading() || ports.isLosing(node)) return undefined;
  const state = ports.stateOf(node);
  if (state === undefined || state === "lost") return { kind: "lost" };
  // What was committed while it was confirmed is named, too: the state that was looked at has it, and what is named to a node must not fall (recalls.ts).
  const index = ports.ceiling(node, Math.max(confirmed, ports.committed()));
  ports.granted(node, index);
  return { kind: "granted", index };
}
