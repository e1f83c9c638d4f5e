import { z } from "zod";
import { nodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { renameLevel } from "../levels.ts";
import { newNodeId } from "../tables/counter.ts";
import { allNodes, insertNode, nodeById, nodeByName, renameNode } from "../tables/node.ts";
import { insertToken, tokenById, useToken, type TokenRow } from "../tables/token.ts";
import { sql } from "../tx.ts";
import { newNodeShape, newTokenShape, type NewNode, type NewToken } from "./shapes.ts";

interface NodeJoined extends NewNode {
  /** Id of the join token that lets it in. */
  readonly joinToken: string;
  /** The API token of the node's own context. */
  readonly token: NewToken;
}

const shape = newNodeShape.extend({ joinToken: z.string().min(1).max(64), token: newTokenShape });

const selectLevel = sql("select level from cluster");

export const nodeJoin = command<NodeJoined>()({
  name: "node.join",
  tag: 2,
  since: 1,
  right: "internal",
  doc: "Lets a node in and gives it its id. The same (name, incarnation) again gets the same id.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, payload, context) {
    const { name, incarnation, joinToken, token } = payload;
    const present = nodeByName(tx, name);
    // A repeated request must not use the token twice.
    if (present?.incarnation === incarnation) return accept({ node: present.id });
    const admitted = context.level >= renameLevel ? (tokenById(tx, token.id)?.node ?? undefined) : undefined;
    const before = admitted === undefined ? undefined : nodeById(tx, admitted);
    // Let in and killed before it knew: the same data directory asks again, under another name. Who has announced itself keeps its name.
    if (before?.incarnation === incarnation && before.api === "" && present === undefined) {
      renameNode(tx, before.id, name);
      context.changed({ topic: "node", kind: "changed", node: before.id, announced: true });
      return accept({ node: before.id });
    }
    const problem = problemOf(tokenById(tx, joinToken), context.at);
    if (problem !== undefined) return refuse("unauthorized", `${problem}: make one with 'skein cluster token'`);
    if (present !== undefined) {
      const where = present.api === "" ? "" : ` at ${present.api}`;
      return refuse(
        "conflict",
        `a node named ${name} is in the cluster already${where}: choose another --name, or remove it first`,
      );
    }
    const clusterLevel = tx.get<{ level: number }>(selectLevel)?.level ?? 0;
    if (payload.level < clusterLevel) {
      return refuse(
        "conflict",
        `the cluster is at level ${clusterLevel}, and this version of skein (${payload.version}) understands ${payload.level}: install a newer one`,
      );
    }
    if (tokenById(tx, token.id) !== undefined)
      return refuse(
        "conflict",
        "this request to join was used before, by a node that was removed since: make a new one",
      );
    if (allNodes(tx).length >= limits.nodes)
      return refuse("conflict", `the cluster has ${limits.nodes} nodes, and that is the limit`);
    const id = nodeId(newNodeId(tx));
    insertNode(tx, id, name, payload, context.at);
    useToken(tx, joinToken);
    insertToken(tx, { ...token, kind: "api", role: "operator", expiresAt: null, uses: null, node: id });
    context.changed({ topic: "node", kind: "changed", node: id, announced: true });
    context.changed({ topic: "token", kind: "changed" });
    return accept({ node: id });
  },
  audit: ({ name, joinToken }, outcome) =>
    `node ${outcome.ok ? `${outcome.value.node} (${name})` : name} by join token ${joinToken}`,
});

function problemOf(token: TokenRow | undefined, at: number): string | undefined {
  if (token === undefined) return "the join token is not known to this cluster";
  if (token.kind !== "join") return "this is an API token, not a join token";
  if (token.revoked) return "the join token was revoked";
  if (token.expiresAt !== null && token.expiresAt <= at) return "the join token has expired";
  if (token.uses !== null && token.uses <= 0) return "the join token has been used as often as it may be";
  return undefined;
}
