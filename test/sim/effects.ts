import type { Start } from "../../src/executor/guard/frames.ts";
import type { AttemptName } from "../../src/executor/types.ts";
import type { NodeId } from "../../src/lib/ids.ts";
import { isTerminal } from "../../src/lib/states.ts";
import type { AppliedEvent } from "../../src/node/api.ts";
import type { JobState, Report, TaskState } from "../../src/state/types.ts";

import type { EffectPorts, SimGuard } from "./guard.ts";
import { RoomJudge, type RoomQuestions } from "./room-judge.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** One attempt as the outside saw it. */
interface Seen {
  readonly attempt: number;
  readonly fence: number;
  readonly guard: SimGuard;
  readonly from: number;
  to: number | undefined;
  state: Report["state"] | "dropped" | undefined;
  /** Its node's state was wrong: nothing is promised of what it begins by that (S1). */
  readonly isWild: boolean;
}

/** µs that a start may be on its way to a guard, and an end on its way to a state. */
const onTheWay = 2_000_000;

/** µs after which a lease that a guard was without says nothing of what happens to new attempts. */
const forgotten = 60_000_000;

/** An end as a state tells of it. */
interface EndedAttempt extends AttemptName {
  readonly state: TaskState;
  /** Who told it, or who was given up. */
  readonly node: NodeId | 0;
}

/** What the judge asks about a cluster. */
export interface EffectQuestions extends RoomQuestions {
  /** The node that is on this host. */
  nodeOf(host: number): NodeId | undefined;
  /** The guard of that node's host. */
  guardOf(node: NodeId): SimGuard | undefined;
  /** Until when (µs) the rows of that node's state may have been wrong. */
  wrongUntil(node: NodeId): number;
  /** Its tasks are run by guards, as that node's state has it. */
  isGuarded(node: NodeId, job: number): boolean;
  /** Why it was taken back from a node that had not begun it, as that node's state has it; undefined: it was not. */
  whyTakenBack(node: NodeId, name: AttemptName): string | undefined;
  /** Why nothing of the job is to begin on that host any more; undefined: it may. */
  whyNot(host: number, job: number): string | undefined;
  /** That job has a deadline, as that node's state has it: what was stopped for it is told as a timeout. */
  hasDeadline(node: NodeId, job: number): boolean;
}

/**
 * Judges work from outside, by what guards did and what states said (J1 to J3): at most one attempt of a task is live, attempts and fences only
 * grow, a job has one end, and what is told as a success has run.
 */
export class Effects implements EffectPorts {
  readonly #time: VirtualTime;
  readonly #fail: (problem: string) => void;
  readonly #questions: EffectQuestions;
  readonly room: RoomJudge;
  readonly #tasks = new Map<string, Seen[]>();
  /** The end of each job, and the entry that made it. */
  readonly #ends = new Map<number, { readonly state: JobState; readonly index: number }>();
  readonly #attemptEnds = new Map<string, { readonly state: TaskState; readonly index: number }>();
  /** Attempts that a guard declared lost without having known them. */
  readonly #declaredLost = new Set<string>();
  readonly #givenUp = new Set<number>();
  /** Attempts that were taken back because their node had not begun them: it never does. */
  readonly #recalled = new Set<string>();
  /** Tasks whose end was told by a node with a wrong state: it may have run what its state had under that id. */
  readonly #toldWrongly = new Set<string>();
  starts = 0;
  lost = 0;
  retried = 0;
  recalled = 0;
  /** Given back by their own node. */
  returned = 0;
  /** Two attempts at once, the older one on a host that stood still past its lease: the fence is what keeps them apart (J3). */
  excusedOverlaps = 0;
  /** Told together with others of their unit, by each node. */
  endedInUnits = 0;
  /** Begun by a node whose state was wrong. */
  wild = 0;
  /** Tasks that ended, none of which is to be tried again. */
  #tasksEnded = 0;

