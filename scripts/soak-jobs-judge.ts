/**
 * What must hold of jobs that went through trouble, whatever it was: each has one end, the one that its own tasks and its parents lead to; no task was alive twice;
 * `on_lost: fail` never ran again; nothing started before it might, or beyond a limit. Every judge gives what is not so, in words.
 */
import { createHash } from "node:crypto";
import { limits } from "../src/lib/limits.ts";
import { isTerminal } from "../src/lib/states.ts";
import type { JobView } from "../src/state/types.ts";
import { isTakenBack, type TaskAnswer } from "./mesh-jobs.ts";
import { type Condition, type Drawn, licenses, outcomeOf, outputOf, slots } from "./soak-jobs-plan.ts";

/** A job that was acknowledged, and what was asked of it later. */
export interface Submitted extends Drawn {
  readonly id: number;
  readonly parents: readonly { readonly id: number; readonly when: Condition }[];
  cancelAsked: boolean;
  /** Between these moments (epoch ms) it was held and had not begun. */
  held: { readonly fromMs: number; readonly toMs: number } | undefined;
}

/** A line that a task has written. */
export interface Trace {
  readonly what: "begin" | "beat" | "end";
  readonly job: number;
  readonly task: number;
  readonly attempt: number;
  readonly fence: number;
  readonly node: number;
  /** The host's uptime, s. */
  readonly upSeconds: number;
}

export type JobSeen = Pick<JobView, "id" | "name" | "state" | "counts"> &
  Partial<Pick<JobView, "partial" | "reason">> & {
    readonly submitted_at: string;
    readonly started_at: string | null;
    readonly finished_at: string | null;
  };

export interface JobsHistory {
  readonly jobs: readonly Submitted[];
  /** Names of jobs that were refused for good. */
  readonly refused: readonly string[];
  /** All jobs that there are in the end. */
  readonly seen: readonly JobSeen[];
  /** All tasks of each job. */
  readonly tasks: ReadonlyMap<number, readonly TaskAnswer[]>;
  /** In the order in which they were written. */
  readonly traces: readonly Trace[];
  /** What nodes have told of each job's end, as events: the state, and the entry that made it so. */
  readonly ends: ReadonlyMap<number, ReadonlySet<string>>;
}

/** By the stamp of a release the log's clock may be so much behind the host's. */
const clockLagMs = 500;

/** Lines that are none are told of in `damaged`. */
export function tracesIn(text: string): { readonly traces: readonly Trace[]; readonly damaged: readonly string[] } {
  const traces: Trace[] = [];
  const damaged: string[] = [];
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [, what, job, task, attempt, fence, node, up] =
      /^(begin|beat|end) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+\.\d+)$/.exec(line) ?? [];
    if (what === undefined) {
      damaged.push(line);
      continue;
    }
    const [jobId, taskNumber, attemptNumber, fenceIndex, nodeId] = [job, task, attempt, fence, node].map(Number);
    traces.push({
      what: what as Trace["what"],
      job: jobId!,
      task: taskNumber!,
      attempt: attemptNumber!,
      fence: fenceIndex!,
      node: nodeId!,
      upSeconds: Number(up),
    });
  }
  return { traces, damaged };
}

/** Acknowledged and there, once; refused and not there; ended. */
export function lostJobs({ jobs, refused, seen }: JobsHistory): string[] {
  const byName = new Map<string, JobSeen[]>();
  for (const one of seen) byName.set(one.name, [...(byName.get(one.name) ?? []), one]);
  return [
    ...jobs.flatMap(({ id, name }) => {
      const found = byName.get(name) ?? [];
      if (found.length !== 1 || found[0]!.id !== id)
        return [`${name} was acknowledged as job ${id}, and is there as ${JSON.stringify(found.map((one) => one.id))}`];
      return isTerminal(found[0]!.state) ? [] : [`job ${id} has not ended: it is ${found[0]!.state}`];
    }),
    ...refused.flatMap((name) => (byName.has(name) ? [`${name} was refused, and is there`] : [])),
  ];
}

/** Every node has told of the same end, which is the one that the job has. */
export function endedTwice({ seen, ends }: JobsHistory): string[] {
  return seen.flatMap(({ id, state }) => {
    const told = [...(ends.get(id) ?? [])];
    if (told.length > 1) return [`job ${id} has ended more than once: ${told.join(", ")}`];
    return told.length === 1 && !told[0]!.startsWith(`${state} `)
      ? [`job ${id} is ${state}, and its end was told as ${told[0]}`]
      : [];
  });
}

