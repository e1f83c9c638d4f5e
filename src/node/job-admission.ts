import { limits } from "../lib/limits.ts";
import { type Refusal, refuse } from "../lib/outcome.ts";
import {
  admissionFacts,
  fullRetryMs as retryAfterMs,
  type SubmitterFacts,
  submitterFacts,
} from "../state/admitting.ts";
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
  /** By the name of who submits them. */
  readonly by: ReadonlyMap<string, number>;
  /** The entry that it is in; undefined: not logged yet. */
  index: number | undefined;
}

/** A batch is logged whole or not at all: where one command is turned away, its node sends the others again. */
export type Judgement =
  | { readonly kind: "admitted"; readonly ticket: Ticket | undefined }
  | { readonly kind: "turned-away"; readonly away: readonly TurnedAway[] }
  /** The leader does not know yet what was logged before it. */
  | { readonly kind: "later" };

/** An upper bound of what is unfinished, from a look at the state of entry `at` on. */
interface Count {
  jobs: number;
  readonly bound: number;
  readonly at: number;
  /** It may be more, for as long as jobs are counted: to be read again. */
  readonly isCountingUp: boolean;
}

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
  #most: Count | undefined;
  /** The same of submitters, where anybody's jobs are limited. */
  readonly #mostOf = new Map<string, Count>();
  #isLimited = false;

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
    this.forget();
  }

  /** Entries up to there are in the state. */
  onApplied(applied: number): void {
    // What was counted before this had the entries of others knew nothing of them.
    if (this.#isBehind) this.forget();
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
    this.#mostOf.clear();
  }

  /** Whether these commands may be logged. What is admitted counts from here on: tell what becomes of it with {@link logged}. */
  judge(commands: readonly CommandRecord[]): Judgement {
    let jobs = 0;
    let by: Map<string, number> | undefined;
    let away: TurnedAway[] | undefined;
    for (const [at, record] of commands.entries()) {
      const adds = addedBy(record);
      if (adds === 0) continue;
      const name = record[2];
      const own = adds + ((by ??= new Map()).get(name) ?? 0);
      const full = this.#problem(jobs + adds);
      const others = full === undefined ? this.#othersOf(record) : undefined;
      const why = full ?? (others === undefined ? this.#problemOf(name, own) : undefined);
      if (why === undefined) {
        jobs += adds;
        if (others === undefined) by.set(name, own);
        else for (const [other, theirs] of others) by.set(other, theirs + (by.get(other) ?? 0));
      } else if (!this.#isRepeated(record)) (away ??= []).push({ at, why });
    }
    if (away !== undefined) return { kind: "turned-away", away };
    if (jobs === 0 || by === undefined) return { kind: "admitted", ticket: undefined };
    if (this.#isBehind) {
      if (this.#unseen + jobs > this.#unseenMost) return { kind: "later" };
      this.#unseen += jobs;
    }
    const ticket: Ticket = { jobs, by, index: undefined };
    this.#tickets.push(ticket);
    if (this.#most !== undefined) this.#most.jobs += jobs;
    for (const [name, own] of by) {
      const count = this.#mostOf.get(name);
      if (count !== undefined) count.jobs += own;
    }
    return { kind: "admitted", ticket };
  }

  /** The batch is in that entry; undefined: in none. */
  logged(ticket: Ticket | undefined, index: number | undefined): void {
    if (ticket === undefined) return;
    if (index !== undefined) ticket.index = index;
    else {
      this.#tickets = this.#tickets.filter((one) => one !== ticket);
      this.forget();
    }
  }

  /** Why so many jobs more are too many; undefined: they are not. */
  #problem(jobs: number): Refusal | undefined {
    if (this.#isToBeRead(this.#most, jobs)) {
      const { isLimited, ...facts } = this.#ports.view(admissionFacts);
      this.#isLimited = isLimited;
      this.#most = this.#countOf({ ...facts, isCountingUp: false }, ({ jobs: all }) => all);
    }
    const { jobs: present, bound } = this.#most!;
    return present + jobs > bound ? tooManyJobs(bound) : undefined;
  }

  /** The same of one submitter. */
  #problemOf(name: string, jobs: number): Refusal | undefined {
    if (!this.#isLimited) return undefined;
    let count = this.#mostOf.get(name);
    if (count === undefined || this.#isToBeRead(count, jobs)) {
      count = this.#countOf(
        this.#ports.view((tx) => submitterFacts(tx, name)),
        ({ by }) => by.get(name) ?? 0,
      );
      if (this.#mostOf.size >= limits.tokens) this.#mostOf.clear();
      this.#mostOf.set(name, count);
    }
    return count.jobs + jobs > count.bound ? tooManyOf(name, count.bound) : undefined;
  }

  /** Whose limits the state looks at itself: they are not judged here, but what they get so counts beside what they ask for. undefined: the sender's own. */
  #othersOf([tag, , , , payload]: CommandRecord): ReadonlyMap<string, number> | undefined {
    const command = this.#isLimited ? commandByTag(tag) : undefined;
    return command?.addsFor === undefined
      ? undefined
      : this.#ports.view((tx) => command.addsFor?.(payload as never, tx));
  }

  /** It would not do, or is known to be too little, and the state is another one than it was read from. */
  #isToBeRead(count: Count | undefined, jobs: number): boolean {
    if (count === undefined) return true;
    return (count.isCountingUp || count.jobs + jobs > count.bound) && count.at !== this.#ports.applied();
  }

  /** In the state and under way. */
  #countOf({ applied, unfinished, bound, isCountingUp }: SubmitterFacts, underWay: (ticket: Ticket) => number): Count {
    let jobs = unfinished;
    for (const ticket of this.#tickets)
      if (ticket.index === undefined || ticket.index > applied) jobs += underWay(ticket);
    return { jobs, bound, at: this.#ports.applied(), isCountingUp };
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

function tooManyOf(name: string, bound: number): Refusal {
  const message = `${name} may have ${bound} unfinished jobs, and there is no room for these among them: wait for some to finish, or ask an admin for more ('skein submitters')`;
  return refuse("busy", message, { retryAfterMs, limit: "submitter" }).why;
}
