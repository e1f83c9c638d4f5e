import { limits } from "../lib/limits.ts";
import { type Refusal, refuse } from "../lib/outcome.ts";
import { admissionFacts } from "../state/admitting.ts";
import { commandByTag } from "../state/commands/index.ts";
import type { CommandRecord } from "../state/entry.ts";
import { idempotencyOf } from "../state/tables/idempotency.ts";
import type { ReadTx } from "../state/tx.ts";

/** What the judge needs of its node. */
export interface JobAdmissionPorts {
  view<Value>(query: (tx: ReadTx) => Value): Value;
  /** Of this node's log. */
  lastIndex(): number;
  applied(): number;
}

/** A command of a batch that is turned away, by its place there. */
export interface TurnedAway {
  readonly at: number;
  readonly why: Refusal;
}

/** What the commands of a batch add, from the judgement until the state has them. */
export interface Ticket {
  readonly jobs: number;
  /** The entry that it is in; undefined: not logged yet. */
  index: number | undefined;
}

/** A batch is logged whole or not at all: where one command is turned away, its node sends the others again. */
export type Judgement =
  | { readonly kind: "admitted"; readonly ticket: Ticket | undefined }
  | { readonly kind: "turned-away"; readonly away: readonly TurnedAway[] }
  /** The leader does not know yet what was logged before it. */
  | { readonly kind: "later" };

/**
 * Whether there is room for the jobs that commands add (L1): decided by the leader alone, before the log, since all nodes' writes pass it, and by what is in its state and
 * under way in its log together. So N nodes pass the bound no more than one does: it is exact for as long as one leader leads, and by at most limits.admittedUnseen jobs wrong with each
 * change of leaders, which are let in while the new one's state still lacks what others have logged.
 *
 * What time cures is never logged (S3): a refusal leaves no outcome under a key of idempotency, and a repetition of what was done before is let in whatever is full.
 *
 * Far from a bound nothing is read: what was counted at the last look and everything that was let in since is an upper bound of what there is now.
 */
export class JobAdmission {
  readonly #ports: JobAdmissionPorts;
  readonly #unseenMost: number;
  /** In the order of the log; those that wait for the next entry last. */
  #tickets: Ticket[] = [];
  /** The log's end at the election: what lies before is another leader's, or of another term. */
  #unseenUntil = 0;
  #isBehind = false;
  #unseen = 0;
  /** No more than so many are unfinished; undefined: to be read. */
  #most: { jobs: number; readonly bound: number; readonly at: number } | undefined;

  /** `unseen`: see {@link limits.admittedUnseen}. */
  constructor(ports: JobAdmissionPorts, unseen: number = limits.admittedUnseen) {
    this.#ports = ports;
    this.#unseenMost = unseen;
  }

  /** This node leads, or leads no more: what is under way is counted anew. */
  onLeadership(): void {
    this.#tickets = [];
    this.#unseenUntil = this.#ports.lastIndex();
    this.#isBehind = this.#ports.applied() < this.#unseenUntil;
    this.#unseen = 0;
    this.#most = undefined;
  }

  /** Entries up to there are in the state. */
  onApplied(applied: number): void {
    // What was counted before this had the entries of others knew nothing of them.
    if (this.#isBehind) this.#most = undefined;
    this.#isBehind = applied < this.#unseenUntil;
    let done = 0;
    for (const { index } of this.#tickets) {
      if (index === undefined || index > applied) break;
      done += 1;
    }
    if (done > 0) this.#tickets.splice(0, done);
  }

  /** Bounds are others now, perhaps. */
  forget(): void {
    this.#most = undefined;
  }

  /** Whether these commands may be logged. What is admitted counts from here on: tell what becomes of it with {@link logged}. */
  judge(commands: readonly CommandRecord[]): Judgement {
    let jobs = 0;
    const away: TurnedAway[] = [];
    commands.forEach((record, at) => {
      const adds = addedBy(record);
      if (adds === 0) return;
      const why = this.#problem(jobs + adds);
      if (why === undefined || this.#isRepeated(record)) jobs += adds;
      else away.push({ at, why });
    });
    if (away.length > 0) return { kind: "turned-away", away };
    if (jobs === 0) return { kind: "admitted", ticket: undefined };
    if (this.#isBehind) {
      if (this.#unseen + jobs > this.#unseenMost) return { kind: "later" };
      this.#unseen += jobs;
    }
    const ticket: Ticket = { jobs, index: undefined };
    this.#tickets.push(ticket);
    if (this.#most !== undefined) this.#most.jobs += jobs;
    return { kind: "admitted", ticket };
  }

  /** The batch is in that entry; undefined: in none. */
  logged(ticket: Ticket | undefined, index: number | undefined): void {
    if (ticket === undefined) return;
    if (index !== undefined) ticket.index = index;
    else {
      this.#tickets = this.#tickets.filter((one) => one !== ticket);
      this.#most = undefined;
    }
  }

  /** Why so many jobs more are too many; undefined: they are not. */
  #problem(jobs: number): Refusal | undefined {
    let most = this.#most;
    if (most === undefined || (most.jobs + jobs > most.bound && most.at !== this.#ports.applied()))
      most = this.#count();
    return most.jobs + jobs > most.bound ? tooManyJobs(most.bound) : undefined;
  }

  /** In the state and under way. */
  #count() {
    const at = this.#ports.applied();
    const { applied, unfinished, bound } = this.#ports.view(admissionFacts);
    const underWay = this.#tickets.reduce(
      (sum, { index, jobs }) => sum + (index === undefined || index > applied ? jobs : 0),
      0,
    );
    return (this.#most = { jobs: unfinished + underWay, bound, at });
  }

  /** It was done before, under its key, and adds nothing. */
  #isRepeated([, token, , , payload]: CommandRecord): boolean {
    const { key } = payload as { readonly key?: string | null };
    return typeof key === "string" && this.#ports.view((tx) => idempotencyOf(tx, token, key)) !== undefined;
  }
}

function addedBy([tag, , , , payload]: CommandRecord): number {
  return commandByTag(tag)?.adds?.(payload as never) ?? 0;
}

function tooManyJobs(bound: number): Refusal {
  const message = `${bound} unfinished jobs are what this cluster takes, and there is no room for these: wait for some to finish`;
  return refuse("busy", message, { retryAfterMs, limit: "jobs" }).why;
}

const retryAfterMs = 1000;
