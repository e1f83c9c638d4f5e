import { z } from "zod";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { parseSelector } from "../lib/selector.ts";
import { isTerminal } from "../lib/states.ts";
import { findJob, findTask, jobStates, listJobs, listTasks } from "../state/queries.ts";
import type { JobState } from "../state/types.ts";
import type { WaitView } from "../state/answers.ts";
import { jobAnswer, jobsAnswer, taskAnswer, tasksAnswer, waitAnswer } from "./job-answers.ts";
import { invalid } from "./problems.ts";
import { type Exchange, type HttpParts, readState, type Route, route } from "./route.ts";
import { askedState, consistency, duration, pageLimit, since } from "./shapes.ts";
import { untilTerminal, whileWatching } from "./wait.ts";

const jobStateShape = z.enum(["queued", "running", "succeeded", "failed", "cancelled", "skipped"], {
  error: "must be queued, running, succeeded, failed, cancelled or skipped",
});

/** A label selector. */
export const selector = z.string().superRefine((text, context) => {
  const terms = parseSelector(text);
  if (typeof terms === "string") context.addIssue({ code: "custom", message: terms });
});

/** Where lists of jobs and tasks go on: what else it is, is no beginning. */
const place = z
  .string()
  .regex(/^[0-9a-z]{1,11}$/, "is no mark of an earlier answer")
  .optional();

const jobsQuery = z.strictObject({
  state: jobStateShape.optional(),
  name: z.string().max(limits.nameLength).optional(),
  label: selector.optional(),
  schedule: z.string().max(limits.scheduleNameLength).optional(),
  since: since.optional(),
  limit: pageLimit,
  next: place,
  consistency,
});

const tasksQuery = z.strictObject({
  state: askedState.optional(),
  target: z.string().max(limits.nameLength).optional(),
  limit: pageLimit,
  next: place,
  consistency,
});

const waitBody = z.strictObject({
  ids: z.array(z.int().positive()).min(1).max(limits.specsPerRequest),
  timeout: duration(limits.waitMs).optional(),
});
const waitDefaultMs = 30_000;

