import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { change } from "../tx.ts";

interface ClusterSet {
  readonly voters: number;
}

const shape = z.strictObject({
  voters: z
    .int("must be a whole number")
    .min(1, "must be at least 1")
    .max(
      limits.votersWanted,
      `must be at most ${limits.votersWanted}: more voters make every write slower and nothing safer`,
    ),
});

const update = change("cluster.set-voters", "update cluster set voters_wanted = ?");

export const clusterSet = command<ClusterSet>()({
  name: "cluster.set",
  tag: 33,
  since: 2,
  right: "cluster:write",
  doc: "Settings of the cluster: voters, how many are wished for; an even number counts as the odd one below it.",
  input: shape,
  payload: shape,
  route: { method: "PATCH", path: "/v1/cluster", status: 200 },
  answer: z.object({ voters: z.int(), in_effect: z.int() }),
  prepare: (input) => input,
  audit: ({ voters }) => `voters=${voters}`,
  apply(tx, { voters }, context) {
    if (tx.run(update, voters) === 0) return refuse("conflict", "the cluster has not been created yet: repeat it");
    context.changed({ topic: "cluster", kind: "changed" });
    return accept({ voters, in_effect: voters % 2 === 0 ? voters - 1 : voters });
  },
});
