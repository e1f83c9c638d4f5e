import { Fault } from "../lib/fault.ts";
import { type Exchange, type HttpParts, mayStaySilent } from "./route.ts";
import { tooManyWatchers } from "./watchers.ts";

/** Text of one event of a text/event-stream. `data` is one JSON value: it has no raw line breaks. */
export function eventText(event: string, id: string | undefined, data: unknown): string {
  return `event: ${event}\n${id === undefined ? "" : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;
}

/** What a stream does besides. */
export interface StreamOptions {
  /** Called once, as soon as nothing of the source is wanted any more: also when nobody ever asked for its first piece. */
  readonly onEnd?: () => void;
  /** A reader who is connected and asks for nothing for so long is sent away; default: never. */
  readonly stallMs?: number;
}

/**
 * A response that is read from a source while its reader takes it; the source is pulled, never pushed, so a slow reader costs
 * what the source holds. `open` gets a signal that fires when the reader is gone or the node stops serving. A source that
 * throws breaks the transfer, so that its reader does not take a part for the whole. A source that was never asked for a piece has
 * not begun, and its `finally` never runs: what must be done in any case is `onEnd`'s.
 */
export async function streamed(
  parts: HttpParts,
  exchange: Exchange,
  contentType: string,
  open: (signal: AbortSignal) => AsyncGenerator<string | Uint8Array, void, undefined>,
  { onEnd, stallMs }: StreamOptions = {},
): Promise<Response> {
  const ended = new AbortController();
  const client = exchange.req.raw.signal;
  // A node that stops serving lets the source say how it ends.
  const leave = parts.watchers.enter(client, () => ended.abort());
  if (leave === undefined) {
    onEnd?.();
    return parts.reply.refusal(tooManyWatchers);
  }
  let stalled: ReturnType<typeof setTimeout> | undefined;
  let isOver = false;
  const end = (): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(stalled);
    client.removeEventListener("abort", end);
    leave();
    ended.abort();
    onEnd?.();
  };
  // Who has gone takes nothing any more.
  client.addEventListener("abort", end);
  if (client.aborted) end();
  mayStaySilent(exchange);
  const source = open(ended.signal);
  const encoder = new TextEncoder();
  const awaitReader = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
    if (stallMs === undefined || isOver) return;
    stalled = setTimeout(() => {
      end();
      controller.error(new Fault("peer-timeout", `nobody read for ${stallMs} ms`, "safe"));
      void source.return();
    }, stallMs);
  };
  const body = new ReadableStream<Uint8Array>(
    {
      start: awaitReader,
      async pull(controller) {
        clearTimeout(stalled);
        try {
          const { done, value } = await source.next();
          if (!done) {
            controller.enqueue(typeof value === "string" ? encoder.encode(value) : value);
            awaitReader(controller);
            return;
          }
          end();
          controller.close();
        } catch (error) {
          end();
          controller.error(error);
        }
      },
      async cancel() {
        end();
        await source.return();
      },
    },
    { highWaterMark: 0 },
  );
  return parts.reply.text(body, contentType);
}
