import type { Start } from "../../src/executor/guard/frames.ts";
import type { AttemptName } from "../../src/executor/types.ts";
import type { NodeId } from "../../src/lib/ids.ts";
import { isTerminal } from "../../src/lib/states.ts";
import type { AppliedEvent } from "../../src/node/api.ts";
import type { JobState, Report, TaskState } from "../../src/state/types.ts";

import type { EffectPorts, SimGuard } from "./guard.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** One attempt as the outside saw it. */
interface Seen {
  readonly attempt: number;
  readonly fence: number;
  readonly guard: SimGuard;
  readonly from: number;
  to: number | undefined;
  state: Report["state"] | "dropped" | undefined;
}

/**
 * Judges work from outside, by what guards did and what states said (J1 to J3): at most one attempt of a task is live, attempts and fences only
 * grow, a job has one end, and what is told as a success has run.
 */
export class Effects implements EffectPorts {
  readonly #time: VirtualTime;
  readonly #fail: (problem: string) => void;
  readonly #tasks = new Map<string, Seen[]>();
  /** The end of each job, and the entry that made it. */
  readonly #ends = new Map<number, { readonly state: JobState; readonly index: number }>();
  readonly #attemptEnds = new Map<string, { readonly state: TaskState; readonly index: number }>();
  readonly #givenUp = new Set<number>();
  starts = 0;
  lost = 0;
  retried = 0;
  /** Two attempts at once, the older one on a host that stood still past its lease: the fence is what keeps them apart (J3). */
  excusedOverlaps = 0;

  constructor(time: VirtualTime, fail: (problem: string) => void) {
    this.#time = time;
    this.#fail = fail;
  }

  started(guard: SimGuard, start: Start): void {
    this.starts += 1;
    const key = `${start.job}/${start.task}`;
    const seen = this.#tasks.get(key) ?? [];
    this.#tasks.set(key, seen);
    for (const before of seen) {
      if (before.attempt >= start.attempt)
        this.#fail(`J1: attempt ${start.attempt} of ${key} started after attempt ${before.attempt}`);
      if (before.fence >= start.fence)
        this.#fail(
          `J3: attempt ${start.attempt} of ${key} has fence ${start.fence}, attempt ${before.attempt} had ${before.fence}`,
        );
      if (before.to !== undefined) continue;
      if (before.guard.runner.frozenUntil > this.#time.now) this.excusedOverlaps += 1;
      else
        this.#fail(
          `J1: attempt ${start.attempt} of ${key} starts on host ${guard.host} while attempt ${before.attempt} is live on host ${before.guard.host}`,
        );
    }
    if (seen.length > 0) this.retried += 1;
    seen.push({
      attempt: start.attempt,
      fence: start.fence,
      guard,
      from: this.#time.now,
      to: undefined,
      state: undefined,
    });
    this.#time.trace(start.fence);
  }

  ended(_guard: SimGuard, name: AttemptName, state: Report["state"] | undefined): void {
    const seen = this.#tasks.get(`${name.job}/${name.task}`)?.find(({ attempt }) => attempt === name.attempt);
    if (seen === undefined || seen.to !== undefined) return;
    seen.to = this.#time.now;
    seen.state = state ?? "dropped";
    if (state === "lost") this.lost += 1;
  }

  /** What a node's state says has happened. */
  applied(node: NodeId, events: readonly AppliedEvent[]): void {
    for (const { index, changes } of events) {
      for (const change of changes) {
        if (change.topic === "job" && change.kind === "state" && isTerminal(change.state)) {
          const known = this.#ends.get(change.job);
          if (known === undefined) this.#ends.set(change.job, { state: change.state, index });
          else if (known.state !== change.state || known.index !== index)
            this.#fail(
              `J2: job ${change.job} ended as ${known.state} at ${known.index}, and as ${change.state} at ${index} on node ${node}`,
            );
        } else if (change.topic === "task" && change.kind === "ended") {
          const key = `${change.job}/${change.task}.${change.attempt}`;
          const known = this.#attemptEnds.get(key);
          if (known === undefined) {
            this.#attemptEnds.set(key, { state: change.state, index });
            this.#judgeEnd(change.job, change.task, change.attempt, change.state, change.node);
          } else if (known.index !== index) this.#fail(`J1: attempt ${key} ended at ${known.index} and at ${index}`);
        }
      }
    }
  }

  /** What ended in the state has ended, or its guard had no lease any more. */
  #judgeEnd(job: number, task: number, attempt: number, state: TaskState, node: NodeId | 0): void {
    const live = this.#tasks.get(`${job}/${task}`)?.find((seen) => seen.attempt === attempt && seen.to === undefined);
    if (live === undefined) return;
    const where = `attempt ${attempt} of ${job}/${task} runs on host ${live.guard.host}`;
    if (state === "succeeded" || state === "failed" || state === "timeout")
      this.#fail(`J1: ${where}, and is told to have ${state}`);
    const leftMs = Math.round((live.guard.leaseEndsAt - this.#time.now) / 1000);
    if (state === "lost" && leftMs > 0 && !this.#givenUp.has(node))
      this.#fail(`J3: ${where} under a lease of ${leftMs} ms more, and is given up`);
  }

  /** Somebody asked to take this node out, whatever it does. */
  givesUp(node: NodeId): void {
    this.#givenUp.add(node);
  }

  endOf(job: number): JobState | undefined {
    return this.#ends.get(job)?.state;
  }

  /** How often a task was begun by a guard. */
  startsOf(job: number, task: number): number {
    return this.#tasks.get(`${job}/${task}`)?.length ?? 0;
  }

  /** An attempt of it ran to this end. */
  hasRun(job: number, task: number, state: Report["state"]): boolean {
    return this.#tasks.get(`${job}/${task}`)?.some((seen) => seen.state === state) === true;
  }
}
