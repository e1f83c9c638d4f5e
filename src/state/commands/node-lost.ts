import { z } from "zod";
import type { NodeId } from "../../lib/ids.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { endAttemptsOf, endPinnedTo } from "../departure.ts";
import { forsakeLevel } from "../levels.ts";
import { nodeById, setLostSince, setNodeState } from "../tables/node.ts";
import { nodeIdShape } from "./shapes.ts";

interface NodeLost {
  readonly node: NodeId;
  /** The run of the process that fell silent: a later one is not lost by this. */
  readonly incarnation: string;
}

const shape = z.strictObject({ node: nodeIdShape, incarnation: z.string().max(100) });

export const nodeLost = command<NodeLost>()({
  name: "node.lost",
  tag: 4,
  since: 1,
  right: "internal",
  doc: "The leader declares a node lost whose lease has ended (J3); its attempts are given to others; tasks that only it may run wait for it, or end with on_lost: fail.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  audit: ({ node }) => `node ${node}`,
  apply(tx, payload, context) {
    const node = nodeById(tx, payload.node);
    if (node === undefined) return refuse("not-found", `there is no node ${payload.node}`);
    if (node.state === "lost") return refuse("conflict", `node ${node.id} is lost already`);
    if (node.incarnation !== payload.incarnation) return refuse("conflict", `node ${node.id} has started again since`);
    setNodeState(tx, node.id, "lost");
    if (context.level >= forsakeLevel) setLostSince(tx, node.id, context.at);
    const reason = `node ${node.name} was lost`;
    const attempts = endAttemptsOf(tx, context, node.id, reason);
    endPinnedTo(tx, context, node.id, reason, ({ spec }) => spec.onLost === "fail");
    context.changed({ topic: "node", kind: "changed", node: node.id });
    return accept({ attempts });
  },
});