/** The state of every job follows from its tasks and its parents, and each task's from what its attempts do. */
export function wrongEnds(history: JobsHistory): string[] {
  const states = new Map(history.seen.map((one) => [one.id, one]));
  return history.jobs.flatMap((job) => {
    const seen = states.get(job.id);
    if (seen === undefined) return [];
    const tasks = history.tasks.get(job.id) ?? [];
    const told = (problem: string): string => `job ${job.id} (${JSON.stringify(job.spec)}): ${problem}`;
    return [
      ...(tasks.length === job.tasks || seen.started_at === null
        ? []
        : [told(`has ${tasks.length} tasks and not ${job.tasks}`)]),
      ...verdictProblems(job, seen, states, history).map(told),
      ...tasks.flatMap((task) => taskProblems(job, seen, task).map((problem) => told(`task ${task.task} ${problem}`))),
    ];
  });
}

function verdictProblems(
  job: Submitted,
  seen: JobSeen,
  states: ReadonlyMap<number, JobSeen>,
  history: JobsHistory,
): string[] {
  const { counts, state } = seen;
  const problems: string[] = [];
  const mayBeCancelled = job.cancelAsked || replacersOf(job, history).length > 0;
  const unmet = job.parents.filter(({ id, when }) => {
    const parent = states.get(id)?.state;
    return parent !== undefined && isTerminal(parent) && !isMet(when, parent);
  });
  const failures = counts.failed + counts.timeout + counts.lost;
  const allowed = failuresAllowed(job);
  const isOverdue = job.spec["deadline"] !== undefined;
  if (state === "cancelled") {
    if (!mayBeCancelled) problems.push("is cancelled, and nobody asked for it");
  } else {
    const isPartial = allowed !== undefined && failures <= allowed && counts.succeeded + failures === job.tasks;
    const expected =
      counts.succeeded === job.tasks || isPartial ? "succeeded" : counts.skipped === job.tasks ? "skipped" : "failed";
    if (state !== expected) problems.push(`is ${state}, and its tasks say ${expected}: ${JSON.stringify(counts)}`);
    if (counts.cancelled > 0) problems.push(`is ${state}, and tasks of it are cancelled`);
    if ((seen.partial === true) !== (state === "succeeded" && failures > 0)) problems.push("is partial, or is not");
  }
  const ended = Object.values(counts).reduce((sum, count) => sum + count, 0);
  if (ended !== job.tasks || counts.queued + counts.running > 0)
    problems.push(`has tasks that have not ended: ${JSON.stringify(counts)}`);
  // After: who had a parent that ended otherwise never starts.
  const whose = unmet.map(({ id }) => id).join(", ");
  if (state === "skipped" && unmet.length === 0) problems.push("is skipped, and no parent of it ended otherwise");
  if (unmet.length > 0 && state !== "skipped" && !mayBeCancelled && !isOverdue)
    problems.push(`is ${state}, and ended otherwise than skipped by ${whose}`);
  if (unmet.length > 0 && seen.started_at !== null) problems.push(`has started in spite of ${whose}`);
  if (seen.started_at === null && counts.succeeded + counts.failed > 0) problems.push("never started, and has results");
  const isPastFailures = allowed !== undefined && failures > allowed;
  if (counts.skipped > 0 && counts.skipped < job.tasks && !isPastFailures)
    problems.push("has tasks that are skipped without failures enough");
  return problems;
}

/** Of one task: that each attempt ended as it does when it is left alone, or was taken away, and that there were as many as there may be. */
function taskProblems(job: Submitted, seen: JobSeen, task: TaskAnswer): string[] {
  const problems: string[] = [];
  const { spec } = job;
  const before = task.attempts.filter((one) => one.attempt < task.attempt);
  const max = (spec["retries"] as { readonly max: number } | undefined)?.max ?? 0;
  let [failures, losses] = [0, 0];
  let latest = 0;
  for (const one of before) {
    const { attempt, state } = one;
    if (attempt <= latest) problems.push(`has attempt ${attempt} after attempt ${latest}`);
    latest = attempt;
    if (isTakenBack(one)) continue;
    if (state === "lost") losses += 1;
    else {
      failures += 1;
      const alone = outcomeOf(job, task.task, attempt);
      if (alone !== state) problems.push(`has attempt ${attempt} as ${state}, which by itself is ${alone}`);
      if (state === "succeeded") problems.push(`was begun again after attempt ${attempt} had succeeded`);
    }
  }
  if (failures > max) problems.push(`was tried again ${failures} times, of ${max}`);
  if (losses > 0 && spec["on_lost"] === "fail") problems.push("was begun again after it had been lost");
  const alone = outcomeOf(job, task.task, task.attempt);
  // Of a job that is being stopped nothing is tried again.
  const mayBeStopped = job.cancelAsked || spec["key"] !== undefined || spec["max_failures"] !== undefined;
  const isOverdue = spec["deadline"] !== undefined;
  switch (task.state) {
    case "succeeded":
      if (alone !== "succeeded") problems.push(`succeeded, which attempt ${task.attempt} does not`);
      break;
    case "failed":
    case "timeout":
      if (task.state === "timeout" && isOverdue) break;
      if (alone !== task.state) problems.push(`is ${task.state}, and attempt ${task.attempt} by itself ${alone}`);
      if (failures < max && !mayBeStopped) problems.push(`was given up after ${failures} retries of ${max}`);
      break;
    case "lost":
      if (spec["on_lost"] !== "fail" && losses < limits.lostRetries)
        problems.push(`is lost after ${losses} losses, and may be lost`);
      break;
    case "cancelled":
      if (seen.state !== "cancelled") problems.push(`is cancelled, and its job ${seen.state}`);
      break;
    case "skipped":
      if (task.attempt > 0 && !mayBeStopped) problems.push(`is skipped after attempt ${task.attempt}`);
      break;
    default:
      problems.push(`is ${task.state}`);
  }
  if (task.state === "failed" && task.exit_code !== 1) problems.push(`failed with exit code ${task.exit_code}`);
  return problems;
}

