import { z } from "zod";
import type { NodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { Work } from "../ending.ts";
import type { OpenJob } from "../tables/job.ts";
import type { Report } from "../types.ts";
import { count, factsShape, instant, jobIdShape, nodeIdShape } from "./shapes.ts";

interface TasksFinished {
  readonly node: NodeId;
  readonly reports: readonly Report[];
}

const report = z.strictObject({
  job: jobIdShape,
  task: count,
  attempt: z.number().int().positive(),
  state: z.enum(["succeeded", "failed", "timeout", "cancelled", "lost"]),
  exitCode: z.number().int().nullable(),
  signal: z.string().max(32).nullable(),
  reason: z
    .string()
    .max(limits.reasonLength)
    .nullish()
    .transform((reason) => reason ?? undefined),
  startedAt: instant,
  finishedAt: instant,
  tail: z.custom<Uint8Array>(
    (value) => value instanceof Uint8Array && value.length <= limits.tailMaxBytes,
    `must be at most ${limits.tailMaxBytes} bytes`,
  ),
  log: z
    .strictObject({ bytes: count, sha256: z.string().max(128) })
    .nullish()
    .transform((log) => log ?? undefined),
  recap: z.strictObject({ tasks: count, ok: count, failed: count, changed: count }).exactOptional(),
  facts: factsShape.exactOptional(),
});

const shape = z.strictObject({
  node: nodeIdShape,
  reports: z
    .array(report)
    .min(1)
    .max(limits.assignmentsPerEntry * 8),
});

export const taskFinish = command<TasksFinished>()({
  name: "task.finish",
  tag: 14,
  since: 1,
  right: "internal",
  doc: "A node reports attempts that ended. A report on an attempt that is not the present one is refused (J1).",
  input: shape,
  payload: shape,
  prepare: ({ node, reports }) => ({ node, reports: reports.map(withoutUndefined) }),
  apply(tx, { node, reports }, context) {
    const work = new Work(tx, context);
    const touched = new Set<OpenJob>();
    const refused: [job: number, task: number, attempt: number][] = [];
    for (const one of reports) {
      const job = work.jobs.get(one.job);
      const row = job === undefined ? undefined : work.taskOf(job, one.task);
      if (job === undefined || row?.state !== "running" || row.attempt !== one.attempt || row.node !== node) {
        refused.push([one.job, one.task, one.attempt]);
        continue;
      }
      work.endAttempt(job, row, node, one);
      if (one.facts !== undefined) work.addFacts(job, row, one.facts);
      touched.add(job);
    }
    for (const job of touched) work.finishIfDone(job);
    work.close();
    return accept({ refused });
  },
});

/** Absent members are left out of the log: the codec knows no undefined. */
function withoutUndefined({ reason, log, ...rest }: Report): Report {
  return { ...rest, ...(reason === undefined ? {} : { reason }), ...(log === undefined ? {} : { log }) } as Report;
}
