import { z } from "zod";
import { clusterRow, listNodes } from "../state/queries.ts";
import type { ClusterView } from "../state/answers.ts";
import { nodeViews } from "./nodes.ts";
import { type HttpParts, readState, type Route, route } from "./route.ts";
import { duration } from "./shapes.ts";

const tokenDefaultMs = 24 * 3_600_000;
const tokenMaxMs = 365 * 86_400_000;
const tokenUsesDefault = 1000;

/** The cluster as a whole, and its join tokens. */
export function clusterRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/cluster",
      right: "read",
      doc: "The cluster as this node knows it, from local state; leader is null when unknown.",
      async handle({ exchange }) {
        const status = node.status();
        const read = await readState(parts, exchange, "stale", (tx): ClusterView => {
          const row = clusterRow(tx);
          return {
            cluster: status.cluster,
            level: row?.level ?? status.level,
            term: status.term,
            leader: status.leader,
            index: status.commit,
            applied: status.applied,
            voters: status.voters,
            voters_wanted: row?.votersWanted ?? null,
            nodes: nodeViews(tx, listNodes(tx), status),
          };
        });
        return read.ok ? reply.json(read.value.value, read.value.index) : reply.refusal(read.why);
      },
    }),
    route(parts, {
      method: "POST",
      path: "/v1/cluster/tokens",
      right: "tokens:write",
      doc: "Makes a join token. It is shown once: the cluster keeps a hash.",
      status: 201,
      body: z.strictObject({
        ttl: duration(tokenMaxMs).optional(),
        uses: z
          .int("must be a whole number")
          .min(1, "must be at least 1")
          .max(1_000_000, "must be at most 1000000")
          .optional(),
      }),
      async handle({ body, by }) {
        const outcome = await node.createJoinToken(
          { ttlMs: body.ttl ?? tokenDefaultMs, uses: body.uses ?? tokenUsesDefault },
          by,
        );
        return outcome.ok ? reply.json(outcome.value, undefined, 201) : reply.refusal(outcome.why);
      },
    }),
  ];
}
