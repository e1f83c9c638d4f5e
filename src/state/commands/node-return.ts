import { z } from "zod";
import type { NodeId } from "../../lib/ids.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { nodeById, setQuarantine } from "../tables/node.ts";
import { nodeIdShape } from "./shapes.ts";

interface NodeReturned {
  readonly node: NodeId;
}

const shape = z.strictObject({ node: nodeIdShape });

export const nodeReturn = command<NodeReturned>()({
  name: "node.return",
  tag: 51,
  since: 3,
  right: "internal",
  doc: "The leader tells that a node that was in quarantine has the state of the others again.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  audit: ({ node }) => `node ${node} has the others' state again`,
  apply(tx, { node }, context) {
    const row = nodeById(tx, node);
    if (row === undefined) return refuse("not-found", `there is no node ${node}`);
    if (row.quarantine === undefined) return refuse("conflict", `node ${row.id} is not in quarantine`);
    setQuarantine(tx, row.id, undefined);
    context.changed({ topic: "node", kind: "changed", node: row.id, announced: true });
    return accept({ node: row.id });
  },
});
