import type { EventView, LogPieceView } from "../state/answers.ts";
import { ApiError, Unreachable } from "./errors.ts";
import { type ServerEvent, serverEvents } from "./sse.ts";
import { sleep, type Transport } from "./transport.ts";

/** A piece of a job's output, or why a part of it cannot be had (`problem`; what follows is still delivered). */
export type LogPiece =
  | {
      readonly kind: "output";
      readonly task: number;
      readonly attempt: number;
      readonly stream: "stdout" | "stderr";
      /** Wall time of arrival at the node that ran it, RFC 3339. */
      readonly at: string;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: "problem"; readonly task: number; readonly message: string };

/** Three times what a node stays silent at most: the connection is dead, even if nobody said so. */
const silentMs = 45_000;
/** A stream looks for another node for this long. */
const patienceMs = 30_000;

/**
 * A text/event-stream that survives its node: on a lost connection it goes on at the next address after the last id that was
 * delivered, so nothing is missed or repeated. Ends at the server's "end" event. Throws ApiError (410 when the past
 * is gone), Unreachable, or the signal's reason.
 */
async function* resumable(
  transport: Transport,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ServerEvent, void, undefined> {
  let lastId: string | undefined;
  let fruitless = 0;
  while (true) {
    const connection = new AbortController();
    const onAbort = (): void => connection.abort(signal?.reason);
    signal?.throwIfAborted();
    signal?.addEventListener("abort", onAbort, { once: true });
    let silence: ReturnType<typeof setTimeout> | undefined;
    const heard = (): void => {
      clearTimeout(silence);
      silence = setTimeout(() => connection.abort(new Error("the stream fell silent")), silentMs);
    };
    try {
      const response = await transport.stream({
        method: "GET",
        path,
        headers: { accept: "text/event-stream", ...(lastId === undefined ? {} : { "last-event-id": lastId }) },
        repeat: "freely",
        // A node that has joined, or lost its disk, knows less of the past than others.
        elsewhere: "gone",
        patienceMs,
        signal: connection.signal,
      });
      heard();
      for await (const event of serverEvents(response.body!, heard)) {
        if (event.event === "end") return;
        if (event.id !== undefined) lastId = event.id;
        fruitless = 0;
        yield event;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ApiError || error instanceof Unreachable) throw error;
      // The connection broke under the stream: resumed below.
    } finally {
      clearTimeout(silence);
      signal?.removeEventListener("abort", onAbort);
      connection.abort();
    }
    fruitless += 1;
    await sleep(Math.min(2000, 20 * 2 ** fruitless) * Math.random(), signal);
  }
}

/** The output of a job's tasks; `query` as GET /v1/jobs/:id/logs takes it. */
export async function* followLogs(
  transport: Transport,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<LogPiece, void, undefined> {
  const encoder = new TextEncoder();
  for await (const event of resumable(transport, path, signal)) {
    if (event.event === "problem") {
      const { task, message } = JSON.parse(event.data) as { task: number; message: string };
      yield { kind: "problem", task, message };
      continue;
    }
    const { text, base64, ...where } = JSON.parse(event.data) as LogPieceView;
    const bytes = text === undefined ? bytesOf(base64 ?? "") : encoder.encode(text);
    yield { kind: "output", ...where, bytes };
  }
}

/** Events after `from` (INDEX or INDEX.N), or from now on. */
export async function* followEvents(
  transport: Transport,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<EventView, void, undefined> {
  for await (const event of resumable(transport, path, signal)) {
    // "position" only says how far the stream is, so that a connection lost in a quiet time is resumed from there.
    if (event.event === "position") continue;
    const fields = JSON.parse(event.data) as Omit<EventView, "id" | "topic">;
    yield { ...fields, id: event.id ?? "", topic: event.event } as EventView;
  }
}

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
