import { z } from "zod";
import { type Placement, placements } from "../../lib/placement.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { setPlacement } from "../tables/placement.ts";

interface ClusterPlacement {
  readonly placement: Placement;
}

const shape = z.strictObject({
  placement: z.enum(placements, { error: `must be one of ${placements.join(", ")}` }),
});

export const clusterPlacement = command<ClusterPlacement>()({
  name: "cluster.placement",
  tag: 77,
  since: 3,
  right: "cluster:write",
  doc: "Which of the nodes with room a task goes to: spread (what holds without it) takes the emptiest, pack the fullest, so that whole nodes stay free for large tasks.",
  input: shape,
  payload: shape,
  route: { method: "PATCH", path: "/v1/cluster/placement", status: 200 },
  answer: shape,
  prepare: (input) => input,
  audit: ({ placement }) => `placement=${placement}`,
  apply(tx, { placement }, context) {
    if (!setPlacement(tx, placement)) return refuse("conflict", "the cluster has not been created yet: repeat it");
    context.changed({ topic: "cluster", kind: "changed" });
    return accept({ placement });
  },
});