  constructor(time: VirtualTime, questions: EffectQuestions, fail: (problem: string) => void) {
    this.#time = time;
    this.#questions = questions;
    this.room = new RoomJudge(questions, fail);
    this.#fail = fail;
  }

  started(guard: SimGuard, start: Start): void {
    this.starts += 1;
    const key = `${start.job}/${start.task}`;
    const seen = this.#tasks.get(key) ?? [];
    this.#tasks.set(key, seen);
    const isWild = this.#actsWrongly(this.#questions.nodeOf(guard.host));
    if (isWild) this.wild += 1;
    else if (this.#recalled.has(`${key}.${start.attempt}`))
      this.#fail(`J1: attempt ${start.attempt} of ${key} starts on host ${guard.host}, and was taken back before`);
    const whyNot = isWild ? undefined : this.#questions.whyNot(guard.host, start.job);
    if (whyNot !== undefined)
      this.#fail(`held: attempt ${start.attempt} of ${key} starts on host ${guard.host}, and ${whyNot}`);
    this.room.started(guard, this.#questions.nodeOf(guard.host), start);
    for (const before of seen) {
      if (isWild || before.isWild) continue;
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
      isWild,
    });
    this.#time.trace(start.fence);
  }

  #actsWrongly(node: NodeId | undefined): boolean {
    return node !== undefined && this.#questions.wrongUntil(node) >= this.#time.now - onTheWay;
  }

  ended(guard: SimGuard, name: AttemptName, state: Report["state"] | undefined): void {
    this.room.ended(guard, name);
    const all = this.#tasks.get(`${name.job}/${name.task}`);
    const seen = all?.find((one) => one.attempt === name.attempt && one.guard === guard && one.to === undefined);
    if (seen === undefined) return;
    seen.to = this.#time.now;
    seen.state = state ?? "dropped";
    if (state === "lost") this.lost += 1;
  }

  declaredLost({ job, task, attempt }: AttemptName): void {
    this.#declaredLost.add(`${job}/${task}.${attempt}`);
  }

