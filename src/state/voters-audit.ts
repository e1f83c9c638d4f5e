import { decodeConfiguration } from "../lib/configuration.ts";
import { nobody, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { learnerLabel } from "../lib/selector.ts";
import { votersAuditLevel } from "./levels.ts";
import { nodeById } from "./tables/node.ts";
import { notedVoters, setNotedVoters } from "./tables/noted-voters.ts";
import { sql, type ReadTx, type Tx } from "./tx.ts";
import type { AuditFacts } from "./types.ts";

const selectLevel = sql("select level from cluster");

/**
 * Who votes is the log's to say (M1), and the leader's to change: by entries that no command carries. What the audit says of them is written where
 * they are applied, from the entry and the state alone, so that it is missed by nobody and the same everywhere (S1). Which node led is not in the entry.
 */
export function noteVoters(tx: Tx, data: Uint8Array): AuditFacts | undefined {
  const level = tx.get<{ level: number }>(selectLevel)?.level ?? 0;
  const after = level >= votersAuditLevel ? decodeConfiguration(data) : undefined;
  if (after === undefined || after.voters.length === 0) return undefined;
  const voters = after.voters.toSorted(ascending);
  // Of before the first one that is noted, only a change of several voters says who voted.
  const before = notedVoters(tx) ?? after.outgoing.toSorted(ascending);
  if (before.join() === voters.join()) return undefined;
  setNotedVoters(tx, voters);
  return {
    token: "",
    by: "the leader",
    role: "node",
    node: nobody,
    command: "cluster.voters",
    what: wordsOf(tx, before, voters).slice(0, limits.auditTextLength),
    outcome: "ok",
    times: 1,
  };
}

const ascending = (a: number, b: number): number => a - b;

function wordsOf(tx: ReadTx, before: readonly NodeId[], voters: readonly NodeId[]): string {
  if (before.length === 0) return `the voters are ${voters.join(",")}`;
  const gone = before.filter((node) => !voters.includes(node)).map((node) => `node ${node} goes, ${whyGone(tx, node)}`);
  const come = voters.filter((node) => !before.includes(node)).map((node) => `node ${node} comes${whyCome(tx, node)}`);
  return `voters ${before.join(",")} become ${voters.join(",")}: ${[...gone, ...come].join("; ")}`;
}

/** As far as the state knows: how long a node has been silent, and what is spread over zones, is the leader's alone to know. */
function whyGone(tx: ReadTx, node: NodeId): string {
  const row = nodeById(tx, node);
  if (row === undefined) return "removed";
  if (row.wish === "learner") return "demoted";
  if (row.wish === undefined && row.labels[learnerLabel] === "true") return "a learner by its label";
  if (row.state !== "up") return row.state;
  return "by the leader's judgement (silent, or one too many)";
}

function whyCome(tx: ReadTx, node: NodeId): string {
  return nodeById(tx, node)?.wish === "voter" ? ", promoted" : "";
}
