import type { Refusal } from "../lib/outcome.ts";
import type { NodeApi } from "../node/api.ts";
import { errorBody, errorHeaders, statusOf } from "./errors.ts";

/**
 * Every response is made here, so that every one says who answered and which state it saw (Skein-Node, Skein-Index), without
 * a middleware on the hot path.
 */
export class Reply {
  readonly #node: NodeApi;
  readonly #id: string;

  constructor(node: NodeApi) {
    this.#node = node;
    this.#id = String(node.id);
  }

  /** `index`: the state that the value was read from, or the entry that the command became. Default: what is applied here. */
  json(value: unknown, index: number = this.#node.applied, status = 200): Response {
    return new Response(JSON.stringify(value), {
      status,
      headers: { "content-type": "application/json", "skein-index": String(index), "skein-node": this.#id },
    });
  }

  /** Text or a stream of it. Never cached, never transformed on the way. */
  text(body: string | ReadableStream<Uint8Array>, contentType: string, index: number = this.#node.applied): Response {
    return new Response(body, {
      headers: {
        "content-type": contentType,
        "cache-control": "no-store, no-transform",
        "x-content-type-options": "nosniff",
        "skein-index": String(index),
        "skein-node": this.#id,
      },
    });
  }

  /** `more.status` where HTTP has a finer word for the same refusal (405), `more.details` where the route knows more. */
  refusal(
    why: Refusal,
    more: { readonly details?: unknown; readonly status?: number; readonly headers?: Record<string, string> } = {},
  ): Response {
    return new Response(errorBody(why, more.details), {
      status: more.status ?? statusOf[why.code],
      headers: {
        ...errorHeaders(why),
        ...more.headers,
        "content-type": "application/json",
        "skein-index": String(this.#node.applied),
        "skein-node": this.#id,
      },
    });
  }
}
