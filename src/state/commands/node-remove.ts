import { z } from "zod";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { endPinnedTo } from "../departure.ts";
import { auditLevel } from "../levels.ts";
import { noNode } from "../no-node.ts";
import { removeHoldings } from "../tables/bundle.ts";
import { allNodes, deleteNode, nodeByReference } from "../tables/node.ts";
import { packCopiesHeldBy, removePackCopy } from "../tables/pack-copy.ts";
import { runningOn } from "../tables/running.ts";
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
  doc: "Removes a node for good, once nothing runs on it any more: its tokens end, its id is never used again.",
  input: shape,
  payload: shape,
  route: { method: "DELETE", path: "/v1/nodes/:node", status: 200 },
  answer: z.object({ node: z.int() }),
  prepare: (input) => input,
  audit: ({ node }) => `node ${node}`,
  apply(tx, payload, context) {
    const node = nodeByReference(tx, payload.node);
    if (node === undefined) return noNode(payload.node);
    if (context.level >= auditLevel && allNodes(tx).length === 1)
      return refuse("conflict", `node ${node.name} is the cluster's only one: stop it, and delete its data directory`);
    // Its lease may go on for seconds: what it runs must not start elsewhere before that is over (J1, J3), which node.lost sees to.
    const running = runningOn(tx, node.id).length;
    if (running > 0) {
      const tasks = running === 1 ? "1 task" : `${running} tasks`;
      return refuse(
        "conflict",
        `node ${node.name} holds ${tasks}: drain it and repeat when they have ended; if it is down, repeat when it is shown as lost, seconds after it fell silent`,
      );
    }
    endPinnedTo(tx, context, node.id, `node ${node.name} was removed`);
    revokeTokensOf(tx, node.id);
    // Copies that it held go with it; those of its own packs are what is left of its logs.
    for (const { node: of, pack } of packCopiesHeldBy(tx, node.id)) removePackCopy(tx, of, pack);
    removeHoldings(tx, node.id);
    deleteNode(tx, node.id);
    context.changed({ topic: "node", kind: "removed", node: node.id });
    context.changed({ topic: "token", kind: "changed" });
    return accept({ node: node.id });
  },
});
