import { limits } from "../lib/limits.ts";
import { refuse } from "../lib/outcome.ts";

/** Counts requests that wait or stream, so that they stay bounded (L1), and ends them all when the node stops serving. */
export class Watchers {
  #count = 0;
  /** Fires when the node stops serving: waits answer 503, streams end, and clients go on elsewhere. */
  readonly closing: AbortSignal;

  constructor(closing: AbortSignal) {
    this.closing = closing;
  }

  get count(): number {
    return this.#count;
  }

  /** A place for one watcher, or undefined when all are taken. Leaving twice counts once. */
  enter(): (() => void) | undefined {
    if (this.#count >= limits.watchersPerNode) return undefined;
    this.#count += 1;
    let inside = true;
    return () => {
      if (inside) this.#count -= 1;
      inside = false;
    };
  }
}

export const tooManyWatchers = refuse(
  "busy",
  `this node already serves ${limits.watchersPerNode} waiting requests: ask another one`,
  {
    retryAfterMs: 5000,
  },
).why;

export const stoppingToServe = refuse("unavailable", "this node is stopping: ask another one", {
  retryAfterMs: 1000,
  retry: "safe",
}).why;
