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
  const asked = isMany ? await readMany(body.value, onlyNew) : readOne(body.value, onlyNew);
  if (!asked.ok) return reply.refusal(asked.why);
  const outcome = await node.propose("schedule.set", asked.value, by);
  if (!outcome.ok) return reply.refusal(isMany ? outcome.why : aboutOne(outcome.why));
  const { schedules } = outcome.value.value;
  const status = schedules.some(({ changed }) => changed) ? 201 : 200;
  return reply.json(isMany ? { schedules } : schedules[0], outcome.value.index, status);
}

type Asked = Outcome<z.output<typeof scheduleSet.input>>;

async function readMany(body: object & { readonly schedules?: unknown }, onlyNew: boolean): Promise<Asked> {
  const wrong = await inTurns(readAhead(body.schedules));
  if (wrong !== undefined) return wrong;
  return check(scheduleSet.input, onlyNew ? { ...body, only_new: true } : body, "the body");
}

/** One by one: a thousand expressions take a while. A refusal only where so much is wrong that the rest is not worth a look. */
function* readAhead(schedules: unknown): Generator<undefined, Outcome<never> | undefined, undefined> {
  if (!Array.isArray(schedules) || schedules.length > limits.schedulesPerRequest) return undefined;
  const problems: Problem[] = [];
  for (const [at, raw] of schedules.entries()) {
    for (const problem of problemsOf({ issues: readScheduleAhead(raw) }, `schedules[${at}]`)) problems.push(problem);
    if (problems.length >= limits.problemsPerRequest && at + 1 < schedules.length) {
      const message = "and what follows was not looked at: mend those before it first";
      problems.push({ path: `schedules[${at + 1}]`, message });
      return invalid(problems, "the body");
    }
    yield;
  }
  return undefined;
}

function readOne(body: unknown, onlyNew: boolean): Asked {
  const input = { schedules: [body], ...(onlyNew ? { only_new: true } : {}) };
  const checked = check(scheduleSet.input, input, "the schedule", (path) =>
    path[0] === "schedules" ? path.slice(2) : path,
  );
  return checked.ok ? accept(checked.value) : checked;
}

/** Paths of a request of one schedule are those of the schedule. */
function aboutOne(why: Refusal): Refusal {
  return { ...why, details: why.details?.map((one) => ({ ...one, path: one.path.replace(/^schedules\[0\]\.?/, "") })) };
}
