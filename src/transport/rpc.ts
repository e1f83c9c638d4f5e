import { encode } from "../lib/codec.ts";
import { Fault } from "../lib/fault.ts";
import { limits } from "../lib/limits.ts";
import { decodeFrame, list, malformed, text, whole } from "./frames.ts";

/**
 * Questions and answers on one socket: a request is [id, method, body], an answer [id, true, body] or [id, false, message, retry].
 * Answers come in any order.
 */

export interface Request {
  readonly id: number;
  readonly method: string;
  readonly body: unknown;
}

type Retry = Fault["retry"];

export type Answer =
  | { readonly id: number; readonly ok: true; readonly body: unknown }
  | { readonly id: number; readonly ok: false; readonly message: string; readonly retry: Retry };

/** Throws Fault "protocol". */
export function decodeRequest(frame: Uint8Array): Request {
  const [id, method, body] = list(decodeFrame(frame), "request");
  return { id: whole(id), method: text(method), body };
}

/** The bytes of an answer. */
export function encodeAnswer(answer: Answer): Uint8Array {
  return encode(answer.ok ? [answer.id, true, answer.body] : [answer.id, false, answer.message, answer.retry]);
}

/** Throws Fault "protocol". */
export function decodeAnswer(frame: Uint8Array): Answer {
  const [id, ok, body, retry] = list(decodeFrame(frame), "answer");
  if (ok === true) return { id: whole(id), ok, body };
  if (ok !== false || (retry !== "never" && retry !== "safe" && retry !== "unknown")) throw malformed("answer");
  return { id: whole(id), ok, message: text(body), retry };
}

/** What a handler's error becomes for the one who asked. Of an error that is no Fault nothing is known. */
export function failedAnswer(id: number, error: unknown): Answer {
  return {
    id,
    ok: false,
    message: error instanceof Error ? error.message : String(error),
    retry: error instanceof Fault ? error.retry : "unknown",
  };
}

interface Pending {
  readonly resolve: (body: unknown) => void;
  readonly reject: (fault: Fault) => void;
  readonly timer: ReturnType<typeof setTimeout>;
  /** Kept until the socket is open, then undefined: it has been sent. */
  frame: Uint8Array | undefined;
}

/** Where the frames of a {@link Caller} go. */
export interface CallerSocket {
  readonly isOpen: boolean;
  readonly isDialing: boolean;
  send(frame: Uint8Array): boolean;
}

/** The asking side of one socket. Bounded by limits.rpcPending; each request ends: answered, timed out, or failed with the socket. */
export class Caller {
  readonly #socket: CallerSocket;
  /** For messages: "node 3". */
  readonly #peer: string;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  constructor(socket: CallerSocket, peer: string) {
    this.#socket = socket;
    this.#peer = peer;
  }

  /** See Transport.request. While the socket is being dialed the request waits for it. */
  request(method: string, body: unknown, timeoutMs: number): Promise<unknown> {
    if (!this.#socket.isOpen && !this.#socket.isDialing) return Promise.reject(this.#unreachable());
    if (this.#pending.size >= limits.rpcPending) {
      return Promise.reject(
        new Fault(
          "peer-unreachable",
          `${limits.rpcPending} requests to ${this.#peer} wait already: try again later`,
          "safe",
        ),
      );
    }
    const id = ++this.#lastId;
    const frame = encode([id, method, body]);
    if (frame.length > limits.frameBytes) {
      const message = `a request "${method}" of ${frame.length} bytes is over the limit of ${limits.frameBytes}`;
      return Promise.reject(new Fault("protocol", message, "never"));
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#timedOut(id, method, timeoutMs), timeoutMs);
      const pending: Pending = { resolve, reject, timer, frame };
      this.#pending.set(id, pending);
      if (this.#socket.isOpen) this.#send(id, pending, frame);
    });
  }

  /** The socket is open: what waited for it is sent. */
  opened(): void {
    for (const [id, pending] of this.#pending) {
      if (pending.frame !== undefined) this.#send(id, pending, pending.frame);
    }
  }

  /** The socket closed, or could not be opened: nothing will be answered any more. */
  closed(): void {
    for (const [id, pending] of this.#pending) {
      this.#settle(id)?.reject(
        pending.frame === undefined
          ? new Fault("peer-unreachable", `the socket to ${this.#peer} closed before it answered`, "unknown")
          : this.#unreachable(),
      );
    }
  }

  /** A frame of the answering side. Late answers are ignored. Throws Fault "protocol". */
  onFrame(frame: Uint8Array): void {
    const answer = decodeAnswer(frame);
    const pending = this.#settle(answer.id);
    if (answer.ok) pending?.resolve(answer.body);
    else pending?.reject(new Fault("peer-refused", answer.message, answer.retry));
  }

  #send(id: number, pending: Pending, frame: Uint8Array): void {
    pending.frame = undefined;
    if (this.#socket.send(frame)) return;
    const message = `the send buffer to ${this.#peer} is full: it does not read`;
    this.#settle(id)?.reject(new Fault("peer-unreachable", message, "safe"));
  }

  #timedOut(id: number, method: string, timeoutMs: number): void {
    const pending = this.#settle(id);
    const retry = pending?.frame === undefined ? "unknown" : "safe";
    pending?.reject(
      new Fault("peer-timeout", `${this.#peer} did not answer "${method}" within ${timeoutMs} ms`, retry),
    );
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined) return undefined;
    clearTimeout(pending.timer);
    this.#pending.delete(id);
    return pending;
  }

  #unreachable(): Fault {
    return new Fault("peer-unreachable", `${this.#peer} cannot be reached`, "safe");
  }
}
