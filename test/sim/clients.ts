import { jobId, type NodeId } from "../../src/lib/ids.ts";
import type { Random } from "../../src/lib/prng.ts";
import { isTerminal } from "../../src/lib/states.ts";
import type { AppliedEvent } from "../../src/node/api.ts";
import { findJob } from "../../src/state/queries.ts";
import { tasksIn } from "../../src/state/shape.ts";
import { jobById } from "../../src/state/tables/job.ts";
import { type ReadTx, sql } from "../../src/state/tx.ts";
import type { JobState, Principal, Spec } from "../../src/state/types.ts";
import { flurry } from "./ahead.ts";
import { Batched } from "./batched.ts";
import type { Callers, Cluster } from "./cluster.ts";
import { Gated, isUnknown } from "./gated.ts";
import type { Host } from "./host.ts";
import { Placed } from "./placed.ts";
import { stream } from "./plan.ts";
import { Targeted } from "./targeted.ts";

/**
 * Clients, and what they may expect without any search: each write has a name of its own, so a history is judged as it happens.
 *
 *   floor      a linearizable read sees every write that was acknowledged, and everything that any read had seen, before it began
 *   own        a read that carries the index of an acknowledged write sees that write, whatever its consistency
 *   absence    a name that a linearizable read did not see was not acknowledged at or before the index that it was read at
 *   once       a request that is repeated under its key makes one job, whatever happened to the answers
 *   refused    what was refused for good, or as surely not done, is never there
 *   retried    a retry of a finished job is one job, says which one it retries, and ends as any other
 *   durable    at the end everything that was acknowledged is there, under its id, and has ended
 */
interface Write {
  readonly serial: number;
  readonly name: string;
  readonly key: string | undefined;
  readonly spec: Spec;
  readonly by: Principal;
  /** "vague": acknowledged by a node whose state was wrong. It is in the log, and what it came to is for right states to say. */
  status: "pending" | "acknowledged" | "vague" | "refused" | "unknown";
  id: number | undefined;
  index: number | undefined;
  /** The highest index at which a linearizable read did not see it. */
  absentAt: number;
}

/** A job as a state has it at the end. */
interface NamedJob {
  readonly id: number;
  readonly name: string;
  readonly state: JobState;
}

const someone: Principal = { token: "admin", name: "admin", role: "operator" };
/** A job that retries another one has its name. */
const byName = sql("select id from job where name = ? and origin is null");
const allNamed = sql("select id, name, state from job where origin is null order by id");
const nextJob = sql("select next_job from counter");
const callTimeout = 4_000_000;
const usualOperations = 500;
/** Of a request that is repeated under its key. */
const mostTries = 6;

export class Clients implements Callers {
  readonly #cluster: Cluster;
  readonly gated: Gated;
  readonly placed: Placed;
  readonly batched: Batched;
  readonly targeted: Targeted;
  readonly #random: Random;
  readonly #writes: Write[] = [];
  readonly #acknowledged: Write[] = [];
  /** Jobs that retry another one, by their key. */
  readonly #retries = new Map<string, { readonly of: Write; id: number }>();
  /** Of these no more is asked. */
  readonly #finished = new Set<number>();
  #left: number;
  #serial = 0;
  #active = 0;
  /** What any linearizable call that has ended has shown. */
  #floorIndex = 0;
  #floorJob = 0;
  operations = 0;
  unknown = 0;
  refused = 0;
  repeats = 0;
  reads = 0;
  failedReads = 0;
  /** Linearizable reads that a node answered which does not lead. */
  followerReads = 0;
  /** Answers by wrong states, which are excused. */
  vague = 0;
  #stopped = false;

  constructor(cluster: Cluster, operations: number | undefined) {
    this.#cluster = cluster;
    this.gated = new Gated(cluster);
    this.placed = new Placed(cluster);
    this.batched = new Batched(cluster);
    this.targeted = new Targeted(cluster);
    this.#random = stream(cluster.plan.seed, "workload");
    this.#left = operations ?? usualOperations;
    cluster.callers = this;
  }

