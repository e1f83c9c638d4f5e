import type { z } from "zod";
import { accept, type Outcome, type Refusal } from "../lib/outcome.ts";
import { scheduleSet } from "../state/commands/schedule-set.ts";
import type { Principal } from "../state/types.ts";
import { check } from "./problems.ts";
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
  const asked = isMany ? readMany(body.value, onlyNew) : readOne(body.value, onlyNew);
  if (!asked.ok) return reply.refusal(asked.why);
  const outcome = await node.propose("schedule.set", asked.value, by);
  if (!outcome.ok) return reply.refusal(isMany ? outcome.why : aboutOne(outcome.why));
  const { schedules } = outcome.value.value;
  const status = schedules.some(({ changed }) => changed) ? 201 : 200;
  return reply.json(isMany ? { schedules } : schedules[0], outcome.value.index, status);
}

type Asked = Outcome<z.output<typeof scheduleSet.input>>;

function readMany(body: object, onlyNew: boolean): Asked {
  return check(scheduleSet.input, onlyNew ? { ...body, only_new: true } : body, "the body");
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
