import { z } from "zod";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { holdLevel, isLevelHeld } from "../tables/upgrade.ts";

interface ClusterHeld {
  readonly hold: boolean;
}

const shape = z.strictObject({ hold: z.boolean({ error: "must be true or false" }) });

export const clusterHold = command<ClusterHeld>()({
  name: "cluster.hold",
  tag: 36,
  since: 1,
  right: "cluster:write",
  doc: "Keeps the leader from raising the level by itself, until it is released: a version can be rolled back only while its level is not the cluster's.",
  input: shape,
  payload: shape,
  route: { method: "POST", path: "/v1/cluster/hold", status: 200 },
  answer: z.object({ hold: z.boolean() }),
  prepare: (input) => input,
  audit: ({ hold }) => (hold ? "hold" : "release"),
  apply(tx, { hold }, context) {
    if (isLevelHeld(tx) !== hold) {
      holdLevel(tx, hold);
      context.changed({ topic: "cluster", kind: "changed" });
    }
    return accept({ hold });
  },
});
