import type { NodeId } from "../lib/ids.ts";
import { certificates } from "./tables/authority.ts";
import { nodeById } from "./tables/node.ts";
import { tokenById, type TokenRow } from "./tables/token.ts";
import type { ReadTx } from "./tx.ts";
import type { NodeRow } from "./types.ts";

/**
 * What a join token is good for. Its hash stands in every copy of the state (K1), so whoever has a copy can prove that it holds the token: what
 * keeps such a person from becoming a member that is there already is that the token has an end, and that a member which has come is never
 * let in a second time.
 */

/** Why the token lets nobody in at `at` (epoch ms); undefined: it does. A request that comes again takes no further use. */
export function joinTokenProblem(token: TokenRow | undefined, at: number, isAgain = false): string | undefined {
  if (token === undefined) return "the join token is not known to this cluster";
  if (token.kind !== "join") return "this is an API token, not a join token";
  if (token.revoked) return "the join token was revoked";
  if (token.expiresAt !== null && token.expiresAt <= at) return "the join token has expired";
  if (!isAgain && token.uses !== null && token.uses <= 0) return "the join token has been used as often as it may be";
  return undefined;
}

/** The node that was let in by this very request and has not come since: it never learned of it, and asks again. */
export function admittedBefore(tx: ReadTx, incarnation: string, apiToken: string): NodeRow | undefined {
  const id = tokenById(tx, apiToken)?.node;
  const node = id === undefined || id === null ? undefined : nodeById(tx, id);
  return node?.incarnation === incarnation && isAwaited(tx, node.id) ? node : undefined;
}

/** Why nobody is given the node's certificate for a join token now; undefined: the node may have it. Asked after node.join, of the state that holds it. */
export function entryProblem(tx: ReadTx, node: NodeId, joinToken: string, at: number): string | undefined {
  const problem = joinTokenProblem(tokenById(tx, joinToken), at, true);
  if (problem !== undefined) return problem;
  return isAwaited(tx, node) ? undefined : `node ${node} has come already, and nobody else comes in as that node`;
}

/** A member that has never said where it is, nor shown a certificate. */
function isAwaited(tx: ReadTx, node: NodeId): boolean {
  return nodeById(tx, node)?.api === "" && !certificates(tx).some((row) => row.node === node);
}
