import { z } from "zod";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { noNode } from "../no-node.ts";
import { nodeByReference, setDrained, setNodeState } from "../tables/node.ts";
import { nodeReference } from "./shapes.ts";

interface NodeDrained {
  readonly node: string | number;
}

const shape = z.strictObject({ node: nodeReference });

export const nodeDrain = command<NodeDrained>()({
  name: "node.drain",
  tag: 6,
  since: 1,
  right: "nodes:write",
  doc: "The node is given no more work; what runs on it goes on.",
  input: shape,
  payload: shape,
  route: { method: "POST", path: "/v1/nodes/:node/drain", status: 200 },
  answer: z.object({ node: z.int(), state: z.enum(["up", "draining", "lost"]) }),
  prepare: (input) => input,
  audit: ({ node }) => `node ${node}`,
  apply(tx, payload, context) {
    const node = nodeByReference(tx, payload.node);
    if (node === undefined) return noNode(payload.node);
    if (node.state === "lost") {
      return refuse("conflict", `node ${node.name} is lost and runs nothing: remove it, or wait until it is back`);
    }
    if (node.state === "up") {
      setNodeState(tx, node.id, "draining");
      setDrained(tx, node.id, true);
      context.changed({ topic: "node", kind: "changed", node: node.id });
    }
    return accept({ node: node.id, state: "draining" as const });
  },
});
