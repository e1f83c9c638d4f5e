import { z } from "zod";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { noNode } from "../no-node.ts";
import { nodeByReference, setDrained, setNodeState } from "../tables/node.ts";
import { nodeReference } from "./shapes.ts";

interface NodeUndrained {
  readonly node: string | number;
}

const shape = z.strictObject({ node: nodeReference });

export const nodeUndrain = command<NodeUndrained>()({
  name: "node.undrain",
  tag: 7,
  since: 1,
  right: "nodes:write",
  doc: "A draining node is given work again.",
  input: shape,
  payload: shape,
  route: { method: "POST", path: "/v1/nodes/:node/undrain", status: 200 },
  answer: z.object({ node: z.int(), state: z.enum(["up", "draining", "lost"]) }),
  prepare: (input) => input,
  audit: ({ node }) => `node ${node}`,
  apply(tx, payload, context) {
    const node = nodeByReference(tx, payload.node);
    if (node === undefined) return noNode(payload.node);
    setDrained(tx, node.id, false);
    if (node.state === "draining") {
      setNodeState(tx, node.id, "up");
      context.changed({ topic: "node", kind: "changed", node: node.id });
    }
    return accept({ node: node.id, state: node.state === "draining" ? ("up" as const) : node.state });
  },
});
