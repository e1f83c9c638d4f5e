import type { SkeinClient } from "../client/client.ts";
import { ApiError, Unreachable } from "../client/errors.ts";
import { foldNames } from "../lib/node-set-fold.ts";
import type { JobView } from "../state/types.ts";
import type { Session } from "./cli.ts";
import { nameOf } from "./fold-print.ts";
import { advanceOf } from "./progress.ts";
import { cut, printable } from "./text.ts";

/** A bar has no room for the names of more. */
const shownTasks = 1000;
/** A look may take this share of the time at most. */
const lookShare = 0.2;

/** Names of the tasks of a job that run, looked up when their number may have changed. */
export class RunningNames {
  readonly #client: SkeinClient;
  #counts = "";
  #notBefore = 0;
  /** As a node set; "" while nothing runs. */
  names = "";

  constructor(client: SkeinClient) {
    this.#client = client;
  }

  /** What cannot be had leaves the names as they were: they are for the eye alone. */
  async refresh(job: JobView, signal: AbortSignal): Promise<void> {
    const counts = JSON.stringify(job.counts);
    const began = performance.now();
    if (counts === this.#counts || began < this.#notBefore) return;
    try {
      const { tasks } = await this.#client.tasks(job.id, { state: "running", limit: shownTasks }, { signal });
      this.names = foldNames(tasks.map(nameOf));
      this.#counts = counts;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ApiError || error instanceof Unreachable)) throw error;
    }
    const now = performance.now();
    this.#notBefore = now + (now - began) * (1 / lookShare - 1);
  }
}

/** Whoever interrupts waits no longer than this for names. */
const patienceMs = 3000;
const namedMax = 10_000;
const namesWidth = 4000;

/**
 * Of a job of several tasks that was left before its end: who still runs, and who never began, as they are now. `known`: who ran when the mesh was last heard of, for a
 * mesh that does not answer any more. Another Ctrl-C ends it.
 */
export async function noteUnfinished(session: Session, id: number, known: string): Promise<void> {
  const { client, output } = session;
  try {
    await session.interruptible(async (outer) => {
      const signal = AbortSignal.any([outer, AbortSignal.timeout(patienceMs)]);
      const job = await client.job(id, { signal });
      if (advanceOf(job.counts).total <= 1) return;
      for (const [state, words] of [
        ["running", "still running"],
        ["queued", "not begun"],
      ] as const) {
        if (job.counts[state] === 0) continue;
        output.note(`skein: ${words}: ${await namesText(client, job, state, signal)}`, "yellow");
      }
    });
  } catch {
    // It was left, or the mesh does not answer in time: nothing of that may keep a person who leaves.
    if (known !== "") output.note(`skein: running when it was last heard of: ${shown(known)}`, "yellow");
  }
}

async function namesText(
  client: SkeinClient,
  job: JobView,
  state: "running" | "queued",
  signal: AbortSignal,
): Promise<string> {
  const names: string[] = [];
  let next: string | undefined;
  do {
    const page = await client.tasks(job.id, { state, limit: 1000, next }, { signal });
    names.push(...page.tasks.map(nameOf));
    next = page.next;
  } while (next !== undefined && names.length < namedMax);
  const more = next === undefined ? 0 : Math.max(0, job.counts[state] - names.length);
  const text = foldNames(names);
  const all = ` (\`skein jobs tasks ${job.id} --state ${state}\` has all)`;
  return shown(text) + (more > 0 ? ` and ${more} more` : "") + (more > 0 || text.length > namesWidth ? all : "");
}

function shown(names: string): string {
  return printable(cut(names, namesWidth));
}
