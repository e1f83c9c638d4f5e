import { limits } from "../lib/limits.ts";
import { refuse } from "../lib/outcome.ts";

/** Counts requests that wait or stream, so that they stay bounded (L1), and ends them all when the node stops serving. */
export class Watchers {
  readonly #inside = new Set<() => void>();
  /** Fires when the node stops serving: waits answer 503, streams end, and clients go on elsewhere. */
  readonly closing: AbortSignal;

  constructor(closing: AbortSignal) {
    this.closing = closing;
    // One listener for all: ten thousand on a signal are searched through one by one.
    closing.addEventListener("abort", () => {
      for (const end of this.#inside) end();
    });
  }

  get count(): number {
    return this.#inside.size;
  }

  /**
   * A place for one watcher; `end` is called when the client goes away or the node stops serving, at once if it has. Gives what
   * leaves the place, or undefined when all are taken.
   */
  enter(client: AbortSignal, end: () => void): (() => void) | undefined {
    if (this.#inside.size >= limits.watchersPerNode) return undefined;
    this.#inside.add(end);
    client.addEventListener("abort", end);
    if (client.aborted || this.closing.aborted) end();
    return () => {
      this.#inside.delete(end);
      client.removeEventListener("abort", end);
    };
  }
}

/** All places are taken. */
export const tooManyWatchers = refuse(
  "busy",
  `this node already serves ${limits.watchersPerNode} waiting requests: ask another one`,
  { retryAfterMs: 5000 },
).why;

/** The node stops serving while the request waits. */
export const stoppingToServe = refuse("unavailable", "this node is stopping: ask another one", {
  retryAfterMs: 1000,
  retry: "safe",
}).why;
