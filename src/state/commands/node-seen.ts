import { z } from "zod";
import type { NodeId } from "../../lib/ids.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { resourceLevel, scheduleLevel } from "../levels.ts";
import { readCounter } from "../tables/counter.ts";
import { givenLabels, giveLabels, nodeById, stateOnReturn, updateNode, type Announcement } from "../tables/node.ts";
import { announcementFields, nodeIdShape } from "./shapes.ts";

interface NodeSeen extends Announcement {
  readonly node: NodeId;
}

const shape = z.strictObject({ node: nodeIdShape, ...announcementFields });

export const nodeSeen = command<NodeSeen>()({
  name: "node.seen",
  tag: 3,
  since: 1,
  right: "internal",
  doc: "A node that has started tells where it is and what it can do; a lost one is up again, or draining if it was drained.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  needs: ({ resources, zones }) =>
    Math.max(resources === undefined ? 1 : resourceLevel, zones === undefined ? 1 : scheduleLevel),
  audit: ({ node, api, version, level }) => `node ${node} started: ${api}, version ${version}, level ${level}`,
  apply(tx, payload, context) {
    const node = nodeById(tx, payload.node);
    if (node === undefined) {
      const known = payload.node < readCounter(tx).next_node;
      const text = known ? "was removed from this cluster" : "is not known to this cluster";
      return refuse(
        "not-found",
        `node ${payload.node} ${text}: start it with an empty data directory and a join token`,
      );
    }
    const state = stateOnReturn(tx, node.id);
    // What the flags of `up` say wins, from now on; what else a person gave stays.
    const given = Object.entries(givenLabels(tx, node.id)).filter(([key]) => !(key in payload.labels));
    giveLabels(tx, node.id, Object.fromEntries(given));
    const labels = { ...Object.fromEntries(given), ...payload.labels };
    updateNode(tx, node.id, { ...payload, labels }, state, context.at);
    context.changed({ topic: "node", kind: "changed", node: node.id, announced: true });
    return accept({ node: node.id, state });
  },
});
