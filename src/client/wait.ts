import { limits } from "../lib/limits.ts";
import { isTerminal } from "../lib/states.ts";
import { formatDuration } from "../lib/units.ts";
import type { WaitView } from "../state/answers.ts";
import type { JobState } from "../state/types.ts";
import { ApiError } from "./errors.ts";
import type { Transport } from "./transport.ts";

/** A long poll ends after this long and is asked again, so that no proxy between us cuts it. */
const pollMs = 25_000;
/** Waiting goes on for this long when no node answers. */
export const waitPatienceMs = 30_000;

export interface WaitOptions {
  /** Default: for ever. */
  readonly timeoutMs?: number | undefined;
  /** Told how things stand, first at once and then about every `everyMs`, until all are finished; waited for. */
  readonly onProgress?: ((view: WaitView) => void | Promise<void>) | undefined;
  /** Default 25 s, which is the most. */
  readonly everyMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** See SkeinClient.wait. One request at a time, for as many jobs as one may name; jobs that ended are not asked for again. */
export async function waitForJobs(
  transport: Transport,
  ids: readonly number[],
  options: WaitOptions,
): Promise<WaitView> {
  const { onProgress, signal, timeoutMs = Number.POSITIVE_INFINITY, everyMs = pollMs } = options;
  const deadline = performance.now() + timeoutMs;
  const waiting = new Waiting(transport, ids, signal);
  // Which of them there are, before anything is waited for.
  if (onProgress !== undefined || waiting.open.length > limits.specsPerRequest) await waiting.lookAtAll();
  for (;;) {
    if (waiting.open.length === 0) return waiting.view();
    await onProgress?.(waiting.view());
    const leftMs = Math.max(0, deadline - performance.now());
    await waiting.ask(waiting.open.slice(0, limits.specsPerRequest), Math.min(pollMs, everyMs, leftMs));
    if (performance.now() < deadline) continue;
    if (waiting.open.length > limits.specsPerRequest) await waiting.lookAtAll();
    return waiting.view();
  }
}

class Waiting {
  readonly #transport: Transport;
  readonly #signal: AbortSignal | undefined;
  readonly #ids: readonly number[];
  /** As they were seen last. */
  readonly #states = new Map<number, JobState>();
  readonly #forgotten = new Set<number>();
  /** Not known to have ended. */
  open: number[];

  constructor(transport: Transport, ids: readonly number[], signal: AbortSignal | undefined) {
    this.#transport = transport;
    this.#signal = signal;
    this.#ids = ids;
    this.open = [...new Set(ids)];
  }

  view(): WaitView {
    const jobs = this.#ids.flatMap((id) => {
      const state = this.#forgotten.has(id) ? undefined : this.#states.get(id);
      return state === undefined ? [] : [{ id, state }];
    });
    const forgotten = this.#ids.filter((id) => this.#forgotten.has(id));
    return { finished: this.open.length === 0, jobs, ...(forgotten.length === 0 ? {} : { forgotten }) };
  }

  async lookAtAll(): Promise<void> {
    const all = this.open;
    for (let at = 0; at < all.length; at += limits.specsPerRequest)
      await this.ask(all.slice(at, at + limits.specsPerRequest), 0);
  }

  /** At most as many as one request may name, until all of these have ended or the time is up. */
  async ask(ids: readonly number[], timeoutMs: number): Promise<void> {
    try {
      const { value } = await this.#transport.json<WaitView>({
        method: "POST",
        path: "/v1/jobs/wait",
        body: JSON.stringify({ ids, timeout: formatDuration(Math.floor(timeoutMs)) }),
        repeat: "freely",
        timeoutMs: timeoutMs + 10_000,
        patienceMs: timeoutMs + waitPatienceMs,
        signal: this.#signal,
      });
      for (const { id, state } of value.jobs) this.#states.set(id, state);
      for (const id of value.forgotten ?? []) this.#forgotten.add(id);
    } catch (error) {
      const unknown = error instanceof ApiError && error.code === "not-found" ? unknownIds(error, ids) : [];
      // Between two requests a job can end and be forgotten; one that was never there is the caller's mistake.
      if (unknown.length === 0 || !unknown.every((id) => this.#states.has(id))) throw error;
      for (const id of unknown) this.#forgotten.add(id);
    }
    this.open = this.open.filter((id) => !this.#forgotten.has(id) && !isTerminal(this.#states.get(id) ?? "queued"));
  }
}

/** Those of the ids that a node does not know; its answer names them by their places. */
function unknownIds(error: ApiError, ids: readonly number[]): number[] {
  const details = Array.isArray(error.details) ? (error.details as readonly { readonly path?: unknown }[]) : [];
  return details.flatMap(({ path }) => {
    const place = /^ids\[(\d+)\]$/.exec(String(path));
    return place === null ? [] : ids.slice(Number(place[1]), Number(place[1]) + 1);
  });
}
