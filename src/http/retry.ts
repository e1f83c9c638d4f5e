import { createHash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { z } from "zod";
import { jobId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { formatRanges, parseRanges, RangeGatherer } from "../lib/ranges.ts";
import { type EndedHow, gatherEnded } from "../state/choosing.ts";
import { check, invalid } from "./problems.ts";
import { type Exchange, type HttpParts, readJson, type Route } from "./route.ts";
import { wholeOf } from "./jobs.ts";
import { aboutOne } from "./submit.ts";

const tasksText = z
  .string({ error: `must be text like "1,3,5-8"` })
  .max(limits.pickTextLength, `must not be longer than ${limits.pickTextLength} characters`)
  .superRefine((text, context) => {
    const list = parseRanges(text);
    if (typeof list === "string") context.addIssue({ code: "custom", message: list });
  });

const retryBody = z.strictObject({
  only: z
    .enum(["all", "failed", "unreachable", "unfinished"], {
      error: `must be "all", "failed", "unreachable" or "unfinished"`,
    })
    .optional()
    .describe(
      "failed: also timeout and lost; unreachable: hosts that could not be reached; unfinished: all that did not succeed. Default: all.",
    ),
  tasks: tasksText.optional().describe('Tasks by their numbers: "1,3,5-8".'),
});

/** POST /v1/jobs/:id/retry: tasks of a finished job once more, as a new job -> 201 {id, retry_of}; 200 under an Idempotency-Key that was seen. */
export function retryRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  return [
    {
      method: "POST",
      path: "/v1/jobs/:id/retry",
      right: "jobs:write",
      doc: "Runs a finished job again as a new job of the same spec: all of its tasks, those that failed (only), or some by number (tasks).",
      status: 201,
      body: retryBody,
      answer: z.object({ id: z.int(), retry_of: z.int() }),
      async serve(exchange, by) {
        const id = wholeOf(exchange, "id", 1);
        if (!id.ok) return reply.refusal(id.why);
        const body = await readJson(exchange.req.raw);
        if (!body.ok) return reply.refusal(body.why);
        const asked = check(retryBody, body.value, "the body");
        if (!asked.ok) return reply.refusal(asked.why);
        const { only, tasks } = asked.value;
        if (only !== undefined && tasks !== undefined) {
          const message = "goes not with only: both say which tasks";
          return reply.refusal(invalid([{ path: "tasks", message }], "the body").why);
        }
        const key = keyOf(exchange);
        if (!key.ok) return reply.refusal(key.why);
        const chosen =
          only === undefined || only === "all" ? accept(tasks ?? null) : await choose(parts, id.value, only);
        if (!chosen.ok) return reply.refusal(chosen.why);
        const input = {
          id: jobId(id.value),
          only: tasks === undefined ? (only ?? "all") : "tasks",
          tasks: chosen.value,
          key: key.value,
          digest: digestOf(id.value, only ?? "all", tasks),
        } as const;
        const outcome = await node.propose("job.retry", input, by);
        if (!outcome.ok) return reply.refusal(aboutOne(outcome.why));
        const { value, index } = outcome.value;
        return reply.json({ id: value.first, retry_of: id.value }, index, value.repeated ? 200 : 201);
      },
    },
  ];
}

/** The Idempotency-Key of a request; null: it has none. */
export function keyOf({ req }: Exchange): Outcome<string | null> {
  const key = req.raw.headers.get("idempotency-key");
  if (key === null) return accept(null);
  if (key.length > 0 && key.length <= limits.idempotencyKeyLength) return accept(key);
  const message = `must have 1 to ${limits.idempotencyKeyLength} characters`;
  return invalid([{ path: "Idempotency-Key", message }], "the request");
}

/** Of what was asked for, and not of which tasks that meant: a key is of one request. */
function digestOf(id: number, only: string, tasks: string | undefined): string {
  return createHash("sha256")
    .update(JSON.stringify(["retry", id, only, tasks ?? null]))
    .digest("base64url");
}

/** The tasks that ended so, as ranges; null: the job has not ended, or there is none, which apply says. */
export async function choose({ node }: HttpParts, id: number, how: EndedHow): Promise<Outcome<string | null>> {
  const gatherer = new RangeGatherer();
  let from: number | undefined = 0;
  while (from !== undefined) {
    const start: number = from;
    // Only the first look must be a fresh one: what has ended stays as it is.
    const consistency = start === 0 ? "linearizable" : "stale";
    const read: Outcome<{ readonly value: ReturnType<typeof gatherEnded> }> = await node.read(
      (tx) => gatherEnded(tx, id, how, start, gatherer),
      { consistency },
    );
    if (!read.ok) return read;
    const { value } = read.value;
    if (value === "not yet") return accept(null);
    from = value;
    // Ten million tasks are looked at with other requests in between.
    if (from !== undefined) await nextTurn();
  }
  const text = formatRanges(gatherer.ranges);
  if (text.length <= limits.pickTextLength) return accept(text);
  return refuse(
    "too-large",
    `${gatherer.count} tasks of job ${id} in ${gatherer.ranges.length} ranges are too many to pick out: retry all of them, or some of them by number (tasks)`,
  );
}
