import { z } from "zod";
import { formatInstant } from "../lib/calendar.ts";
import { epochOfIndex } from "../lib/epoch.ts";
import { limits } from "../lib/limits.ts";
import { refuse } from "../lib/outcome.ts";
import type { AppliedEvent, NodeApi } from "../node/api.ts";
import { may } from "../state/rights.ts";
import type { Change } from "../state/types.ts";
import { invalid } from "./problems.ts";
import { type HttpParts, type Route, route } from "./route.ts";
import { forbidden } from "./routes.ts";
import { eventText, streamed } from "./streams.ts";

/** Topics of the contract. Those without a source in this version are simply silent. */
const topics = ["job", "task", "node", "schedule", "cluster", "audit"] as const;

const topicList = z.string().transform((text, context) => {
  const wanted = text.split(",").map((one) => one.trim());
  const unknown = wanted.find((one) => !(topics as readonly string[]).includes(one));
  if (unknown === undefined) return new Set(wanted);
  context.addIssue({ code: "custom", message: `there is no topic "${unknown}": ${topics.join(", ")}` });
  return z.NEVER;
});

const query = z.strictObject({ topic: topicList.optional(), from: z.string().optional() });

/** After change `n` of entry `index`; n = Infinity: after all of the entry. */
interface Position {
  readonly index: number;
  readonly n: number;
}

/**
 * GET /v1/events. An event's id is INDEX.N; a stream goes on after `from` (or Last-Event-ID) without a gap, or answers 410 with
 * the oldest index that can still be resumed from. "position" events say how far the stream is when nothing else does.
 */
export function eventRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/events",
      right: "read",
      doc: "What changes, as an event stream: topic (several with commas), from (an index or an event id) or Last-Event-ID.",
      answers: "text/event-stream",
      query,
      handle({ exchange, query, by }) {
        const from = exchange.req.header("last-event-id") ?? query.from;
        const begin = from === undefined ? undefined : parsePosition(from);
        if (from !== undefined && begin === undefined) {
          const message = `"${from}" is not a position: write INDEX or INDEX.N, as ids of events have it`;
          return reply.refusal(invalid([{ path: "from", message }], "the query").why);
        }
        if (begin !== undefined && epochOfIndex(begin.index) !== epochOfIndex(node.applied))
          return reply.refusal(otherEpoch);
        if (begin !== undefined && pastOf(node, begin) === undefined)
          return reply.refusal(gone, { details: { oldest: node.oldestEvent() } });
        const mayAudit = may(by.role, "audit:read");
        if (!mayAudit && query.topic?.has("audit") === true) return reply.refusal(forbidden(by, "audit:read"));
        const wanted = new Set(query.topic ?? topics);
        if (!mayAudit) wanted.delete("audit");
        return streamed(parts, exchange, "text/event-stream", (signal) => eventTexts(node, begin, wanted, signal));
      },
    }),
  ];
}

/** Events are sent together up to about this many characters. */
const pieceLength = 64 * 1024;

const gone = refuse(
  "gone",
  "events so old are no longer kept: list again and resume from that answer's Skein-Index",
).why;

const otherEpoch = refuse(
  "conflict",
  "this position is of another epoch: the cluster was recovered or restored since, and may have lost what came before. List again and resume from that answer's Skein-Index",
).why;

function parsePosition(text: string): Position | undefined {
  const match = /^(\d{1,15})(?:\.(\d{1,9}))?$/.exec(text.trim());
  if (match === null) return undefined;
  return { index: Number(match[1]), n: match[2] === undefined ? Number.POSITIVE_INFINITY : Number(match[2]) };
}

/** Kept events that may hold something after the position; undefined when some are gone. */
function pastOf(node: NodeApi, begin: Position): readonly AppliedEvent[] | undefined {
  return node.eventsAfter(begin.n === Number.POSITIVE_INFINITY ? begin.index : begin.index - 1);
}

/**
 * The stream of one reader. What it has not taken yet is a list of references to events that the node keeps anyway; a reader that
 * falls too far behind is cut off and may resume (L1).
 */
async function* eventTexts(
  node: NodeApi,
  begin: Position | undefined,
  wanted: ReadonlySet<string>,
  signal: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  let pending: AppliedEvent[] = [];
  let backlog = 0;
  let wake = (): void => {};
  // The past is read and the listener set in one turn: nothing is missed or repeated between them.
  const unwatch = node.watch((event) => {
    pending.push(event);
    backlog += event.changes.length;
    if (backlog > limits.watcherBacklogChanges) unwatch();
    wake();
  });
  signal.addEventListener("abort", () => wake());
  try {
    const past = begin === undefined ? [] : pastOf(node, begin);
    if (past === undefined) return;
    // Also the head of the response. Who resumes has a position already.
    yield begin === undefined ? eventText("position", `${node.applied}`, {}) : ": events\n\n";
    for (const event of past) yield textOf(event, begin, wanted);
    let spokeAt = performance.now();
    while (!signal.aborted) {
      if (backlog > limits.watcherBacklogChanges) return;
      if (pending.length === 0) {
        const silentMs = performance.now() - spokeAt;
        if (silentMs >= limits.streamKeepAliveMs) {
          spokeAt = performance.now();
          yield eventText("position", `${node.applied}`, {});
          continue;
        }
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, limits.streamKeepAliveMs - silentMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        continue;
      }
      const batch = pending;
      pending = [];
      backlog = 0;
      let text = "";
      for (const event of batch) {
        text += textOf(event, begin, wanted);
        if (text.length < pieceLength) continue;
        yield text;
        text = "";
      }
      if (text === "") continue;
      spokeAt = performance.now();
      yield text;
    }
  } finally {
    unwatch();
  }
}

/** All wanted changes of an entry as events; "" when there are none. */
function textOf(event: AppliedEvent, begin: Position | undefined, wanted: ReadonlySet<string>): string {
  if (begin !== undefined && event.index < begin.index) return "";
  let text = "";
  const at = formatInstant(event.at);
  for (const [n, change] of event.changes.entries()) {
    // Tokens are the audit's to show, and gates the leader's to mind.
    if (change.topic === "token" || change.topic === "gate" || !wanted.has(change.topic)) continue;
    if (begin !== undefined && event.index === begin.index && n <= begin.n) continue;
    text += eventText(change.topic, `${event.index}.${n}`, { at, ...viewOf(change) });
  }
  return text;
}

/** A change in the spelling of the API. */
function viewOf(change: Change): Record<string, unknown> {
  const { topic: _, ...rest } = change;
  if (!("notBefore" in rest)) return rest;
  const { notBefore, ...ended } = rest;
  return ended.state === "queued" ? { ...ended, not_before: formatInstant(notBefore) } : ended;
}
