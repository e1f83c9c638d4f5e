import { assert } from "../lib/assert.ts";
import { nodeId, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { seededRandom } from "../lib/prng.ts";
import type { ApplyContext } from "./command.ts";
import type { NewNode, NewToken } from "./commands/shapes.ts";
import { endAttemptsOf, endPinnedTo } from "./departure.ts";
import { writeAudit } from "./tables/audit.ts";
import { authorities, removeAuthority } from "./tables/authority.ts";
import { removeHoldings } from "./tables/bundle.ts";
import { hastenSources } from "./tables/bundle-source.ts";
import { advanceClock, newNodeId, readCounter, resetClock, skipIds } from "./tables/counter.ts";
import { allNodes, deleteNode, insertNode, setQuarantine } from "./tables/node.ts";
import { hastenDeadlines } from "./tables/gate.ts";
import { hastenWaiting } from "./tables/task.ts";
import { insertToken, revokeJoinTokens, revokeTokensOf } from "./tables/token.ts";
import { change, type ReadTx, sql, type Tx } from "./tx.ts";
import type { NodeRow } from "./types.ts";

/**
 * The rows that begin a new epoch (lib/epoch.ts). There is no log that could carry this as an entry: it is applied once, to the one state that the
 * new epoch begins with, in the transaction that moves that state to the epoch's first index. Everybody else gets it as a snapshot.
 */
export interface EpochFacts {
  /** Where the epoch begins. */
  readonly index: number;
  /** Epoch ms, by the clock of the host where this is done. */
  readonly at: number;
  /** For the audit: who did it, under which name, and what about. */
  readonly by: string;
  readonly command: "cluster.recover" | "cluster.restore";
  readonly what: string;
}

/** What becomes of nodes that do not go on: their work is lost per `on_lost`, their tokens end, their ids stay used up. */
function partFrom(tx: Tx, context: ApplyContext, node: NodeRow, reason: string): void {
  endAttemptsOf(tx, context, node.id, reason);
  endPinnedTo(tx, context, node.id, reason);
  revokeTokensOf(tx, node.id);
  removeHoldings(tx, node.id);
  deleteNode(tx, node.id);
}

/**
 * A quorum was lost: those of `survivors` go on, everybody else is gone. Every lease of the old epoch must have ended (J1): work of those who are
 * gone may start elsewhere at once. Gives the names of those who are gone.
 */
export function beginRecovered(tx: Tx, facts: EpochFacts, survivors: readonly NodeId[]): string[] {
  const context = contextOf(tx, facts, survivors[0]!);
  const gone = allNodes(tx).filter(({ id }) => !survivors.includes(id));
  for (const node of gone) partFrom(tx, context, node, `node ${node.name} was given up when the quorum was lost`);
  // This state is everybody's from here on. The one that leads alone would have nobody to say so, and run nothing for ever.
  for (const node of survivors) setQuarantine(tx, node, undefined);
  skipIds(tx, limits.epochSkipsNodes, limits.epochSkipsJobs);
  audit(tx, context, facts, survivors[0]!);
  return gone.map(({ name }) => name);
}

const renameCluster = change("cluster.rename", "update cluster set cluster = ?, created_at = ? where id = 1");

/**
 * A backup becomes a cluster of its own: another name, one new node, none of the old ones. People's API tokens stay good; join tokens end, since
 * they pin the old cluster's authority.
 */
export function beginRestored(
  tx: Tx,
  facts: EpochFacts,
  made: { readonly id: NodeId; readonly cluster: string; readonly node: NewNode; readonly token: NewToken },
): void {
  // The way out for a cluster whose time a wrong clock has moved on (J4): what waits does so for as long as it would have.
  const backMs = resetClock(tx, facts.at);
  if (backMs > 0) {
    hastenWaiting(tx, backMs);
    hastenDeadlines(tx, backMs);
  }
  // What was given out after the backup was made is not known here, and must not be given out again.
  skipIds(tx, limits.epochSkipsNodes, limits.epochSkipsJobs);
  const id = nodeId(newNodeId(tx));
  assert(id === made.id, "the node has the id that it was told");
  const context = contextOf(tx, facts, id);
  for (const node of allNodes(tx)) partFrom(tx, context, node, `node ${node.name} is not of the restored cluster`);
  // No member has files of any bundle: those that can be had by themselves are, at once.
  hastenSources(tx, context.at);
  revokeJoinTokens(tx);
  // The new cluster has an authority of its own, which it logs by itself.
  for (const { fingerprint } of authorities(tx)) removeAuthority(tx, fingerprint);
  tx.run(renameCluster, made.cluster, context.at);
  insertNode(tx, id, made.node.name, made.node, context.at);
  insertToken(tx, { ...made.token, kind: "api", role: "admin", expiresAt: null, uses: null, node: null });
  audit(tx, context, facts, id);
}

/** The id that the one node of a restored cluster gets. */
export function restoredNodeId(tx: ReadTx): NodeId {
  return nodeId(readCounter(tx).next_node + limits.epochSkipsNodes);
}

const selectLevel = sql("select level from cluster");

function contextOf(tx: Tx, facts: EpochFacts, origin: NodeId): ApplyContext {
  const random = seededRandom(readCounter(tx).at >>> 0);
  return {
    index: facts.index,
    at: advanceClock(tx, facts.at),
    stampedAt: facts.at,
    level: tx.get<{ level: number }>(selectLevel)?.level ?? 0,
    by: { token: "", name: facts.by, role: "admin" },
    origin,
    random,
    // Nobody watches or compares yet.
    changed: () => {},
    restartHash: () => {},
  };
}

function audit(tx: Tx, context: ApplyContext, { by, command, what }: EpochFacts, node: NodeId): void {
  const text = what.slice(0, limits.auditTextLength);
  writeAudit(tx, context, [{ token: "", by, role: "admin", node, command, what: text, outcome: "ok", times: 1 }]);
}
