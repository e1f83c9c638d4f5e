import { z } from "zod";
import type { JobId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { formatDuration, parseDuration } from "../../lib/units.ts";
import { command } from "../command.ts";
import { driverOf, readSpec } from "../spec.ts";
import { countExtensions, extensionOf, setExtension, sweepExtensions } from "../tables/extension.ts";
import { jobById } from "../tables/job.ts";
import { begunOf, presentTask } from "../tables/running.ts";
import { count, jobIdInput, jobIdShape } from "./shapes.ts";

interface JobExtended {
  readonly id: JobId;
  /** null: all that run; what waits at a node begins with the spec's timeout. */
  readonly task: number | null;
  readonly ms: number;
}

const byForm = `write how much longer, with its unit, like "10m"`;
const by = z.string({ error: byForm }).transform((text, context) => {
  const ms = parseDuration(text);
  if (ms !== undefined && ms > 0 && ms <= limits.timeoutMaxMs) return ms;
  context.addIssue({ code: "custom", message: `"${text}" is not a time from 1ms to 366d: ${byForm}` });
  return z.NEVER;
});

export const jobExtend = command<JobExtended>()({
  name: "job.extend",
  tag: 69,
  since: 3,
  right: "jobs:write",
  doc: "Gives running tasks of a job, or one of them, more time than their timeout. It is for their present attempts alone.",
  input: z.strictObject({
    id: jobIdInput,
    by,
    task: z.number({ error: "must be a task's number" }).int("must be a task's number").min(0).optional(),
  }),
  payload: z.strictObject({
    id: jobIdShape,
    task: count.nullable(),
    ms: z.number().int().min(1).max(limits.timeoutMaxMs),
  }),
  route: { method: "POST", path: "/v1/jobs/:id/extend", status: 200 },
  answer: z.object({ id: z.int(), tasks: z.int() }),
  prepare: ({ id, task, by: ms }) => ({ id, task: task ?? null, ms }),
  audit: ({ id, task, ms }) => `job ${id}${task === null ? "" : `/${task}`} by ${formatDuration(ms)}`,
  apply(tx, { id, task, ms }, context) {
    const job = jobById(tx, id);
    if (job === undefined) return refuse("not-found", `there is no job ${id}`);
    if (job.finished_at !== null) return refuse("conflict", `job ${id} has ended already: ${job.state}`);
    const spec = readSpec(job.spec);
    if (spec.timeoutMs === undefined)
      return refuse("conflict", `job ${id} has no timeout: its tasks may run for as long as they like`);
    const driver = driverOf(spec);
    if (driver === "ssh" || driver === "ansible") {
      const message = `job ${id} runs on hosts by ${driver}, where each has its limit from its start on: that cannot be moved from here. Cancel it and run it with a longer timeout`;
      return refuse("conflict", message);
    }
    if (task !== null && task >= job.tasks) return refuse("not-found", `job ${id} has no task ${task}`);
    const wanted = task === null ? undefined : presentTask(tx, job, task);
    const running = task === null ? begunOf(tx, id) : wanted?.state === "running" ? [wanted] : [];
    if (running.length === 0) {
      const what = task === null ? `no task of job ${id} runs` : `task ${id}/${task} does not run`;
      return refuse("conflict", `${what}: only what runs has a timeout that can be extended`);
    }
    if (running.length > limits.extensionsPerCommand) {
      const message = `${running.length} tasks of job ${id} run, and at most ${limits.extensionsPerCommand} are extended at once: name one as ${id}/TASK`;
      return refuse("conflict", message);
    }
    sweepExtensions(tx);
    if (countExtensions(tx) + running.length > limits.extensions)
      return refuse("conflict", `${limits.extensions} tasks have more time already: wait for some to end`);
    for (const { task: number, attempt, node } of running) {
      const total = Math.min(extensionOf(tx, id, number, attempt) + ms, limits.timeoutMaxMs);
      setExtension(tx, { job: id, task: number, attempt, ms: total });
      if (node !== null)
        context.changed({ topic: "task", kind: "extended", job: id, task: number, attempt, node, ms: total });
    }
    return accept({ id, tasks: running.length });
  },
});
