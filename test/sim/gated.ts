import { type JobId, jobId } from "../../src/lib/ids.ts";
import type { Outcome } from "../../src/lib/outcome.ts";
import type { Random } from "../../src/lib/prng.ts";
import { isTerminal } from "../../src/lib/states.ts";
import type { AppliedEvent } from "../../src/node/api.ts";
import { isMet } from "../../src/state/gates.ts";
import { shut } from "../../src/state/tables/gate.ts";
import { jobById, jobColumns, type StoredJob } from "../../src/state/tables/job.ts";
import { type ReadTx, sql } from "../../src/state/tx.ts";
import type { After, Principal, Spec } from "../../src/state/types.ts";
import type { Cluster } from "./cluster.ts";
import type { Host } from "./host.ts";
import { stream } from "./plan.ts";

/**
 * Jobs that wait, in the simulator: for others, for a key, for an instant, for a person; some with a deadline. Drawn from a stream of their own, so that
 * the rest of a run is what it was without them.
 *
 *   early     nothing starts before its instant, by the log's clock, nor before all of its parents have ended
 *   in vain   who is skipped never started, and had a parent that ended otherwise; who started had none
 *   alone     of a key's jobs no two were at work at the same time
 *   held      nothing of a job is assigned between its hold and the moment when its release is asked for, singly or in a unit, and nothing of it begins on a host that has
 *             applied the hold, whatever was given to that before; one release ends a hold that was answered
 *   left      what a job waits for is forgotten with its end
 */
type Draft = { -readonly [Key in keyof Spec]: Spec[Key] };

const keys = 3;
const allJobs = sql(`select ${jobColumns} from job order by id`);
const orphans = sql("select job from job_gate where job not in (select id from job where finished_at is null)");
const someone: Principal = { token: "admin", name: "admin", role: "operator" };
const callTimeout = 4_000_000;
/** µs that a start may be on its way from an executor to its guard. */
const startOnTheWay = 100_000;

