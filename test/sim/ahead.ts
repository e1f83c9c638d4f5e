import type { Random } from "../../src/lib/prng.ts";
import type { AppliedEvent } from "../../src/node/api.ts";
import { readSpec, slotsOf } from "../../src/state/spec.ts";
import { jobById } from "../../src/state/tables/job.ts";
import { runningOn } from "../../src/state/tables/running.ts";
import type { Spec } from "../../src/state/types.ts";
import type { Host } from "./host.ts";

/**
 * Work ahead (src/scheduler/ahead.ts) needs many short tasks at once, whose durations are known: somebody submits flurries of them. In the midst of some there are
 * long ones, behind which others wait until their node gives them back.
 */
export function flurry(random: Random, name: (at: number) => string): Spec[] {
  const count = 60 + Math.floor(random() * 120);
  const long = random() < 0.5 ? 4 + Math.floor(random() * 20) : 0;
  const longFrom = Math.floor(count * (0.5 + random() * 0.3));
  return Array.from({ length: count }, (_, at) => {
    const isLong = at >= longFrom && at < longFrom + long;
    const forMs = Math.floor(isLong ? 1500 + random() * 2500 : random() * 30);
    return { name: name(at), run: ["work", String(forMs), "0"], ttlMs: 86_400_000 };
  });
}

/** That takes a look at all that a node was given, of which there is much: one in so many assignments is enough. */
const lookedAt = 0.1;

/** Counts that a host's node was given more than it has slots for, as its own state has it: once in a run. */
export function countAhead(host: Host, slots: number, events: readonly AppliedEvent[]): void {
  if (host.cluster.counters["assignedAhead"] !== undefined) return;
  const isGiven = events.some(({ changes }) =>
    changes.some((change) => change.topic === "task" && change.kind === "assigned" && change.node === host.id),
  );
  if (!isGiven || !host.cluster.chance("looks at work ahead", lookedAt)) return;
  const taken = host.state.view((tx) =>
    runningOn(tx, host.id).reduce((sum, { job }) => sum + slotsOf(readSpec(jobById(tx, job)!.spec)), 0),
  );
  if (taken > slots) host.cluster.count("assignedAhead");
}
