import { z } from "zod";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { countDeadOfBefore } from "../dead.ts";
import { deadLevel, hashLevel } from "../levels.ts";
import { allNodes } from "../tables/node.ts";
import { change, sql } from "../tx.ts";

interface ClusterRaised {
  readonly level: number;
}

const shape = z.strictObject({
  level: z.int("must be a whole number").min(1, "must be at least 1").max(1_000_000, "there is no such level"),
});

const select = sql("select level from cluster");
const update = change("cluster.set-level", "update cluster set level = ?");

/**
 * Belongs to the first level, since it is what leads to the next: whoever is a member has said that it understands the level that it
 * names, or it is refused.
 */
export const clusterRaise = command<ClusterRaised>()({
  name: "cluster.raise",
  tag: 35,
  since: 1,
  right: "cluster:write",
  doc: "Raises the cluster's level to one that every member understands; it never falls.",
  input: shape,
  payload: shape,
  route: { method: "POST", path: "/v1/cluster/raise", status: 200 },
  answer: z.object({ level: z.int() }),
  prepare: (input) => input,
  audit: ({ level }) => `level ${level}`,
  apply(tx, { level }, context) {
    const present = tx.get<{ level: number }>(select)?.level ?? 0;
    if (level < present) return refuse("conflict", `the cluster is at level ${present}, and a level never falls`);
    const behind = allNodes(tx).filter((node) => node.level < level);
    if (behind.length > 0) {
      const names = behind.slice(0, 5).map((node) => `${node.name} (${node.version}, level ${node.level})`);
      const more = behind.length > names.length ? ` and ${behind.length - names.length} more` : "";
      return refuse(
        "conflict",
        `level ${level} is not understood by ${names.join(", ")}${more}: upgrade them, or remove those that do not return ('skein nodes rm')`,
      );
    }
    if (level > present) {
      tx.run(update, level);
      if (present < hashLevel && level >= hashLevel) context.restartHash();
      if (present < deadLevel && level >= deadLevel) countDeadOfBefore(tx);
      context.changed({ topic: "cluster", kind: "changed" });
    }
    return accept({ level });
  },
});
