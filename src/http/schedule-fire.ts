import { createHash } from "node:crypto";
import { z } from "zod";
import { type Refusal, refuse } from "../lib/outcome.ts";
import { jobsUnderKey } from "../state/queries.ts";
import { scheduleReferred } from "../state/schedule-views.ts";
import { definitionOf, isPlain } from "../state/schedules.ts";
import type { Principal } from "../state/types.ts";
import { keyOf } from "./retry.ts";
import { type Exchange, type HttpParts, readState, type Route, route } from "./route.ts";

/** POST /v1/schedules/:schedule/fire: a job of it now -> 201 {name, job}; 200 under an Idempotency-Key that was seen. */
export function fireRoute(parts: HttpParts): Route {
  return route(parts, {
    method: "POST",
    path: "/v1/schedules/:schedule/fire",
    right: "jobs:write",
    doc: "Makes a job of a schedule now, whatever the time, also while it is paused or has ended. With overlap: skip not while a job of it is unfinished, unless force. 200 and the first job under an Idempotency-Key that was seen.",
    status: 201,
    body: z.strictObject({ force: z.boolean({ error: "must be true or false" }).optional() }),
    answer: z.object({ name: z.string(), job: z.int() }),
    handle: ({ exchange, body, by }) => serveFire(parts, exchange, body.force === true, by),
  });
}

/** Where the schedule alone does not say what its job is, that is made here, of what the state has now. */
async function serveFire(parts: HttpParts, exchange: Exchange, force: boolean, by: Principal): Promise<Response> {
  const { node, reply } = parts;
  const name = scheduleIn(exchange);
  const key = keyOf(exchange);
  if (!key.ok) return reply.refusal(key.why);
  const digest = digestOf(name, force);
  const read = await readState(parts, exchange, "linearizable", (tx) => ({
    row: scheduleReferred(tx, name),
    earlier: key.value === null ? undefined : jobsUnderKey(tx, by.token, key.value),
  }));
  if (!read.ok) return reply.refusal(read.why);
  const { row, earlier } = read.value.value;
  // Whatever became of the schedule meanwhile.
  if (earlier?.digest === digest)
    return reply.json({ name: earlier.schedule ?? row?.name ?? name, job: earlier.first }, read.value.index);
  if (row === undefined) return reply.refusal(noSchedule(name));
  const made = isPlain(definitionOf(row)) ? {} : { made: await node.scheduledJob(row, Date.now()) };
  const keyed = key.value === null ? {} : { key: key.value, digest };
  const outcome = await node.propose("schedule.fire", { schedule: row.name, force, ...made, ...keyed }, by);
  if (!outcome.ok) return reply.refusal(outcome.why);
  const { repeated, ...fired } = outcome.value.value;
  return reply.json(fired, outcome.value.index, repeated ? 200 : 201);
}

/** A key is of one request. */
function digestOf(name: string, force: boolean): string {
  return createHash("sha256")
    .update(JSON.stringify(["fire", name, force]))
    .digest("base64url");
}

/** The schedule that a request is about, by its name or id. */
export function scheduleIn(exchange: Exchange): string {
  return exchange.req.param("schedule") ?? "";
}

/** There is none of that name, nor of that id. */
export function noSchedule(name: string): Refusal {
  return refuse("not-found", `there is no schedule ${name}: list schedules to see them`).why;
}
