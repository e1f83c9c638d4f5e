import { z } from "zod";
import { nodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { admittedBefore, joinTokenProblem } from "../join-token.ts";
import { joinLevel } from "../levels.ts";
import { newNodeId } from "../tables/counter.ts";
import { allNodes, insertNode, nodeByName, renameNode } from "../tables/node.ts";
import { insertToken, tokenById, useToken } from "../tables/token.ts";
import { sql } from "../tx.ts";
import { newNodeShape, newTokenShape, type NewNode, type NewToken } from "./shapes.ts";

interface NodeJoined extends NewNode {
  /** Id of the join token that lets it in. */
  readonly joinToken: string;
  /** The API token of the node's own context. */
  readonly token: NewToken;
  /** When the member was asked by its own clock, epoch ms: after a restart of everybody the log's stands still until voters' clocks are heard (J4). */
  readonly askedAt?: number | undefined;
}

const shape = newNodeShape.extend({
  joinToken: z.string().min(1).max(64),
  token: newTokenShape,
  askedAt: z.number().int().min(0).optional(),
});

const selectLevel = sql("select level from cluster");

export const nodeJoin = command<NodeJoined>()({
  name: "node.join",
  tag: 2,
  since: 1,
  right: "internal",
  doc: "Lets a node in and gives it its id. The same request again, of a node that has not come yet, gets the same id.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, payload, context) {
    const { name, incarnation, joinToken, token } = payload;
    const present = nodeByName(tx, name);
    const isLate = context.level >= joinLevel;
    // A repeated request must not use the token twice. Earlier levels let in whoever names the incarnation, which every copy of the state holds.
    if (!isLate && present?.incarnation === incarnation) return accept({ node: present.id });
    // Let in and killed before it knew: the same data directory asks again, perhaps under another name. Who has come is not let in again.
    const before = isLate ? admittedBefore(tx, incarnation, token.id) : undefined;
    const at = isLate ? Math.max(context.at, payload.askedAt ?? 0) : context.at;
    const problem = joinTokenProblem(tokenById(tx, joinToken), at, before !== undefined);
    if (problem !== undefined) return refuse("unauthorized", `${problem}: make one with 'skein cluster token'`);
    if (before !== undefined && (present === undefined || present.id === before.id)) {
      if (before.name !== name) {
        renameNode(tx, before.id, name);
        context.changed({ topic: "node", kind: "changed", node: before.id, announced: true });
      }
      return accept({ node: before.id });
    }
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
