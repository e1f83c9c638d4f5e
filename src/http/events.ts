import { z } from "zod";
import { formatInstant } from "../lib/calendar.ts";
import { epochOfIndex } from "../lib/epoch.ts";
import { limits } from "../lib/limits.ts";
import { refuse } from "../lib/outcome.ts";
import type { AppliedEvent, NodeApi } from "../node/api.ts";
import { may } from "../state/rights.ts";
import { changeText, EventFeed, type EventFilter, positionText, wants } from "./event-feed.ts";
import { invalid } from "./problems.ts";
import { type HttpParts, type Route, route } from "./route.ts";
import { forbidden } from "./routes.ts";
import { streamed } from "./streams.ts";

/** Topics of the contract. Those without a source in this version are simply silent. */
const topics = ["job", "task", "node", "schedule", "cluster", "inventory", "bundle", "audit"] as const;

const topicList = z.string().transform((text, context) => {
  const wanted = text.split(",").map((one) => one.trim());
  const unknown = wanted.find((one) => !(topics as readonly string[]).includes(one));
  if (unknown === undefined) return new Set(wanted);
  context.addIssue({ code: "custom", message: `there is no topic "${unknown}": ${topics.join(", ")}` });
  return z.NEVER;
});

const jobList = z.string().transform((text, context) => {
  const ids = text.split(",").map((one) => (/^ *\d{1,15} *$/.test(one) ? Number(one) : 0));
  if (ids.length <= limits.eventJobs && ids.every((id) => id > 0)) return new Set(ids);
  const message =
    ids.length > limits.eventJobs
      ? `names ${ids.length} jobs: at most ${limits.eventJobs}; without job all are told of`
      : "write ids of jobs with commas: 17,18";
  context.addIssue({ code: "custom", message });
  return z.NEVER;
});

const query = z.strictObject({
  topic: topicList.optional(),
  job: jobList.optional(),
  from: z.string().optional(),
});

/** After change `n` of entry `index`; n = Infinity: after all of the entry. */
interface Position {
  readonly index: number;
  readonly n: number;
}

/**
 * GET /v1/events. An event's id is INDEX.N, the same on every node; a stream goes on after `from` (or Last-Event-ID) without a gap, also over a restart of
 * the node, or answers 410 with the oldest index that can still be resumed from. "position" events say how far the stream is when nothing else does.
 */
export function eventRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  const feed = new EventFeed(node);
  return [
    route(parts, {
      method: "GET",
      path: "/v1/events",
      right: "read",
      doc: "What changes, as an event stream: topic and job (several with commas), from (an index or an event id) or Last-Event-ID.",
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
        if (begin !== undefined && !hasPast(node, begin))
          return reply.refusal(gone, { details: { oldest: node.oldestEvent() } });
        const mayAudit = may(by.role, "audit:read");
        if (!mayAudit && query.topic?.has("audit") === true) return reply.refusal(forbidden(by, "audit:read"));
        const wanted = new Set(query.topic ?? topics);
        if (!mayAudit) wanted.delete("audit");
        const filter: EventFilter = { topics: wanted, jobs: query.job };
        return streamed(parts, exchange, "text/event-stream", (signal) =>
          eventTexts(node, feed, begin, filter, signal),
        );
      },
    }),
  ];
}

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

/** What comes after the position is at most in entries after this one. */
function indexBefore({ index, n }: Position): number {
  return n === Number.POSITIVE_INFINITY ? index : index - 1;
}

/** Events in memory that may hold something after the position; undefined when some are not there. */
function pastOf(node: NodeApi, begin: Position): readonly AppliedEvent[] | undefined {
  return node.eventsAfter(indexBefore(begin));
}

function hasPast(node: NodeApi, begin: Position): boolean {
  return pastOf(node, begin) !== undefined || node.storedEvents(indexBefore(begin)) !== undefined;
}

/** Events are sent together up to about this many characters. */
const pieceLength = 64 * 1024;

/**
 * The stream of one reader: what is on the disk, what is in memory, then what comes. A reader that falls too far behind is cut off and may
 * resume (L1).
 */
async function* eventTexts(
  node: NodeApi,
  feed: EventFeed,
  begin: Position | undefined,
  filter: EventFilter,
  signal: AbortSignal,
): AsyncGenerator<string | Uint8Array, void, undefined> {
  let from = begin;
  // The head of the response. Who resumes has a position already.
  if (from !== undefined) {
    yield ": events\n\n";
    while (!signal.aborted && node.applied < begin!.index) {
      await applied(node, from.index, signal);
      yield ": behind\n\n";
    }
  }
  while (from !== undefined && pastOf(node, from) === undefined) {
    const stored = node.storedEvents(indexBefore(from));
    if (stored === undefined) return;
    let reached: number | undefined;
    let text = "";
    for await (const { through, events } of stored) {
      if (signal.aborted) return;
      text += pastText(events, from, filter);
      reached = through;
      if (text.length < pieceLength) continue;
      yield text;
      text = "";
    }
    if (text !== "") yield text;
    if (reached === undefined) return; // it was dropped meanwhile
    from = { index: reached, n: Number.POSITIVE_INFINITY };
  }
  if (signal.aborted) return;
  // The past is looked up and the place taken in one turn: nothing is missed or repeated between them.
  const past = from === undefined ? [] : pastOf(node, from)!;
  const seat = feed.enter(filter);
  const wake = (): void => seat.wake();
  signal.addEventListener("abort", wake);
  try {
    if (from === undefined) yield positionText(node.applied);
    let text = "";
    for (const event of past) {
      text += pastText([event], from!, filter);
      if (text.length < pieceLength) continue;
      yield text;
      text = "";
    }
    if (text !== "") yield text;
    while (!signal.aborted && !seat.isCut) {
      if (seat.pieces.length === 0) {
        await new Promise<void>((resolve) => {
          seat.wake = resolve;
        });
        continue;
      }
      const { pieces } = seat;
      seat.pieces = [];
      seat.backlog = 0;
      for (const { bytes } of pieces) yield bytes;
    }
  } finally {
    signal.removeEventListener("abort", wake);
    feed.leave(seat);
  }
}

/** All wanted changes after `begin` as events; "" when there are none. */
function pastText(events: readonly AppliedEvent[], begin: Position, filter: EventFilter): string {
  let text = "";
  for (const { index, at, changes } of events) {
    if (index < begin.index) continue;
    for (const [n, change] of changes.entries()) {
      if (!wants(filter, change) || (index === begin.index && n <= begin.n)) continue;
      text += changeText(index, n, formatInstant(at), change);
    }
  }
  return text;
}

/** Resolves when this node may have come so far, when the signal fires, or after a keep-alive's time. */
function applied(node: NodeApi, index: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      unwatch();
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, limits.streamKeepAliveMs);
    const unwatch = node.watch((event) => {
      if (event.index >= index) done();
    }, done);
    signal.addEventListener("abort", done);
  });
}
