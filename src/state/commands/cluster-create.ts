import { z } from "zod";
import { nodeId, type NodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { newNodeId } from "../tables/counter.ts";
import { insertNode } from "../tables/node.ts";
import { insertToken } from "../tables/token.ts";
import { change, sql } from "../tx.ts";
import { newNodeShape, newTokenShape, type NewNode, type NewToken } from "./shapes.ts";

interface ClusterCreated {
  readonly cluster: string;
  readonly votersWanted: number;
  readonly node: NewNode;
  /** The admin's API token. */
  readonly token: NewToken;
}

const shape = z.strictObject({
  cluster: z.string().min(1).max(100),
  votersWanted: z.number().int().min(1).max(limits.votersWanted),
  node: newNodeShape,
  token: newTokenShape,
});

const select = sql("select cluster from cluster");
const insert = change(
  "cluster.add",
  "insert into cluster (id, cluster, level, voters_wanted, created_at) values (1, ?, ?, ?, ?)",
);

export const clusterCreate = command<ClusterCreated>()({
  name: "cluster.create",
  tag: 1,
  since: 1,
  right: "internal",
  doc: "The first command of a cluster: its name, its first node and the admin's token.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  audit: ({ cluster }) => `cluster ${cluster}`,
  apply(tx, { cluster, votersWanted, node, token }, context) {
    const present = tx.get<{ cluster: string }>(select);
    if (present !== undefined) return refuse("conflict", `the cluster ${present.cluster} exists already`);
    tx.run(insert, cluster, node.level, votersWanted, context.at);
    const id: NodeId = nodeId(newNodeId(tx));
    insertNode(tx, id, node.name, node, context.at);
    insertToken(tx, { ...token, kind: "api", role: "admin", expiresAt: null, uses: null, node: null });
    context.changed({ topic: "cluster", kind: "changed" });
    context.changed({ topic: "node", kind: "changed", node: id, announced: true });
    context.changed({ topic: "token", kind: "changed" });
    return accept({ node: id });
  },
});
