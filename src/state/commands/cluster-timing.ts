import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { setTiming, type Timing } from "../tables/timing.ts";

const { tickMs, heartbeatMaxMs, electionTimeoutMaxMs, heartbeatsPerTimeout } = limits;
const wholeTicks = `must be a multiple of ${tickMs} ms`;

const shape = z
  .strictObject({
    heartbeat_ms: z
      .int("must be a whole number of milliseconds")
      .min(tickMs, `must be at least ${tickMs} ms`)
      .max(heartbeatMaxMs, `must be at most ${heartbeatMaxMs} ms`)
      .multipleOf(tickMs, wholeTicks),
    election_timeout_ms: z
      .int("must be a whole number of milliseconds")
      .max(electionTimeoutMaxMs, `must be at most ${electionTimeoutMaxMs} ms: leases must outlive an election`)
      .multipleOf(tickMs, wholeTicks),
  })
  .refine((timing) => timing.election_timeout_ms >= heartbeatsPerTimeout * timing.heartbeat_ms, {
    path: ["election_timeout_ms"],
    message: `must be at least ${heartbeatsPerTimeout} heartbeats, or a few late ones look like a dead leader`,
  });

interface ClusterTiming {
  readonly heartbeat_ms: number;
  readonly election_timeout_ms: number;
}

/**
 * Both at once, since they only make sense together, and for all nodes alike. While some have applied it and others not, an election may come
 * sooner or later than either says; safety does not rest on time.
 */
export const clusterTiming = command<ClusterTiming>()({
  name: "cluster.timing",
  tag: 37,
  since: 3,
  right: "cluster:write",
  doc: "The leader's heartbeat and the election timeout T (timeouts are drawn from T to 2T), for members that are far apart.",
  input: shape,
  payload: shape,
  route: { method: "PATCH", path: "/v1/cluster/timing", status: 200 },
  answer: z.object({ heartbeat_ms: z.int(), election_timeout_ms: z.int() }),
  prepare: (input) => input,
  audit: (timing) => `heartbeat ${timing.heartbeat_ms} ms, election timeout ${timing.election_timeout_ms} ms`,
  apply(tx, input, context) {
    const timing: Timing = { heartbeatMs: input.heartbeat_ms, electionTimeoutMs: input.election_timeout_ms };
    setTiming(tx, timing);
    context.changed({ topic: "cluster", kind: "changed" });
    return accept(input);
  },
});