  get acknowledged(): number {
    return this.#acknowledged.length;
  }

  get isDone(): boolean {
    return this.#left <= 0 && this.#active === 0 && this.gated.isDone;
  }

  /** Seconds that the rest of the calls takes at most: all asked one after the other, and of nodes that never answer, as those outside of a core. */
  get longestRest(): number {
    const longestCall = (mostTries * (callTimeout + 600_000)) / 1_000_000;
    return (this.#left + this.#active) * longestCall + 60;
  }

  /** No more calls are begun: the core is to end what there is. */
  stop(): void {
    this.#left = 0;
    this.#stopped = true;
  }

  applied(host: number, events: readonly AppliedEvent[]): void {
    this.gated.applied(host, events);
    this.batched.applied(events);
  }

  whyNot(host: number, job: number): string | undefined {
    return this.gated.whyNot(host, job);
  }

  readAt(host: Host, until: number, every: number): void {
    const random = this.#cluster.random("reads beside");
    this.#repeat(until, every, random, () => {
      if (host.isUp && !host.process!.stopping) this.#read(host, random, () => {});
    });
  }

  writeBeside(host: Host, until: number, every: number): void {
    const random = this.#cluster.random("writes beside");
    this.#repeat(until, every, random, () => {
      const others = this.#cluster.hosts.filter((one) => one !== host && one.isUp && !one.process!.stopping);
      const other = others[Math.floor(random() * others.length)];
      if (other === undefined) return;
      const write = this.#newWrite(random, false);
      this.#submit(other, write, 0, () => {});
    });
  }

  /** Clients that do not wait for an answer before they ask again. */
  #repeat(until: number, every: number, random: Random, call: () => void): void {
    const { time } = this.#cluster;
    if (this.#stopped || time.now >= until || this.#cluster.network.settled) return;
    call();
    time.after(every * (0.5 + random()), undefined, () => this.#repeat(until, every, random, call));
  }

  /** Begins, `count` clients one after the other, each with so much time between its calls. */
  start(count: number, until: number): void {
    const { time } = this.#cluster;
    // The pace does not depend on how many are made: with fewer of them a run begins in the same way.
    const pause = ((until - time.now) * count) / usualOperations;
    for (let client = 0; client < count; client++) {
      this.#active += 1;
      time.after((pause * client) / count, undefined, () => this.#next(pause));
    }
  }

  #next(pause: number): void {
    const { time } = this.#cluster;
    if (this.#left <= 0) {
      this.#active -= 1;
      return;
    }
    this.#left -= 1;
    this.operations += 1;
    const began = time.now;
    this.#call(() => {
      // The time that a call took is not added to the pause, or a slow cluster would have little to do.
      const rest = Math.max(pause * 0.2, pause * (0.5 + this.#random()) - (time.now - began));
      time.after(rest, undefined, () => this.#next(pause));
    });
  }

  #call(done: () => void): void {
    const draw = this.#random();
    const host = this.#cluster.anyUp("clients");
    if (host === undefined) return done();
    if (draw < 0.008) this.#flurry(host);
    if (draw < 0.4) return this.#submit(host, this.#newWrite(this.#random, true), 0, done);
    if (draw < 0.8) return this.#read(host, this.#random, done);
    if (draw < 0.88) return this.#readOwn(host, done);
    if (draw < 0.92) return this.#cancel(host, done);
    if (draw < 0.95) return this.#retry(host, done);
    return this.#label(host, done);
  }

  // ------------------------------------------------------------------------------------------------ writes

  /** `mayRun`: it may be one that guards run, and may be repeated. */
  #newWrite(random: Random, mayRun: boolean): Write {
    const serial = (this.#serial += 1);
    const name = `job-${serial}`;
    const isGuarded = random() < this.#cluster.plan.guarded && mayRun;
    // Some outlive a lease and the loss of their node (J3).
    const isLong = random() < 0.1 && isGuarded;
    const forMs = Math.floor(isLong ? 6000 + random() * 12_000 : random() * random() * 1500);
    const exit = random() < 0.06 ? 1 : 0;
    const spec: { -readonly [Key in keyof Spec]: Spec[Key] } = isGuarded
      ? { name, run: ["work", String(forMs), String(exit)] }
      : { name, driver: "noop", noop: { forMs: random() < 0.5 || !mayRun ? 0 : forMs, exit } };
    const shape = random();
    if (shape < 0.1) {
      // Some are given out in units of several.
      const isLarge = random() < 0.4 && !isLong && mayRun;
      spec.count = 1 + Math.floor(random() * (isLarge ? 30 : 4));
      if (isLarge) spec.unit = 1 + Math.floor(random() * 8);
    }
    if (shape >= 0.1 && shape < 0.15) spec.array = "3-12:4";
    if (shape >= 0.15 && shape < 0.2)
      spec.matrix = { keys: { mode: ["a", "b"], size: [1, 2] }, exclude: [{ mode: "b", size: 1 }] };
    if (random() < 0.15) spec.retries = { max: 1 + Math.floor(random() * 2), backoffMs: Math.floor(random() * 2000) };
    if (random() < 0.1 && !isLong) spec.timeoutMs = 50 + Math.floor(random() * 1500);
    if (random() < 0.25) spec.onLost = "fail";
    if (random() < 0.1) spec.priority = Math.floor(random() * 100);
    if (random() < 0.3) spec.graceMs = 300;
    spec.ttlMs = 86_400_000;
    if (mayRun) {
      const known = this.#acknowledged.map(({ id }) => id!);
      this.gated.draw(spec, known, isLong);
      this.gated.maybeHold(known);
      this.placed.draw(spec);
      this.batched.draw(spec);
      this.targeted.draw(spec);
      this.placed.maybeWeigh();
    }
    const key = random() < 0.6 && mayRun ? `key-${serial}` : undefined;
    return this.#addWrite(serial, spec, key, this.placed.submitter());
  }

  #addWrite(serial: number, spec: Spec, key: string | undefined, by: Principal): Write {
    const write: Write = {
      serial,
      name: spec.name!,
      key,
      spec,
      by,
      status: "pending",
      id: undefined,
      index: undefined,
      absentAt: 0,
    };
    this.#writes.push(write);
    return write;
  }

  /** Many short jobs at once. */
  #flurry(host: Host): void {
    const by = this.placed.hurried();
    if (by === undefined) return;
    const first = this.#serial + 1;
    for (const [at, spec] of flurry(this.#random, (at) => `job-${first + at}`).entries())
      this.#submit(host, this.#addWrite(first + at, spec, undefined, by), 0, () => {});
    this.#serial = this.#writes.at(-1)!.serial;
  }

  #submit(host: Host, write: Write, tries: number, done: () => void): void {
    const { node } = host.process!;
    const askedAt = this.#cluster.time.now;
    const lists = this.targeted.listsFor(write.spec, host, tries > 0);
    const key = write.key === undefined ? {} : { key: write.key };
    const input = { jobs: [write.spec], ...key, digest: write.name, ...lists };
    this.#cluster
      .ask(host, callTimeout, () => node.propose("job.submit", input, write.by))
      .answered((outcome) => {
        const isVague = this.#isVague(host, askedAt, outcome);
        if (outcome?.ok === true && isVague) {
          if (write.status !== "acknowledged") write.status = "vague";
          this.#floorIndex = Math.max(this.#floorIndex, outcome.value.index);
          return done();
        }
        if (outcome?.ok === true) {
          this.#onAcknowledged(write, outcome.value.value.first, outcome.value.index);
          return done();
        }
        if (isVague || isUnknown(outcome)) {
          this.unknown += 1;
          write.status = "unknown";
        } else {
          this.refused += 1;
          if (write.status === "pending") write.status = "refused";
        }
        // Under a key the same request is repeated until it is answered, by whoever is there.
        const next = this.#cluster.anyUp("clients");
        if (write.key === undefined || tries >= mostTries - 1 || next === undefined) return done();
        this.repeats += 1;
        if (write.status === "refused") write.status = "pending";
        this.#cluster.time.after(100_000 + this.#random() * 500_000, undefined, () => {
          if (next.isUp) this.#submit(next, write, tries + 1, done);
          else done();
        });
        return undefined;
      });
  }

  /** That node's state may have been wrong when it answered: the log's order is right, the rest is what it believed (S1). */
  #isVague(host: Host, askedAt: number, outcome: unknown): boolean {
    if (outcome === undefined || host.state.wrongUntil < askedAt) return false;
    this.vague += 1;
    return true;
  }

  #onAcknowledged(write: Write, id: number, index: number): void {
    const { time } = this.#cluster;
    if (write.id !== undefined && write.id !== id)
      this.#cluster.fail(`once: ${write.name} was answered with job ${write.id} and with job ${id}`);
    if (write.id === undefined) this.#acknowledged.push(write);
    write.id = id;
    write.index ??= index;
    write.status = "acknowledged";
    if (write.key === undefined && index <= write.absentAt)
      this.#cluster.fail(`absence: ${write.name} is acknowledged at ${index}, and was not there at ${write.absentAt}`);
    this.#floorJob = Math.max(this.#floorJob, id);
    time.trace(id);
    time.trace(index);
  }

  #cancel(host: Host, done: () => void): void {
    const write = this.#acknowledged[Math.floor(this.#random() * this.#acknowledged.length)];
    if (write === undefined) return done();
    const { node } = host.process!;
    this.#cluster
      .ask(host, callTimeout, () => node.propose("job.cancel", { id: jobId(write.id!) }, someone))
      .answered((outcome) => {
        if (outcome?.ok === true) this.#floorIndex = Math.max(this.#floorIndex, outcome.value.index);
        done();
      });
  }

  /** Asks for a retry of a job, whether it has ended or not; twice under one key now and then. */
  #retry(host: Host, done: () => void): void {
    const write = this.#acknowledged[Math.floor(this.#random() * this.#acknowledged.length)];
    if (write === undefined) return done();
    const { node } = host.process!;
    const askedAt = this.#cluster.time.now;
    const key = `retry-${write.serial}-${Math.floor(this.#random() * 2)}`;
    const input = { id: jobId(write.id!), only: "all", tasks: null, key, digest: key } as const;
    this.#cluster
      .ask(host, callTimeout, () => node.propose("job.retry", input, someone))
      .answered((outcome) => {
        if (outcome?.ok === true) this.#floorIndex = Math.max(this.#floorIndex, outcome.value.index);
        if (outcome?.ok === true && !this.#isVague(host, askedAt, outcome)) {
          const { first: id } = outcome.value.value;
          const known = this.#retries.get(key);
          if (known !== undefined && known.id !== id)
            this.#cluster.fail(`retried: ${key} was answered with job ${known.id} and with job ${id}`);
          this.#retries.set(key, { of: write, id });
          this.#floorJob = Math.max(this.#floorJob, id);
        }
        done();
      });
  }

  #label(host: Host, done: () => void): void {
    const { node } = host.process!;
    const labels = { turn: String(this.operations) };
    this.#cluster
      .ask(host, callTimeout, () => node.propose("node.label", { node: host.id, labels }, someone))
      .answered((outcome) => {
        if (outcome?.ok === true) this.#floorIndex = Math.max(this.#floorIndex, outcome.value.index);
        done();
      });
  }

  // ------------------------------------------------------------------------------------------------- reads

  #read(host: Host, random: Random, done: () => void): void {
    const floorIndex = this.#floorIndex;
    const floorJob = this.#floorJob;
    const { node } = host.process!;
    const about = this.#writes[Math.floor(this.#writes.length * (1 - random() * random()))];
    const wasAcknowledged =
      about?.status === "acknowledged" || (about?.status === "vague" && !mayBeRefused(about.spec));
    const askedAt = this.#cluster.time.now;
    const query = (tx: ReadTx): { readonly next: number; readonly id: number | undefined } => ({
      next: tx.get<{ next_job: number }>(nextJob)?.next_job ?? 0,
      id: about === undefined ? undefined : tx.get<{ id: number }>(byName, about.name)?.id,
    });
    this.#cluster
      .ask(host, 8_000_000, () => node.read(query, { consistency: "linearizable" }))
      .answered((outcome) => {
        this.reads += 1;
        if (outcome?.ok !== true) this.failedReads += 1;
        else if (host.process?.node.isLeading === false) this.followerReads += 1;
        if (outcome?.ok === true) {
          const isVague = this.#isVague(host, askedAt, outcome);
          this.#judgeRead(host.id, outcome.value, { floorIndex, floorJob, about, wasAcknowledged, isVague });
        }
        done();
      });
  }

  #judgeRead(
    node: NodeId,
    {
      index,
      value,
    }: { readonly index: number; readonly value: { readonly next: number; readonly id: number | undefined } },
    before: {
      readonly floorIndex: number;
      readonly floorJob: number;
      readonly about: Write | undefined;
      readonly wasAcknowledged: boolean;
      readonly isVague: boolean;
    },
  ): void {
    const { about } = before;
    if (index < before.floorIndex)
      this.#cluster.fail(
        `floor: a read of node ${node} is of index ${index}, and ${before.floorIndex} was known before`,
      );
    this.#floorIndex = Math.max(this.#floorIndex, index);
    if (before.isVague) return;
    if (value.next - 1 < before.floorJob)
      this.#cluster.fail(
        `floor: a read of node ${node} sees jobs up to ${value.next - 1}, and job ${before.floorJob} was known before`,
      );
    this.#floorJob = Math.max(this.#floorJob, value.next - 1);
    if (about === undefined) return;
    if (value.id === undefined) {
      if (before.wasAcknowledged) this.#cluster.fail(`floor: a read of node ${node} does not see ${about.name}`);
      if (about.index !== undefined && about.index <= index && about.key === undefined)
        this.#cluster.fail(`absence: ${about.name} is of index ${about.index} and not there at ${index}`);
      about.absentAt = Math.max(about.absentAt, index);
    } else if (about.id !== undefined && about.id !== value.id)
      this.#cluster.fail(`once: ${about.name} is job ${about.id}, and ${value.id} on node ${node}`);
  }

  /** Stale, but not older than one's own write. */
  #readOwn(host: Host, done: () => void): void {
    const write = this.#acknowledged.at(-1 - Math.floor(this.#random() * Math.min(3, this.#acknowledged.length)));
    if (write === undefined) return done();
    const { node } = host.process!;
    const askedAt = this.#cluster.time.now;
    this.#cluster
      .ask(host, 8_000_000, () =>
        node.read((tx) => findJob(tx, write.id!)?.name, { consistency: "stale", minIndex: write.index! }),
      )
      .answered((outcome) => {
        if (outcome?.ok === true && outcome.value.value !== write.name && !this.#isVague(host, askedAt, outcome))
          this.#cluster.fail(`own: node ${host.id} does not show ${write.name} at index ${outcome.value.index}`);
        done();
      });
  }

  // ----------------------------------------------------------------------------------------------- the end

  /** Jobs of acknowledged writes that have not ended, as that state has it. */
  unfinished(tx: ReadTx): string[] {
    const open: string[] = [];
    for (const write of this.#writes) {
      if (write.status !== "vague") continue;
      const row = tx.get<{ id: number }>(byName, write.name);
      if (row === undefined && mayBeRefused(write.spec)) write.status = "unknown";
      else if (row === undefined) open.push(`${write.name} (acknowledged by a wrong state, and not there)`);
      else {
        write.id = row.id;
        write.status = "acknowledged";
        this.#acknowledged.push(write);
      }
    }
    for (const { id, name } of this.#acknowledged) {
      if (this.#finished.has(id!)) continue;
      const job = jobById(tx, id!);
      if (job === undefined || isTerminal(job.state)) this.#finished.add(id!);
      else open.push(`${name} (job ${id}, ${job.state})`);
      if (open.length >= 5) break;
    }
    for (const { id } of this.#retries.values()) {
      if (this.#finished.has(id)) continue;
      const job = jobById(tx, id);
      if (job === undefined || isTerminal(job.state)) this.#finished.add(id);
      else open.push(`retry ${id} (${job.state})`);
    }
    return open;
  }

  /** Everything that was ever promised, against a state that has it all. */
  judgeEnd(node: NodeId, tx: ReadTx): void {
    const { effects } = this.#cluster;
    const jobs = new Map<string, NamedJob[]>();
    for (const job of tx.all<NamedJob>(allNamed)) {
      const others = jobs.get(job.name);
      if (others === undefined) jobs.set(job.name, [job]);
      else others.push(job);
    }
    for (const write of this.#writes) {
      const found = jobs.get(write.name) ?? [];
      if (found.length > 1) this.#cluster.fail(`once: ${write.name} is there ${found.length} times on node ${node}`);
      const [job] = found;
      if (write.status === "refused" && job !== undefined)
        this.#cluster.fail(`refused: ${write.name} was refused, and is job ${job.id} on node ${node}`);
      if (write.status !== "acknowledged") continue;
      if (job === undefined || job.id !== write.id) {
        this.#cluster.fail(`durable: ${write.name} was acknowledged as job ${write.id}, node ${node} has ${job?.id}`);
        continue;
      }
      const told = effects.endOf(job.id);
      if (told !== undefined && told !== job.state)
        this.#cluster.fail(`J2: job ${write.id} ended as ${told}, and is ${job.state} on node ${node}`);
      this.targeted.judge(tx, write.spec, job.id);
      if (write.spec.driver !== "noop") this.#judgeTasks(write.spec, job.id, job.state);
    }
    for (const [key, { of, id }] of this.#retries) {
      const job = findJob(tx, id);
      if (job?.retry_of !== of.id)
        this.#cluster.fail(
          `retried: ${key} was acknowledged as job ${id} of ${of.id}, node ${node} has ${job?.retry_of}`,
        );
      else if (of.spec.driver !== "noop") this.#judgeTasks(of.spec, id, job!.state);
    }
    this.gated.judge(tx);
    this.batched.judge(tx);
  }

  #judgeTasks(spec: Spec, id: number, state: string): void {
    const { effects } = this.#cluster;
    if (!isTerminal(state)) return;
    if (state === "skipped" && effects.startsOf(id, 0) > 0)
      this.#cluster.fail(`J2: job ${id} is skipped, and its first task was begun`);
    for (let task = 0; task < tasksIn(spec); task++) {
      if (state === "succeeded" && !effects.hasRun(id, task, "succeeded"))
        this.#cluster.fail(`J2: job ${id} succeeded, and its task ${task} never ran to its end`);
      const atMostOnce = spec.onLost === "fail" && spec.retries === undefined;
      if (atMostOnce && effects.startsOf(id, task) > 1)
        this.#cluster.fail(
          `J2: task ${task} of job ${id} has on_lost: fail, and began ${effects.startsOf(id, task)} times`,
        );
    }
  }
}

/** Whether it is taken is for what else there is to say, of which a wrong state may have another idea than right ones. */
function mayBeRefused({ after, onConflict }: Spec): boolean {
  return after !== undefined || onConflict === "refuse";
}
