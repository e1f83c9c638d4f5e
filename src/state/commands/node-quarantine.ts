import { z } from "zod";
import type { NodeId } from "../../lib/ids.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { nodeById, setQuarantine } from "../tables/node.ts";
import { nodeIdShape } from "./shapes.ts";

interface NodeQuarantined {
  readonly node: NodeId;
  readonly entry: number;
}

const shape = z.strictObject({ node: nodeIdShape, entry: z.int().min(1) });

export const nodeQuarantine = command<NodeQuarantined>()({
  name: "node.quarantine",
  tag: 50,
  since: 3,
  right: "internal",
  doc: "The leader tells that a node's state differs from that of a quorum (S1): it gets no more work before it has theirs.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  audit: ({ node, entry }) => `node ${node}, whose state differs at entry ${entry}`,
  apply(tx, { node, entry }, context) {
    const row = nodeById(tx, node);
    if (row === undefined) return refuse("not-found", `there is no node ${node}`);
    setQuarantine(tx, row.id, entry);
    context.changed({ topic: "node", kind: "changed", node: row.id });
    return accept({ node: row.id });
  },
});