export class Gated {
  readonly #cluster: Cluster;
  readonly #random: Random;
  /** Jobs that were held and must be released before the end. */
  #held = 0;
  /** Jobs that are surely held, by the entry that did it: none of them was ever released before. */
  readonly #surelyHeld = new Map<number, number>();
  readonly #everHeld = new Set<number>();
  /** Jobs whose release has been asked for: from then on they may go on at any moment. */
  readonly #released = new Set<number>();
  /** By host and job: since when (µs) that host's state has had it held. */
  readonly #knownHeld = new Map<string, number>();
  /** Jobs of which nobody was told whether they are held: they may be from any later moment on. */
  readonly #perhapsHeld = new Set<number>();
  /** Those that are being released once more. */
  readonly #releasedAgain = new Set<number>();
  drawn = 0;
  holds = 0;
  skipped = 0;
  overdue = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#random = stream(cluster.plan.seed, "gates");
  }

  /** Every hold that was asked for has been taken back. */
  get isDone(): boolean {
    return this.#held === 0;
  }

  /** What a state that is right, that of this host, has applied. */
  applied(host: number, events: readonly AppliedEvent[]): void {
    if (this.#everHeld.size === 0) return;
    for (const { index, changes } of events) {
      for (const change of changes) {
        if (change.topic === "job" && change.kind === "state" && change.held === true && this.#mayClaim(change.job))
          this.#knownHeld.set(`${host}/${change.job}`, this.#cluster.time.now);
        if (change.topic !== "task" || (change.kind !== "assigned" && change.kind !== "unit-assigned")) continue;
        const since = this.#surelyHeld.get(change.job);
        if (since !== undefined && index > since)
          this.#cluster.fail(`held: job ${change.job} was held at ${since}, and assigned at ${index}`);
      }
    }
  }

  /** Its first hold is the only one, and its release has not been asked for. */
  #mayClaim(job: JobId): boolean {
    return this.#everHeld.has(job) && !this.#released.has(job);
  }

  /** Why nothing of the job is to begin on the host; undefined: it may. Starts that were on their way to the guard when the hold was applied are let through. */
  whyNot(host: number, job: number): string | undefined {
    const since = this.#knownHeld.get(`${host}/${job}`);
    if (since === undefined || this.#released.has(job) || since >= this.#cluster.time.now - startOnTheWay)
      return undefined;
    return `the job was held when that host applied it ${Math.round((this.#cluster.time.now - since) / 1000)} ms before`;
  }

  /** Adds what the job waits for; `known` are jobs that are surely there, the newest last. */
  draw(spec: Draft, known: readonly number[], isLong: boolean): void {
    const random = this.#random;
    // Where some host is old all of it is refused until that one is replaced.
    if (this.#cluster.plan.oldHosts > 0 && random() < 0.9) return;
    const [after, key, start, deadline] = [random(), random(), random(), random()];
    if (after < 0.25 && known.length > 0) {
      const parents = new Map<number, After>();
      for (let more = 0; more <= random() * 3; more++) {
        const job = known[Math.max(0, known.length - 1 - Math.floor(random() * 6))]!;
        const when = random();
        parents.set(job, when < 0.6 ? { job } : { job, when: when < 0.8 ? "done" : "failed" });
      }
      spec.after = [...parents.values()];
    }
    // One that blocks its key for long holds up all others of it.
    if (key < 0.2 && !isLong) {
      spec.key = `k${Math.floor(random() * keys)}`;
      const conflict = random();
      if (conflict < 0.25) spec.onConflict = conflict < 0.1 ? "refuse" : "replace";
    }
    if (start < 0.1) spec.startAt = this.#cluster.time.wallMs() + Math.floor(random() * 3000);
    if (deadline < 0.08 && start >= 0.1) spec.deadlineMs = 200 + Math.floor(random() * 5000);
    // Nothing else ends it.
    if (spec.deadlineMs !== undefined && deadline < 0.02) makeEndless(spec);
    if (spec.after !== undefined || spec.key !== undefined || start < 0.1 || spec.deadlineMs !== undefined)
      this.drawn += 1;
  }

  /** Now and then somebody holds a job, and releases it later, however often that has to be asked for. */
  maybeHold(known: readonly number[]): void {
    if (this.#random() >= 0.04 || known.length === 0) return;
    const id = jobId(known[Math.max(0, known.length - 1 - Math.floor(this.#random() * 4))]!);
    const host = this.#cluster.anyUp("gates");
    if (host === undefined) return;
    this.#held += 1;
    this.holds += 1;
    const isFirst = !this.#everHeld.has(id);
    this.#everHeld.add(id);
    const askedAt = this.#cluster.time.now;
    const { node } = host.process!;
    this.#cluster
      .ask(host, callTimeout, () => node.propose("job.hold", { id }, someone))
      // Whatever the answer: it may be in the log.
      .answered((outcome) => {
        const isSure = outcome?.ok === true && host.state.wrongUntil < askedAt && isFirst;
        if (isSure) this.#surelyHeld.set(id, outcome.value.index);
        if (isUnknown(outcome)) this.#perhapsHeld.add(id);
        this.#cluster.time.after(1_000_000 * this.#random() * 4, undefined, () => this.#release(id));
      });
  }

  #release(id: JobId): void {
    this.#surelyHeld.delete(id);
    this.#released.add(id);
    const again = (): unknown => this.#cluster.time.after(500_000, undefined, () => this.#release(id));
    const host = this.#cluster.anyUp("gates");
    if (host === undefined) return void again();
    const { node } = host.process!;
    this.#cluster
      .ask(host, callTimeout, () => node.propose("job.release", { id }, someone))
      .answered((outcome) => {
        const isFinal = outcome !== undefined && (outcome.ok || ["conflict", "not-found"].includes(outcome.why.code));
        if (isFinal) this.#held -= 1;
        else again();
      });
    return undefined;
  }

  /**
   * A hold whose outcome nobody was told may come into the log after the release that followed it, since it is handed to each new leader until its outcome is seen. Who is left with
   * a job that waits looks at it, as people do, and releases it again. Looked at in a state that is right; what was held with an answer is released by that one release or never.
   */
  releaseLate(host: Host): void {
    for (const job of this.#perhapsHeld) {
      if (this.#releasedAgain.has(job)) continue;
      const row = host.state.view((tx) => jobById(tx, job));
      if (row === undefined || isTerminal(row.state)) this.#perhapsHeld.delete(job);
      if (((row?.gate ?? 0) & shut.held) === 0) continue;
      this.#releasedAgain.add(job);
      this.#cluster.note(`job ${job} is held since after its release: it is released again`);
      this.#cluster.count("heldLate");
      const { node } = host.process!;
      this.#cluster
        .ask(host, callTimeout, () => node.propose("job.release", { id: jobId(job) }, someone))
        .answered(() => this.#releasedAgain.delete(job));
    }
  }

  /** All jobs of a state in which everything that was acknowledged has ended. */
  judge(tx: ReadTx): void {
    const fail = (problem: string): void => this.#cluster.fail(problem);
    const jobs = tx.all<StoredJob>(allJobs);
    const byId = new Map(jobs.map((job) => [job.id, job]));
    const ofKey = new Map<string, StoredJob[]>();
    [this.skipped, this.overdue] = [0, 0];
    for (const job of jobs) {
      const spec = JSON.parse(job.spec) as Spec;
      if (job.started_at !== null && spec.startAt !== undefined && job.started_at < spec.startAt)
        fail(`early: job ${job.id} started ${spec.startAt - job.started_at} ms before its start_at`);
      if (spec.key !== undefined && job.started_at !== null) ofKey.set(spec.key, [...(ofKey.get(spec.key) ?? []), job]);
      if (job.state === "skipped") this.skipped += 1;
      if (job.timeout > 0 && job.reason?.includes("deadline") === true) this.overdue += 1;
      this.#judgeAfter(job, spec, byId, fail);
    }
    for (const [key, all] of ofKey) {
      const inOrder = all.toSorted(
        (a, b) => a.started_at! - b.started_at! || (a.finished_at ?? Infinity) - (b.finished_at ?? Infinity),
      );
      for (const [at, job] of inOrder.entries()) {
        const before = inOrder[at - 1];
        if (before !== undefined && (before.finished_at ?? Infinity) > job.started_at!)
          fail(`alone: jobs ${before.id} and ${job.id} of the key ${key} were at work together`);
      }
    }
    for (const { job } of tx.all<{ job: number }>(orphans)) fail(`left: job ${job} has ended, and waits all the same`);
  }

  #judgeAfter(job: StoredJob, spec: Spec, byId: ReadonlyMap<number, StoredJob>, fail: (problem: string) => void): void {
    const parents = (spec.after ?? []).flatMap(({ job: id, when }) => {
      const parent = byId.get(id as number);
      return parent === undefined ? [] : [{ parent, condition: when ?? ("succeeded" as const) }];
    });
    const unmet = parents.some(({ parent, condition }) => isTerminal(parent.state) && !isMet(condition, parent.state));
    if (job.state === "skipped" && (job.started_at !== null || !unmet))
      fail(`in vain: job ${job.id} is skipped, and ${unmet ? "has started" : "no parent of it ended otherwise"}`);
    if (job.started_at === null) return;
    if (unmet) fail(`in vain: job ${job.id} has started, and a parent of it ended otherwise`);
    for (const { parent } of parents) {
      if (parent.finished_at === null || parent.finished_at > job.started_at)
        fail(`early: job ${job.id} started before job ${parent.id} had ended`);
    }
  }
}

/** What was asked for may be in the log all the same, or come there later. */
export function isUnknown(outcome: Outcome<unknown> | undefined): boolean {
  return outcome === undefined || (!outcome.ok && outcome.why.code === "unavailable" && outcome.why.retry !== "safe");
}

/** A job of an hour. */
function makeEndless(spec: Draft): void {
  const endlessMs = 3_600_000;
  if (spec.run === undefined) spec.noop = { ...spec.noop, forMs: endlessMs };
  else spec.run = [spec.run[0]!, String(endlessMs), spec.run[2]!];
  delete spec.timeoutMs;
}
