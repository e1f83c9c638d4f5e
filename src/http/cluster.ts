import { z } from "zod";
import { formatEpoch } from "../lib/epoch.ts";
import { limits } from "../lib/limits.ts";
import { boundsOf, clusterRow, levelHeld, listNodes, placementOf, timingOf, totals } from "../state/queries.ts";
import type { ClusterView } from "../state/answers.ts";
import { nodeReference } from "../state/commands/shapes.ts";
import { authorityViews } from "./authority.ts";
import { nodeViews } from "./nodes.ts";
import { type HttpParts, readState, type Route, route } from "./route.ts";
import { duration } from "./shapes.ts";

/** Before the first member is known. */
const maxLevel = 1_000_000;
const tokenDefaultMs = 24 * 3_600_000;

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
        const silent = await node.silent();
        const status = node.status();
        const read = await readState(parts, exchange, "stale", (tx): ClusterView => {
          const row = clusterRow(tx);
          const members = listNodes(tx);
          const timing = timingOf(tx);
          const sums = totals(tx);
          const bounds = boundsOf(tx);
          return {
            cluster: status.cluster,
            epoch: formatEpoch(status.epoch),
            level: row?.level ?? status.level,
            level_understood: Math.min(...members.map((member) => member.level), maxLevel),
            level_held: levelHeld(tx),
            term: status.term,
            leader: status.leader,
            index: status.commit,
            applied: status.applied,
            voters: status.voters,
            voters_outgoing: status.outgoing,
            voters_wanted: row?.votersWanted ?? null,
            fed_by: status.fedBy,
            feeds: status.feeds,
            heartbeat_ms: timing.heartbeatMs,
            election_timeout_ms: timing.electionTimeoutMs,
            placement: placementOf(tx),
            jobs: {
              unfinished: sums.jobsUnfinished,
              unfinished_max: bounds.unfinishedJobs,
              finished: sums.jobsFinished,
              finished_max: bounds.finishedJobs,
              dead: sums.deadLetters,
            },
            undecided: status.undecided,
            authorities: authorityViews(
              tx,
              members.map((member) => member.id),
            ),
            nodes: nodeViews(tx, members, status, silent),
          };
        });
        return read.ok ? reply.json(read.value.value, read.value.index) : reply.refusal(read.why);
      },
    }),
    route(parts, {
      method: "POST",
      path: "/v1/cluster/transfer",
      right: "cluster:write",
      doc: "Hands the leadership over, to the voter named by `to` or the closest one, and answers when it leads.",
      body: z.strictObject({ to: nodeReference.optional() }),
      answer: z.object({ from: z.int(), leader: z.int() }),
      async handle({ body, by }) {
        const outcome = await node.transfer(body.to, by);
        return outcome.ok ? reply.json(outcome.value) : reply.refusal(outcome.why);
      },
    }),
    route(parts, {
      method: "POST",
      path: "/v1/cluster/tokens",
      right: "tokens:write",
      doc: `Makes a join token, for 24 hours and ${limits.joinTokenUsesDefault} hosts unless it is said. It is shown once: the cluster keeps a hash.`,
      status: 201,
      body: z.strictObject({
        ttl: duration(limits.joinTokenTtlMaxMs, limits.tokenTtlMinMs).optional(),
        uses: z
          .int("must be a whole number")
          .min(1, "must be at least 1")
          .max(limits.joinTokenUses, `must be at most ${limits.joinTokenUses}`)
          .optional(),
      }),
      async handle({ body, by }) {
        const outcome = await node.createJoinToken(
          { ttlMs: body.ttl ?? tokenDefaultMs, uses: body.uses ?? limits.joinTokenUsesDefault },
          by,
        );
        return outcome.ok ? reply.json(outcome.value, undefined, 201) : reply.refusal(outcome.why);
      },
    }),
  ];
}