  /** Hosts with attempts that run since so many µs. */
  holders(since: number): ReadonlySet<number> {
    const hosts = new Set<number>();
    for (const attempts of this.#tasks.values()) {
      const last = attempts.at(-1);
      if (last !== undefined && last.to === undefined && last.from <= this.#time.now - since)
        hosts.add(last.guard.host);
    }
    return hosts;
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
        } else if (change.topic === "task" && change.kind === "ended") this.#onEnded(node, change, index);
        else if (change.topic === "task" && change.kind === "unit-ended") {
          for (const [first, count] of change.tasks) {
            for (let task = first; task < first + count; task++)
              this.#onEnded(node, { ...change, task, attempt: 1, state: "succeeded" }, index);
            this.endedInUnits += count;
          }
        }
      }
    }
  }

  #onEnded(node: NodeId, ended: EndedAttempt, index: number): void {
    const key = `${ended.job}/${ended.task}.${ended.attempt}`;
    const known = this.#attemptEnds.get(key);
    if (known === undefined) {
      this.#attemptEnds.set(key, { state: ended.state, index });
      if (isTerminal(ended.state)) this.#tasksEnded += 1;
      this.#judgeEnd(node, ended);
    } else if (known.index !== index) this.#fail(`J1: attempt ${key} ended at ${known.index} and at ${index}`);
  }

  /**
   * The end that the state has recorded, against what the guard did with this very attempt: it ended like that, or it was given up without being
   * asked, which takes a guard without a lease (J1, J3). A retry ("queued") tells of an end as much as the last one does.
   */
  #judgeEnd(witness: NodeId, { job, task, attempt, state, node }: EndedAttempt): void {
    const key = `${job}/${task}.${attempt}`;
    const all = this.#tasks.get(`${job}/${task}`);
    const seen = all?.find((one) => one.attempt === attempt);
    if (all?.some((one) => one.isWild) === true) return;
    // Who had a wrong state has refused or given up what right ones gave it.
    if (node !== 0 && this.#questions.wrongUntil(node) >= (seen?.from ?? this.#time.now - forgotten)) {
      this.#toldWrongly.add(`${job}/${task}`);
      return;
    }
    const isOverdue = state === "timeout" && seen?.state !== "timeout" && this.#questions.hasDeadline(witness, job);
    const isResult = state === "succeeded" || state === "failed" || (state === "timeout" && !isOverdue);
    if (seen === undefined) {
      // Cancelled or lost before it began: nobody but its node can say so while it has a lease.
      const mayBeUnseen = state === "cancelled" || state === "skipped" || isOverdue || this.#declaredLost.has(key);
      if (mayBeUnseen || !this.#questions.isGuarded(witness, job)) return;
      const why = state === "queued" ? this.#questions.whyTakenBack(witness, { job, task, attempt }) : undefined;
      if (why !== undefined) {
        this.#recalled.add(key);
        if (why.includes("gave it back")) this.returned += 1;
        else this.recalled += 1;
        return;
      }
      if (isResult) this.#fail(`J1: attempt ${key} is told to have ${state}, and no guard has begun it`);
      const guard = node === 0 ? undefined : this.#questions.guardOf(node);
      if (guard !== undefined && !this.#isGivenUp(guard) && guard.resumedAt < this.#time.now - forgotten)
        this.#fail(`J3: attempt ${key} is given up before it began, and node ${node} has a lease`);
      return;
    }
    const where = `attempt ${key} ${seen.to === undefined ? "runs" : `ended as ${seen.state}`} on host ${seen.guard.host}`;
    if (isResult && seen.state !== state) this.#fail(`J1: ${where}, and is told to have ${state}`);
    const isUntold = seen.to === undefined || seen.state === "succeeded";
    if (isResult || !isUntold || this.#isGivenUp(seen.guard)) return;
    // It had ended when its guard was without a lease for a while, and the entry that gave it up was late.
    if (seen.to !== undefined && seen.guard.resumedAt > seen.from) return;
    const leftMs = Math.round((seen.guard.leaseEndsAt - this.#time.now) / 1000);
    this.#fail(`J3: ${where} under a lease of ${leftMs} ms more, and is given up (${state})`);
  }

  /** Its lease has ended, or somebody asked to take its node out. */
  #isGivenUp(guard: SimGuard): boolean {
    const node = this.#questions.nodeOf(guard.host);
    return guard.leaseEndsAt <= this.#time.now || node === undefined || this.#givenUp.has(node);
  }

  /** What a wrong state began and nobody has ended yet, on that host. */
  wildOn(host: number): string[] {
    return [...this.#tasks].flatMap(([key, attempts]) =>
      attempts
        .filter((seen) => seen.isWild && seen.to === undefined && seen.guard.host === host)
        .map((seen) => `${key}.${seen.attempt}`),
    );
  }

  /** Somebody asked to take this node out, whatever it does. */
  givesUp(node: NodeId): void {
    this.#givenUp.add(node);
  }

  /** Tasks and jobs that have ended for good: it grows as long as work is being done, and not by what is only given out, taken back or tried again. */
  get endedForGood(): number {
    return this.#tasksEnded + this.#ends.size;
  }

  endOf(job: number): JobState | undefined {
    return this.#ends.get(job)?.state;
  }

  /** How often a task was begun by a guard. */
  startsOf(job: number, task: number): number {
    return this.#tasks.get(`${job}/${task}`)?.filter((seen) => !seen.isWild).length ?? 0;
  }

  /** An attempt of it ran to this end, or one with a wrong state said so. */
  hasRun(job: number, task: number, state: Report["state"]): boolean {
    const key = `${job}/${task}`;
    return this.#toldWrongly.has(key) || this.#tasks.get(key)?.some((seen) => seen.state === state) === true;
  }
}
