import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { changesAt } from "../rescheduling.ts";
import { scheduleScope, writeScope } from "../tables/schedule-scope.ts";

interface PauseAll {
  readonly paused: boolean;
}

const shape = z.strictObject({ paused: z.boolean() });

export const schedulePauseAll = command<PauseAll>()({
  name: "schedule.pause-all",
  tag: 125,
  since: 3,
  right: "cluster:write",
  doc: "Pauses all schedules of the mesh together, or ends that: those that are paused by themselves stay so.",
  input: shape,
  payload: shape,
  route: { method: "POST", path: "/v1/schedules-pause", status: 200 },
  answer: z.object({ changed: z.boolean() }),
  prepare: (input) => input,
  apply(tx, { paused }, context) {
    const scope = scheduleScope(tx);
    if (paused === (scope.pausedAt !== null)) return accept({ changed: false });
    const { pausedAt } = scope;
    // One after the other, also where the clock was set meanwhile.
    const at = Math.max(changesAt(tx, context), pausedAt ?? scope.pauses.at(-1)?.[1] ?? 0);
    const pauses =
      pausedAt === null ? scope.pauses : [...scope.pauses, [pausedAt, at] as const].slice(-limits.schedulePauses);
    writeScope(tx, { ...scope, scope: context.index, pausedAt: paused ? at : null, pauses });
    context.changed({ topic: "schedule", kind: paused ? "all-paused" : "all-resumed" });
    return accept({ changed: true });
  },
  audit: ({ paused }) => (paused ? "pause all schedules" : "resume all schedules"),
});
