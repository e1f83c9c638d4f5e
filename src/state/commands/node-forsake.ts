import { z } from "zod";
import type { NodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { formatDuration } from "../../lib/units.ts";
import { command } from "../command.ts";
import { endPinnedTo } from "../departure.ts";
import { lostSince, nodeById } from "../tables/node.ts";
import { nodeIdShape } from "./shapes.ts";

interface NodeForsaken {
  readonly node: NodeId;
}

const shape = z.strictObject({ node: nodeIdShape });

export const nodeForsake = command<NodeForsaken>()({
  name: "node.forsake",
  tag: 81,
  since: 3,
  right: "internal",
  doc: "The leader waits no longer for a node that was lost long ago: tasks that only it may run end as lost, some with each command (J2).",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, payload, context) {
    const node = nodeById(tx, payload.node);
    if (node === undefined) return refuse("not-found", `there is no node ${payload.node}`);
    const since = lostSince(tx, node.id);
    if (since === undefined || context.at - since < limits.pinnedWaitMs)
      return refuse("conflict", `node ${node.id} is still waited for`);
    const reason = `node ${node.name} was lost, and did not return within ${formatDuration(limits.pinnedWaitMs)}`;
    const ended = endPinnedTo(tx, context, node.id, reason, () => true, limits.releasesPerCommand);
    return accept({ ended });
  },
});
