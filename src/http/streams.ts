import { type Exchange, type HttpParts, mayStaySilent } from "./route.ts";
import { tooManyWatchers } from "./watchers.ts";

/** Text of one event of a text/event-stream. `data` is one JSON value: it has no raw line breaks. */
export function eventText(event: string, id: string | undefined, data: unknown): string {
  return `event: ${event}\n${id === undefined ? "" : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;
}

/**
 * A response that is read from a source while its reader takes it; the source is pulled, never pushed, so a slow reader costs
 * what the source holds. `open` gets a signal that fires when the reader is gone or the node stops serving. A source that
 * throws breaks the transfer, so that its reader does not take a part for the whole.
 */
export async function streamed(
  parts: HttpParts,
  exchange: Exchange,
  contentType: string,
  open: (signal: AbortSignal) => AsyncGenerator<string | Uint8Array, void, undefined>,
): Promise<Response> {
  const ended = new AbortController();
  const leave = parts.watchers.enter(exchange.req.raw.signal, () => ended.abort());
  if (leave === undefined) return parts.reply.refusal(tooManyWatchers);
  mayStaySilent(exchange);
  const end = (): void => {
    leave();
    ended.abort();
  };
  const source = open(ended.signal);
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await source.next();
          if (!done) {
            controller.enqueue(typeof value === "string" ? encoder.encode(value) : value);
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
