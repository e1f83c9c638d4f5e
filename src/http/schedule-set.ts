import type { z } from "zod";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, type Problem, type Refusal } from "../lib/outcome.ts";
import { inTurns } from "../lib/turns.ts";
import { problemsOf } from "../state/commands/problems.ts";
import { readScheduleAhead } from "../state/commands/schedule-schema.ts";
import { scheduleSet } from "../state/commands/schedule-set.ts";
import type { Principal } from "../state/types.ts";
import { check, invalid } from "./problems.ts";
import { type Exchange, type HttpParts, readJson } from "./route.ts";
import { type AskedSchedule, problemsInState } from "./schedule-check.ts";

/** POST /v1/schedules: one schedule as the body, or {"schedules": [...]}. */
export async function serveScheduleSet(
  parts: HttpParts,
  exchange: Exchange,
  onlyNew: boolean,
  by: Principal,
): Promise<Response> {
  const { node, reply } = parts;
  const body = await readJson(exchange.req.raw);
  if (!body.ok) return reply.refusal(body.why);
  const isMany = typeof body.value === "object" && body.value !== null && "schedules" in body.value;
  const read = await inTurns(
    readAhead(isMany ? (body.value as { readonly schedules: unknown }).schedules : [body.value]),
  );
  if (!read.ok) return reply.refusal(read.why);
  const asked = isMany ? readMany(body.value, onlyNew) : readOne(body.value, onlyNew);
  const inState = await problemsInState(parts, exchange, read.value, onlyNew);
  if (!inState.ok) return reply.refusal(inState.why);
  const problems = [
    ...(asked.ok ? [] : (asked.why.details ?? [])),
    ...inState.value.flatMap((some, at) => (isMany ? some.map((one) => inList(one, at)) : some)),
  ];
  if (!asked.ok || problems.length > 0) return reply.refusal(invalid(inOrder(problems), whatOf(isMany)).why);
  const outcome = await node.propose("schedule.set", asked.value, by);
  if (!outcome.ok) return reply.refusal(isMany ? outcome.why : aboutOne(outcome.why));
  const { schedules } = outcome.value.value;
  const status = schedules.some(({ changed }) => changed) ? 201 : 200;
  return reply.json(isMany ? { schedules } : schedules[0], outcome.value.index, status);
}

type Asked = Outcome<z.output<typeof scheduleSet.input>>;

function whatOf(isMany: boolean): string {
  return isMany ? "the body" : "the schedule";
}

/** One by one: a thousand expressions take a while. A refusal only where so much is wrong that the rest is not worth a look. */
function* readAhead(schedules: unknown): Generator<undefined, Outcome<readonly AskedSchedule[]>, undefined> {
  if (!Array.isArray(schedules) || schedules.length > limits.schedulesPerRequest) return accept([]);
  const problems: Problem[] = [];
  const read: AskedSchedule[] = [];
  for (const [at, raw] of schedules.entries()) {
    const one = readScheduleAhead(raw);
    read.push({ raw, ...one });
    for (const problem of problemsOf(one, `schedules[${at}]`)) problems.push(problem);
    if (problems.length >= limits.problemsPerRequest && at + 1 < schedules.length) {
      const message = "and what follows was not looked at: mend those before it first";
      problems.push({ path: `schedules[${at + 1}]`, message });
      return invalid(problems, whatOf(true));
    }
    yield;
  }
  return accept(read);
}

function readMany(body: object, onlyNew: boolean): Asked {
  return check(scheduleSet.input, onlyNew ? { ...body, only_new: true } : body, whatOf(true));
}

function readOne(body: unknown, onlyNew: boolean): Asked {
  const input = { schedules: [body], ...(onlyNew ? { only_new: true } : {}) };
  return check(scheduleSet.input, input, whatOf(false), (path) => (path[0] === "schedules" ? path.slice(2) : path));
}

function inList({ path, message }: Problem, at: number): Problem {
  return { path: `schedules[${at}].${path}`, message };
}

/** All of a schedule together, in the order of the request. */
function inOrder(problems: readonly Problem[]): Problem[] {
  const place = ({ path }: Problem): number => Number(/^schedules\[(\d+)\]/.exec(path)?.[1] ?? -1);
  return problems.toSorted((one, other) => place(one) - place(other));
}

/** Paths of a request of one schedule are those of the schedule. */
function aboutOne(why: Refusal): Refusal {
  return { ...why, details: why.details?.map((one) => ({ ...one, path: one.path.replace(/^schedules\[0\]\.?/, "") })) };
}
