import { z } from "zod";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { endAttemptsOf, endPinnedTo } from "../departure.ts";
import { deleteNode, nodeByReference } from "../tables/node.ts";
import { revokeTokensOf } from "../tables/token.ts";
import { nodeReference } from "./shapes.ts";

interface NodeRemoved {
  readonly node: string | number;
}

const shape = z.strictObject({ node: nodeReference });

export const nodeRemove = command<NodeRemoved>()({
  name: "node.remove",
  tag: 5,
  since: 1,
  right: "nodes:write",
  doc: "Removes a node for good: its work is given to others, its tokens end, its id is never used again.",
  input: shape,
  payload: shape,
  route: { method: "DELETE", path: "/v1/nodes/:node", status: 200 },
  prepare: (input) => input,
  apply(tx, payload, context) {
    const node = nodeByReference(tx, payload.node);
    if (node === undefined) return refuse("not-found", `there is no node ${payload.node}`);
    const reason = `node ${node.name} was removed`;
    const attempts = endAttemptsOf(tx, context, node.id, reason);
    endPinnedTo(tx, context, node.id, reason);
    revokeTokensOf(tx, node.id);
    deleteNode(tx, node.id);
    context.changed({ topic: "node", kind: "removed", node: node.id });
    context.changed({ topic: "token", kind: "changed" });
    return accept({ node: node.id, attempts });
  },
});