/** Nothing began before its instant, its parents' ends, its release or its turn with a key. */
export function startedEarly(history: JobsHistory): string[] {
  const states = new Map(history.seen.map((one) => [one.id, one]));
  const problems: string[] = [];
  const byKey = new Map<string, Submitted[]>();
  for (const job of history.jobs) {
    const seen = states.get(job.id);
    const startedAt = seen?.started_at;
    if (startedAt === undefined || startedAt === null) continue;
    const startedMs = Date.parse(startedAt);
    const { start_at: startAt, key } = job.spec as { readonly start_at?: string; readonly key?: string };
    if (startAt !== undefined && startedMs < Date.parse(startAt))
      problems.push(`job ${job.id} started at ${startedAt}, before its start_at ${startAt}`);
    if (job.held !== undefined && startedMs > job.held.fromMs && startedMs < job.held.toMs - clockLagMs)
      problems.push(`job ${job.id} started at ${startedAt}, while it was held`);
    for (const { id } of job.parents) {
      const finishedAt = states.get(id)?.finished_at;
      if (finishedAt === undefined || finishedAt === null || Date.parse(finishedAt) > startedMs)
        problems.push(`job ${job.id} started at ${startedAt}, and job ${id} that it waits for ended at ${finishedAt}`);
    }
    for (const by of replacersOf(job, history)) {
      const { state, submitted_at: replacedAt } = states.get(by)!;
      // One that is skipped when it is submitted replaces nothing.
      if (state !== "skipped" && startedMs > Date.parse(replacedAt))
        problems.push(`job ${job.id} started at ${startedAt}, and job ${by} had replaced it at ${replacedAt}`);
    }
    if (key !== undefined) byKey.set(key, [...(byKey.get(key) ?? []), job]);
  }
  for (const [key, jobs] of byKey) {
    const spans = jobs
      .map(({ id }) => {
        const { started_at: startedAt, finished_at: finishedAt } = states.get(id)!;
        return { id, from: Date.parse(startedAt!), to: finishedAt === null ? Infinity : Date.parse(finishedAt) };
      })
      .toSorted((a, b) => a.from - b.from || a.to - b.to);
    for (const [at, one] of spans.slice(1).entries()) {
      if (spans[at]!.to > one.from)
        problems.push(`jobs ${spans[at]!.id} and ${one.id} of ${key} were at work together`);
    }
  }
  return problems;
}

/** J1: from the first line of a newer attempt on no older one says anything, fences grow, and an attempt begins once. */
export function liveTwice({ traces }: JobsHistory): string[] {
  const problems: string[] = [];
  const newest = new Map<string, Trace>();
  for (const one of traces) {
    const key = `${one.job}/${one.task}`;
    const before = newest.get(key);
    const which = `attempt ${one.attempt} of task ${key}`;
    if (before === undefined || one.attempt > before.attempt) {
      if (one.what !== "begin") problems.push(`${which} has not begun, and writes "${one.what}"`);
      if (before !== undefined && one.fence <= before.fence)
        problems.push(`${which} has fence ${one.fence}, attempt ${before.attempt} had ${before.fence}`);
      newest.set(key, one);
    } else if (one.attempt < before.attempt) {
      problems.push(
        `${which} on node ${one.node} was alive ${(one.upSeconds - before.upSeconds).toFixed(2)} s after attempt ${before.attempt} had begun on node ${before.node}`,
      );
    } else if (one.what === "begin" || one.fence !== before.fence) problems.push(`${which} ran twice`);
  }
  return problems;
}

