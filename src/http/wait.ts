import { isTerminal } from "../lib/states.ts";
import type { NodeApi } from "../node/api.ts";
import { jobStates } from "../state/queries.ts";
import type { JobState } from "../state/types.ts";
import { type Exchange, type HttpParts, mayStaySilent } from "./route.ts";
import { stoppingToServe, tooManyWatchers } from "./watchers.ts";

/**
 * Runs a request that may wait, in one of the node's bounded places. `signal` fires when the client goes away, when the
 * node stops serving, and after `run` has ended, so that nothing of it is left behind. `atClose`: whether a node that stops serving refuses it, so that
 * the client goes on elsewhere, or still gives its answer.
 */
export async function whileWatching(
  parts: HttpParts,
  exchange: Exchange,
  run: (signal: AbortSignal) => Promise<Response>,
  atClose: "refuse" | "answer" = "refuse",
): Promise<Response> {
  const ended = new AbortController();
  const leave = parts.watchers.enter(exchange.req.raw.signal, () => ended.abort());
  if (leave === undefined) return parts.reply.refusal(tooManyWatchers);
  mayStaySilent(exchange);
  try {
    const response = await run(ended.signal);
    return atClose === "refuse" && parts.watchers.closing.aborted ? parts.reply.refusal(stoppingToServe) : response;
  } finally {
    leave();
    ended.abort();
  }
}

/**
 * Returns when all jobs are terminal (or forgotten), at the deadline (performance.now()), or when the signal fires. Waits for one job at a
 * time: all must end, so the order does not matter, and ten thousand ids cost one map entry and are read about once each. Gives how those ended that were seen to:
 * a job may be forgotten before the others have ended.
 */
export async function untilTerminal(
  node: NodeApi,
  ids: readonly number[],
  deadline: number,
  signal: AbortSignal,
): Promise<ReadonlyMap<number, JobState>> {
  const ended = new Map<number, JobState>();
  let at = 0;
  let size = 1;
  while (at < ids.length && !signal.aborted) {
    const passed = await countEnded(node, ids.slice(at, at + size), ended);
    at += passed;
    if (passed === size) {
      size = Math.min(size * 2, 1024);
      continue;
    }
    const leftMs = deadline - performance.now();
    if (at >= ids.length || leftMs <= 0) break;
    size = 1;
    const id = ids[at]!;
    // Asked before the state is read again: an end between the two is not slept through.
    const end = node.jobEnded(id, leftMs, signal);
    if ((await countEnded(node, [id], ended)) === 1) continue;
    const state = await end;
    if (state === undefined) continue;
    ended.set(id, state);
    at += 1;
  }
  return ended;
}

/** How many of these, from the first on, have ended. Local state is enough: the request began with a read that was fresh. */
async function countEnded(node: NodeApi, ids: readonly number[], ended: Map<number, JobState>): Promise<number> {
  const read = await node.read((tx) => jobStates(tx, ids), { consistency: "stale" });
  if (!read.ok) return 0;
  const states = read.value.value;
  for (const [id, state] of states) if (isTerminal(state)) ended.set(id, state);
  const open = ids.findIndex((id) => {
    const state = states.get(id);
    return state !== undefined && !isTerminal(state);
  });
  return open === -1 ? ids.length : open;
}
