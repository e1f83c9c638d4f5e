import { z } from "zod";
import { nodeId, type NodeId } from "../../lib/ids.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { nodeById } from "../tables/node.ts";

interface ClusterTransferred {
  readonly from: NodeId;
  /** null: whoever is the closest. */
  readonly to: NodeId | null;
}

const id = z.int().positive().transform(nodeId);
const shape = z.strictObject({ from: id, to: id.nullable() });

export const clusterTransfer = command<ClusterTransferred>()({
  name: "cluster.transfer",
  tag: 34,
  since: 2,
  right: "cluster:write",
  doc: "Notes in the audit that a person asked for another leader; the hand-over follows it and is no entry.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  audit: ({ from, to }) => `from node ${from}${to === null ? "" : ` to node ${to}`}`,
  apply(tx, { to }) {
    if (to !== null && nodeById(tx, to) === undefined) return refuse("not-found", `there is no node ${to}`);
    return accept({ to });
  },
});