/** What guards did is what the state says: no attempt that it does not know, and none that ended by itself without a trace. */
export function untoldWork({ jobs, tasks, traces }: JobsHistory): string[] {
  const byTask = new Map<string, Trace[]>();
  for (const one of traces) {
    const key = `${one.job}/${one.task}`;
    const known = byTask.get(key);
    if (known === undefined) byTask.set(key, [one]);
    else known.push(one);
  }
  const problems: string[] = [];
  const known = new Set<string>();
  for (const job of jobs) {
    for (const task of tasks.get(job.id) ?? []) {
      const key = `${job.id}/${task.task}`;
      known.add(key);
      const lines = byTask.get(key) ?? [];
      const unknown = lines.find((one) => one.attempt > task.attempt);
      if (unknown !== undefined)
        problems.push(`task ${key} is ${task.state} with attempt ${task.attempt}, and attempt ${unknown.attempt} ran`);
      const own = lines.filter((one) => one.attempt === task.attempt);
      const isWhole = own.some(({ what }) => what === "begin") && own.some(({ what }) => what === "end");
      if (job.isTraced && (task.state === "succeeded" || task.state === "failed") && !isWhole)
        problems.push(`task ${key} is ${task.state}, and its attempt ${task.attempt} did not run to its end`);
      const startsAgain = new Set(lines.map((one) => one.attempt)).size;
      const fails = task.attempts.filter((one) => one.state === "failed" || one.state === "timeout").length;
      if (job.spec["on_lost"] === "fail" && startsAgain > Math.max(1, fails + 1))
        problems.push(`task ${key} has on_lost: fail, failed ${fails} times and began ${startsAgain} times`);
    }
  }
  const ours = new Set(jobs.map(({ id }) => id));
  for (const [key, [first]] of byTask) {
    if (!known.has(key) && ours.has(first!.job)) problems.push(`task ${key} ran, and the state has none`);
  }
  return problems;
}

/** `parallel`, slots and declared resources: by what was alive at once, as the lines say. */
export function overLimits({ jobs, traces }: JobsHistory): string[] {
  const problems = new Set<string>();
  const last = new Map<string, number>();
  const nameOf = ({ job, task, attempt }: Trace): string => `${job}/${task}.${attempt}`;
  for (const [at, one] of traces.entries()) last.set(nameOf(one), at);
  const byId = new Map(jobs.map((job) => [job.id, job]));
  const alive = new Map<string, number>();
  const count = (key: string, change: number): number => {
    const now = (alive.get(key) ?? 0) + change;
    alive.set(key, now);
    return now;
  };
  for (const [at, one] of traces.entries()) {
    const job = byId.get(one.job);
    if (job === undefined) continue;
    const { parallel, resources } = job.spec as { readonly parallel?: number; readonly resources?: object };
    const of = [
      [`job ${one.job}`, parallel ?? Infinity],
      [`node ${one.node}`, slots],
      ...(resources === undefined ? [] : [[`licenses of node ${one.node}`, licenses] as const]),
    ] as const;
    if (one.what === "begin") {
      for (const [key, most] of of)
        if (count(key, 1) > most) problems.add(`${key}: more than ${most} tasks were alive at once`);
    }
    if (last.get(nameOf(one)) === at) for (const [key] of of) count(key, -1);
  }
  return [...problems];
}

/** What of a task's log that was read is not as the state, and the task itself, say. */
export function logProblem(job: Submitted, task: TaskAnswer, text: string): string | undefined {
  const where = `the log of task ${job.id}/${task.task} of node ${task.node}`;
  const isWhole = task.state === "succeeded" || task.state === "failed";
  if (isWhole && text !== outputOf(job, job.id, task.task, task.attempt))
    return `${where} is not what it printed, but ${text.length} characters: ${JSON.stringify(text.slice(0, 200))}`;
  const sha256 = createHash("sha256").update(text).digest("hex");
  const isAsTold = task.log === null || (task.log.sha256 === sha256 && task.log.bytes === Buffer.byteLength(text));
  return isAsTold
    ? undefined
    : `${where} has ${text.length} bytes and sha256 ${sha256}, not ${JSON.stringify(task.log)}`;
}

/** Later jobs of its key that replace what came before. */
function replacersOf({ id, spec }: Submitted, { jobs }: JobsHistory): number[] {
  const { key } = spec as { readonly key?: string };
  if (key === undefined) return [];
  return jobs.flatMap((one) =>
    one.id > id && one.spec["key"] === key && one.spec["on_conflict"] === "replace" ? [one.id] : [],
  );
}

function isMet(when: Condition, state: JobView["state"]): boolean {
  return when === "done" || when === state;
}

function failuresAllowed({ spec, tasks }: Submitted): number | undefined {
  const most = spec["max_failures"] as number | string | undefined;
  return typeof most === "string" ? Math.floor((Number.parseFloat(most) * tasks) / 100 + 1e-9) : most;
}

/** All of them. */
export const judges: Readonly<Record<string, (history: JobsHistory) => string[]>> = {
  lostJobs,
  endedTwice,
  wrongEnds,
  startedEarly,
  liveTwice,
  untoldWork,
  overLimits,
};
