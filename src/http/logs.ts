import { z } from "zod";
import { isUtf8 } from "node:buffer";
import { formatInstant } from "../lib/calendar.ts";
import { Fault } from "../lib/fault.ts";
import { limits } from "../lib/limits.ts";
import { findJob } from "../state/queries.ts";
import type { LogPieceView } from "../state/answers.ts";
import { noJob, noTask, wholeOf } from "./jobs.ts";
import { type LogStep, logSteps, type Wanted } from "./log-pages.ts";
import { invalid } from "./problems.ts";
import { type HttpParts, readState, type Route, route } from "./route.ts";
import { consistency, flag, whole } from "./shapes.ts";
import { eventText, streamed } from "./streams.ts";

const maxNumber = Number.MAX_SAFE_INTEGER;
const query = z.strictObject({
  task: whole(0, maxNumber).optional(),
  attempt: whole(1, maxNumber).optional(),
  follow: flag.optional(),
  stream: z.enum(["stdout", "stderr"], { error: "must be stdout or stderr" }).optional(),
  tail: whole(0, 1_000_000).optional(),
  offset: whole(0, maxNumber).optional(),
  consistency,
});

/**
 * GET /v1/jobs/:id/logs. As text: the bytes as they were written. As an event stream: pieces with their origin, each with the id
 * TASK.ATTEMPT.OFFSET from which Last-Event-ID goes on, and "end" when nothing more will come.
 */
export function logRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/jobs/:id/logs",
      right: "read",
      doc: "The output of a job: of one task, or of all in order; tail in lines, offset in bytes; as an event stream when asked for.",
      answers: "text/plain",
      query,
      async handle({ exchange, query }) {
        const id = wholeOf(exchange, "id", 1);
        if (!id.ok) return reply.refusal(id.why);
        const read = await readState(parts, exchange, query.consistency, (tx) => findJob(tx, id.value));
        if (!read.ok) return reply.refusal(read.why);
        const job = read.value.value;
        if (job === undefined) return reply.refusal(noJob(id.value));
        const tasks = Object.values(job.counts).reduce((sum, count) => sum + count, 0);
        const task = query.task ?? (tasks === 1 ? 0 : undefined);
        if (task !== undefined && task >= tasks) return reply.refusal(noTask(id.value, task));
        if (task === undefined && (query.offset !== undefined || query.attempt !== undefined)) {
          const path = query.offset === undefined ? "attempt" : "offset";
          return reply.refusal(
            invalid([{ path, message: `the job has ${tasks} tasks: say which with task` }], "the query").why,
          );
        }
        const asked: Wanted = {
          job: id.value,
          first: task ?? 0,
          last: task ?? tasks - 1,
          stream: query.stream,
          follow: query.follow ?? false,
          tail: query.offset === undefined ? query.tail : undefined,
          attempt: query.attempt,
          offset: query.offset ?? 0,
        };
        if ((exchange.req.header("accept") ?? "").includes("text/event-stream")) {
          const wanted = resumed(asked, exchange.req.header("last-event-id"));
          return streamed(parts, exchange, "text/event-stream", (signal) =>
            asEvents(logSteps(node, wanted, signal), signal),
          );
        }
        // A single task's refusal is an answer of its own as long as nothing has been sent.
        const steps = (signal: AbortSignal) => logSteps(node, asked, signal);
        if (task !== undefined) {
          const probe = await node.readLog({
            job: id.value,
            task,
            attempt: query.attempt,
            offset: 0,
            maxBytes: 1,
            waitMs: 0,
          });
          if (!probe.ok && !asked.follow) return reply.refusal(probe.why);
        }
        return streamed(parts, exchange, "text/plain; charset=utf-8", (signal) => asText(steps(signal), signal));
      },
    }),
  ];
}

/** Where a reader that was cut off goes on. An id that is none of ours is passed over. */
function resumed(asked: Wanted, lastEventId: string | undefined): Wanted {
  const match = /^(\d+)\.(\d+)\.(\d+)$/.exec(lastEventId ?? "");
  if (match === null) return asked;
  const [task, attempt, offset] = match.slice(1).map(Number) as [number, number, number];
  if (task < asked.first || task > asked.last) return asked;
  return { ...asked, first: task, attempt, offset };
}

async function* asText(
  steps: AsyncGenerator<LogStep, void, undefined>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const step of steps) {
    if (step.kind === "piece") yield step.bytes;
    if (step.kind === "problem") throw new Fault("peer-unreachable", `task ${step.task}: ${step.why.message}`, "safe");
  }
  if (signal.aborted) throw new Fault("peer-unreachable", "this node is stopping", "safe");
}

async function* asEvents(
  steps: AsyncGenerator<LogStep, void, undefined>,
  signal: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  // Begins at once, so that the head of the response goes out before there is output.
  yield ": logs\n\n";
  let spokeAt = performance.now();
  for await (const step of steps) {
    if (step.kind === "quiet" && performance.now() - spokeAt < limits.streamKeepAliveMs) continue;
    spokeAt = performance.now();
    if (step.kind === "quiet") yield ":\n\n";
    else if (step.kind === "problem") yield eventText("problem", undefined, { task: step.task, ...step.why });
    else yield eventText("output", `${step.task}.${step.attempt}.${step.next}`, pieceView(step));
  }
  if (!signal.aborted) yield eventText("end", undefined, {});
}

function pieceView(step: LogStep & { kind: "piece" }): LogPieceView {
  const { task, attempt, stream, bytes } = step;
  const content = isUtf8(bytes)
    ? { text: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8") }
    : { base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64") };
  return { task, attempt, stream, at: formatInstant(step.at), ...content };
}