/** What is asked of jobs and tasks; the commands on them are in routes.ts. */
export function jobRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/jobs",
      right: "read",
      doc: "Jobs, newest first.",
      answer: jobsAnswer,
      query: jobsQuery,
      async handle({ exchange, query }) {
        const { consistency, limit, ...filter } = query;
        const read = await readState(parts, exchange, consistency, (tx) =>
          listJobs(tx, { ...filter, limit: limit ?? limits.listDefault }),
        );
        if (!read.ok) return reply.refusal(read.why);
        const { items, next } = read.value.value;
        return reply.json({ jobs: items, next }, read.value.index);
      },
    }),
    route(parts, {
      method: "GET",
      path: "/v1/jobs/:id",
      right: "read",
      doc: "One job. With wait, answers once it is terminal or the time is up.",
      answer: jobAnswer,
      query: z.strictObject({ wait: duration(limits.waitMs).optional(), consistency }),
      async handle({ exchange, query }) {
        const id = wholeOf(exchange, "id", 1);
        if (!id.ok) return reply.refusal(id.why);
        const answer = async (consistency: "linearizable" | "stale"): Promise<Response> => {
          const read = await readState(parts, exchange, consistency, (tx) => findJob(tx, id.value));
          if (!read.ok) return reply.refusal(read.why);
          const { value: job, index } = read.value;
          return job === undefined ? reply.refusal(noJob(id.value)) : reply.json(job, index);
        };
        if (query.wait === undefined || query.wait === 0) return answer(query.consistency);
        const deadline = performance.now() + query.wait;
        return whileWatching(parts, exchange, async (signal) => {
          const read = await readState(parts, exchange, query.consistency, (tx) => jobStates(tx, [id.value]));
          if (!read.ok) return reply.refusal(read.why);
          if (read.value.value.size === 0) return reply.refusal(noJob(id.value));
          await untilTerminal(node, [id.value], deadline, signal);
          return answer("stale");
        });
      },
    }),
    route(parts, {
      method: "GET",
      path: "/v1/jobs/:id/tasks",
      right: "read",
      doc: "The tasks of a job, in order.",
      answer: tasksAnswer,
      query: tasksQuery,
      async handle({ exchange, query }) {
        const id = wholeOf(exchange, "id", 1);
        if (!id.ok) return reply.refusal(id.why);
        const { consistency, limit, ...filter } = query;
        const read = await readState(parts, exchange, consistency, (tx) =>
          listTasks(tx, id.value, { ...filter, limit: limit ?? limits.listDefault }),
        );
        if (!read.ok) return reply.refusal(read.why);
        const { value: page, index } = read.value;
        if (page === undefined) return reply.refusal(noJob(id.value));
        return reply.json({ tasks: page.items, next: page.next }, index);
      },
    }),
    route(parts, {
      method: "GET",
      path: "/v1/jobs/:id/tasks/:task",
      right: "read",
      doc: "One task with all its attempts.",
      answer: taskAnswer,
      query: z.strictObject({ consistency }),
      async handle({ exchange, query }) {
        const id = wholeOf(exchange, "id", 1);
        if (!id.ok) return reply.refusal(id.why);
        const number = wholeOf(exchange, "task", 0);
        if (!number.ok) return reply.refusal(number.why);
        const read = await readState(parts, exchange, query.consistency, (tx) => ({
          job: jobStates(tx, [id.value]).size === 1,
          task: findTask(tx, id.value, number.value),
        }));
        if (!read.ok) return reply.refusal(read.why);
        const { job, task } = read.value.value;
        if (!job) return reply.refusal(noJob(id.value));
        return task === undefined ? reply.refusal(noTask(id.value, number.value)) : reply.json(task, read.value.index);
      },
    }),
    route(parts, {
      method: "POST",
      path: "/v1/jobs/wait",
      right: "read",
      doc: "Answers with the states of these jobs once all are terminal, or when the time is up (default 30s).",
      answer: waitAnswer,
      body: waitBody,
      handle({ exchange, body }) {
        const deadline = performance.now() + (body.timeout ?? waitDefaultMs);
        return whileWatching(parts, exchange, async (signal) => {
          const first = await readState(parts, exchange, "linearizable", (tx) => jobStates(tx, body.ids));
          if (!first.ok) return reply.refusal(first.why);
          if (first.value.value.size < new Set(body.ids).size)
            return reply.refusal(noJobs(body.ids, first.value.value));
          // What has ended stays so: of ten thousand that are asked about again and again only the open ones are read again.
          const before = new Map([...first.value.value].filter(([, state]) => isTerminal(state)));
          const open = body.ids.filter((id) => !before.has(id));
          const ended = await untilTerminal(node, open, deadline, signal);
          const last = await node.read((tx) => jobStates(tx, open), { consistency: "stale" });
          if (!last.ok) return reply.refusal(last.why);
          const view = waitView(body.ids, (id) => before.get(id) ?? last.value.value.get(id) ?? ended.get(id));
          return reply.json(view, last.value.index);
        });
      },
    }),
  ];
}

/** Who is known no more was finished: only finished jobs are forgotten. */
function waitView(ids: readonly number[], stateOf: (id: number) => JobState | undefined): WaitView {
  const jobs: WaitView["jobs"][number][] = [];
  const forgotten: number[] = [];
  for (const id of ids) {
    const state = stateOf(id);
    if (state === undefined) forgotten.push(id);
    else jobs.push({ id, state });
  }
  const finished = jobs.every((job) => isTerminal(job.state));
  return forgotten.length === 0 ? { finished, jobs } : { finished, jobs, forgotten };
}

/** A path parameter that is a whole number >= low. */
export function wholeOf(exchange: Exchange, name: "id" | "task", low: number): Outcome<number> {
  const text = exchange.req.param(name) ?? "";
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= low) return accept(value);
  const what = name === "id" ? "a job's id" : "a task's number";
  return invalid([{ path: name, message: `"${text}" is not ${what}: write a whole number` }], "the path");
}

/** The refusal of a job that is not there. */
export function noJob(id: number) {
  return refuse(
    "not-found",
    `there is no job ${id}: list jobs to see what there is; finished ones are forgotten after their ttl`,
  ).why;
}

/** The refusal of a task that is not there. */
export function noTask(job: number, task: number) {
  return refuse("not-found", `job ${job} has no task ${task}`).why;
}

function noJobs(ids: readonly number[], known: ReadonlyMap<number, unknown>) {
  const unknown = ids.flatMap((id, at) =>
    known.has(id) ? [] : [{ path: `ids[${at}]`, message: `there is no job ${id}` }],
  );
  const names = unknown.slice(0, 5).map((one) => one.message.slice("there is no ".length));
  const more = unknown.length > names.length ? ` and ${unknown.length - names.length} more` : "";
  return refuse("not-found", `there is no ${names.join(", ")}${more}: finished jobs are forgotten after their ttl`, {
    details: unknown,
  }).why;
}
