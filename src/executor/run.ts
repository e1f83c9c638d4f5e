import { join } from "node:path";
import { Fault } from "../lib/fault.ts";
import type { JobId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept } from "../lib/outcome.ts";
import { slotsTaken } from "../lib/room.ts";
import { formatDuration } from "../lib/units.ts";
import type { Assignment, Report, Spec, UnitAssignment } from "../state/types.ts";
import { Lease } from "./accept.ts";
import { ansibleStart } from "./drivers/ansible.ts";
import type { BundleTree } from "./bundle-trees.ts";
import { httpStart } from "./drivers/http.ts";
import { NoopDriver } from "./drivers/noop.ts";
import { shellStart } from "./drivers/shell.ts";
import { sshStart } from "./drivers/ssh.ts";
import { GuardClient, type GuardEvents, type GuardPort } from "./guard/client.ts";
import type { Start, Started, Timeout } from "./guard/frames.ts";
import type { Listing } from "./guard/link.ts";
import { monotonicMs, wallMs } from "../lib/clock.ts";
import { disowned, identityOf } from "./identity.ts";
import { attemptKey, nameOf } from "./names.ts";
import { Reporter } from "./report.ts";
import type { SecretValues } from "./secrets.ts";
import { Room, Turns, waitingOf } from "./turns.ts";
import type { AttemptName, Executor, ExecutorOptions, Extension, UnitName, UnitPart } from "./types.ts";
import { HeldUnit, HeldUnits, isInstant, runInstant } from "./units.ts";

/** Makes the executor of this node. Nothing happens before its open(). */
export function openExecutor(options: ExecutorOptions & { readonly openGuard?: OpenGuard }): Executor {
  return new NodeExecutor(options, options.openGuard ?? ((events) => GuardClient.open(options, events)));
}

/** Finds or starts the guard; resolves after `onOpen`. Throws Fault "guard" when there is none to be had. */
export type OpenGuard = (events: GuardEvents) => Promise<void>;

/**
 * An attempt that this node holds:
 *   waiting  for a lease that covers it, for the guard, or for room
 *   returning  waited for room for too long, or is not to begin here any more: it is given back, and never begun here
 *   guarded  handed to the guard, or found there
 *   noop     run by this process
 *   ended    its result waits to be in the log
 */
interface Held {
  readonly name: AttemptName;
  readonly key: string;
  /** What it takes of the room here, and before whom it begins. */
  slots: number;
  priority: number;
  phase: "waiting" | "returning" | "guarded" | "noop" | "ended";
  /** Since when it waits for room alone, on monotonicMs(). */
  readySince: number | undefined;
  /**
   * The process before this one may have begun it, and told so: the state takes nothing back that has begun, so it begins here again. Of driver noop alone, which ends with
   * its process and has no effects; of others the guard knows.
   */
  mayHaveBegun: boolean;
  /** undefined: found in the guard, not yet confirmed by the state. */
  assignment: Assignment | undefined;
  stopping: boolean;
  /** It was begun for another task than the state's (identity.ts): however it ends, it is lost. */
  isDisowned: boolean;
  /** What was added to its timeout. */
  extendedMs: number;
  /** Values of the secrets that it needs, until it is handed on; "asked": they are on their way. */
  secrets: SecretValues | "asked" | undefined;
  /** Set when ended. */
  report: Report | undefined;
  /** The unit that it was given with. */
  unit: HeldUnit | undefined;
  /** Room is taken for it. */
  takes: boolean;
}

/** Step 10 of the walk: what the state gives this node runs here, once, under a lease, and its result goes back. */
class NodeExecutor implements Executor {
  readonly #options: ExecutorOptions;
  readonly #lease = new Lease();
  readonly #held = new Map<string, Held>();
  /** Those of #held that wait. */
  readonly #waiting = new Map<string, Held>();
  /** Of these, those that wait for something else than room: a lease, the guard, their secrets. */
  #unready: Held[] = [];
  /** And those that wait for room alone. */
  readonly #turns = new Turns<Held>();
  readonly #room: Room;
  readonly #returning = new Set<Held>();
  #returnTimer: ReturnType<typeof setTimeout> | undefined;
  /** Trees that were made for attempts which could not be begun just then. */
  readonly #laidOut = new Map<string, BundleTree>();
  /** Tasks that wait for their turn. */
  readonly #units = new HeldUnits();
  #filling = false;
  readonly #noop: NoopDriver;
  readonly #reporter: Reporter;
  readonly #openGuard: OpenGuard;
  #guard: GuardPort | undefined;
  /** Settles when no connection is being made. */
  #connecting: Promise<void> = Promise.resolve();
  #reconciled = false;
  #closed = false;
  #leaseWanted: () => void = () => {};

  constructor(options: ExecutorOptions, openGuard: OpenGuard) {
    this.#options = options;
    this.#openGuard = openGuard;
    this.#room = new Room(options.capacity);
    this.#reporter = new Reporter(options, {
      onReported: (reports) => this.#onReported(reports),
      unitOf: (report) => this.#held.get(attemptKey(report))?.unit?.assignment,
      hasMore: () => this.#hasMore(),
    });
    this.#noop = new NoopDriver(options.dataDir, {
      onEnded: (reports) => this.#onEnded(reports),
      onStarted: (attempts) => options.started(attempts),
    });
  }

  open(): Promise<void> {
    // A guard that cannot be had now, since the disk is full, is no reason to end the node: its work waits.
    const opening = this.#reconnect();
    this.#connecting = opening.catch(() => {});
    return opening;
  }

  reconcile(held: readonly Assignment[], units: readonly UnitAssignment[] = []): void {
    const wanted = new Map(held.map((assignment) => [attemptKey(assignment), assignment]));
    const isWanted = (name: AttemptName): boolean =>
      wanted.has(attemptKey(name)) || units.some((unit) => isRunningIn(unit, name));
    this.drop([...this.#held.values()].filter((one) => !isWanted(one.name)).map((one) => one.name));
    this.#disownOthers(wanted, units);
    this.#reconciled = true;
    const unknown = this.#reconcileUnits(units);
    for (const [key, assignment] of wanted) {
      const known = this.#held.get(key);
      if (known !== undefined) {
        this.#recognise(known, assignment);
        known.extendedMs = assignment.extendedMs ?? known.extendedMs;
      } else if (assignment.spec.driver === "noop") this.#hold(assignment, "waiting").mayHaveBegun = true;
      else unknown.push(this.#hold(assignment, "guarded")); // until the guard has been asked
    }
    this.#report([...this.#held.values()].flatMap((one) => (one.report === undefined ? [] : [one.report])));
    this.#guard?.extend(timeoutsOf(this.#held.values()));
    this.#settleUnknown(unknown);
    this.review();
    // The node that these were announced to may have ended before it could tell.
    this.#onStarted(
      (this.#guard?.listing.running ?? []).filter((one) => wallMs() - one.startedAt >= limits.startedAfterMs),
    );
    this.#startWaiting();
  }

  /** A wrong state may have had other tasks under the names that the right one has (identity.ts). */
  #disownOthers(wanted: ReadonlyMap<string, Assignment>, units: readonly UnitAssignment[]): void {
    for (const right of units) {
      const known = this.#units.get(right);
      if (known !== undefined && identityOf(known.assignment) !== identityOf(right)) this.#units.delete(known);
      // Only what takes no time is told as a whole.
      if (!isInstant(right.spec)) this.#reporter.forgetUnit(right);
    }
    const begun: Held[] = [];
    const unbegun: AttemptName[] = [];
    for (const held of this.#held.values()) {
      const right = wanted.get(held.key) ?? units.find((unit) => isRunningIn(unit, held.name));
      if (right === undefined || this.#isFor(held, right)) continue;
      if (held.phase === "guarded" || held.phase === "ended") begun.push(held);
      else unbegun.push(held.name); // or run by this process, without effects
    }
    this.drop(unbegun);
    this.#guard?.disown(markDisowned(begun));
  }

  /** As far as that is known: what a guard of an earlier release began says nothing of itself. */
  #isFor({ key, assignment }: Held, right: Pick<Assignment, "fence" | "spec">): boolean {
    const identity = assignment === undefined ? this.#guard?.listing.identities[key] : identityOf(assignment);
    return identity === undefined || identity === identityOf(right);
  }

  /** What is found of units that are held already is brought to what the state says; gives those of whose tasks the guard is to be asked. */
  #reconcileUnits(units: readonly UnitAssignment[]): Held[] {
    const unknown: Held[] = [];
    const isWanted = (name: UnitName): boolean =>
      units.some((unit) => unit.job === name.job && unit.first === name.first);
    for (const unit of this.#units.all()) if (!isWanted(unit.assignment)) this.#units.delete(unit);
    for (const name of this.#reporter.units) if (!isWanted(name)) this.#reporter.forgetUnit(name);
    for (const assignment of units) {
      if (this.#reporter.hasUnit(assignment)) continue;
      const known = this.#units.get(assignment);
      if (known !== undefined) {
        known.keepOnly(assignment);
        continue;
      }
      const heldOf = (task: number): Held | undefined =>
        this.#held.get(attemptKey({ job: assignment.job, task, attempt: 1 }));
      const unit = this.#units.add(new HeldUnit(assignment, (task) => heldOf(task) !== undefined));
      for (const { first, count } of assignment.running) {
        for (let task = first; task < first + count; task++) {
          const one = heldOf(task);
          if (one === undefined || one.phase === "returning") continue;
          this.#recognise(one, assignment.at(task), unit);
          one.extendedMs = unit.extended.get(task) ?? one.extendedMs;
          if (one.phase !== "ended") unit.live += 1;
        }
      }
      if (assignment.spec.driver === "noop") {
        unit.mayHaveBegun = true;
        continue;
      }
      for (let task = unit.takeAny(); task !== undefined; task = unit.takeAny())
        unknown.push(this.#hold(assignment.at(task), "guarded", unit));
    }
    return unknown;
  }

  assign(assignments: readonly Assignment[], units: readonly UnitAssignment[] = []): void {
    for (const assignment of assignments) {
      if (!this.#held.has(attemptKey(assignment))) this.#hold(assignment, "waiting");
    }
    for (const unit of units)
      if (this.#units.get(unit) === undefined && !this.#reporter.hasUnit(unit)) this.#units.add(new HeldUnit(unit));
    this.#startWaiting();
  }

  stop(attempts: readonly AttemptName[], units: readonly UnitName[] = []): void {
    const guarded: AttemptName[] = [];
    const inUnits = units.flatMap((name) => this.#takeUnit(name));
    for (const name of [...attempts, ...inUnits]) {
      const held = this.#held.get(attemptKey(name)) ?? this.#takeWaiting(name);
      if (held === undefined || held.stopping) continue;
      held.stopping = true;
      if (held.phase === "waiting") this.#onEnded([neverStarted(held.name)]);
      else if (held.phase === "guarded") guarded.push(held.name);
      else if (held.phase === "noop") this.#noop.stop(held.name);
    }
    this.#guard?.stop(guarded);
  }

  /** Those of its tasks that wait are held one by one from now on. Gives all of them that have not ended. */
  #takeUnit(name: UnitName): AttemptName[] {
    const unit = this.#units.get(name);
    if (unit !== undefined) {
      for (let task = unit.takeAny(); task !== undefined; task = unit.takeAny())
        this.#hold(unit.assignment.at(task), "waiting", unit);
    }
    const isOfIt = ({ unit: of, phase }: Held): boolean =>
      of?.assignment.job === name.job && of.assignment.first === name.first && phase !== "ended";
    return [...this.#held.values()].filter(isOfIt).map((held) => held.name);
  }

  /** A task that waits in its unit is held by itself from now on; undefined: it does not. */
  #takeWaiting(name: AttemptName): Held | undefined {
    const unit = this.#units.around(name);
    if (unit?.remove(name.task) !== true) return undefined;
    unit.live += 1;
    return this.#hold(unit.assignment.at(name.task), "waiting", unit);
  }

  extend(extensions: readonly Extension[]): void {
    const extended: Held[] = [];
    for (const { ms, ...name } of extensions) {
      const held = this.#held.get(attemptKey(name));
      if (held === undefined) this.#units.around(name)?.extended.set(name.task, ms);
      if (held === undefined || held.stopping || held.phase === "ended") continue;
      held.extendedMs = ms;
      extended.push(held);
      if (held.phase === "noop") this.#noop.extend(held.name, ms);
    }
    this.#guard?.extend(timeoutsOf(extended));
  }

  drop(attempts: readonly AttemptName[]): void {
    const guarded: AttemptName[] = [];
    const ended: AttemptName[] = [];
    for (const name of attempts) {
      const key = attemptKey(name);
      const held = this.#held.get(key);
      if (held === undefined) this.#units.around(name)?.remove(name.task);
      if (held === undefined) continue;
      this.#held.delete(key);
      this.#laidOut.delete(key);
      this.#waiting.delete(key);
      this.#returning.delete(held);
      if (held.phase !== "ended") this.#leave(held);
      this.#reporter.forget(held.name);
      if (held.phase === "guarded") guarded.push(held.name);
      else if (held.phase === "ended") ended.push(held.name);
      else if (held.phase === "noop") this.#noop.drop(held.name);
    }
    this.#guard?.drop(guarded);
    // An ended one may be dropped because its own report was applied: its log stays.
    this.#guard?.acknowledge(ended);
  }

  lease(endsAt: number, index: number): void {
    this.#lease.grant(endsAt, index);
    this.#guard?.lease(this.#lease.endsAt);
    this.#startWaiting();
  }

  covers(index: number): void {
    this.#lease.cover(index);
    this.#startWaiting();
  }

  onLeaseWanted(callback: () => void): void {
    this.#leaseWanted = callback;
  }

  /** Attempts that were started, until their results are in the log. */
  running(): number {
    return this.#held.size - this.#waiting.size - this.#returning.size + this.#reporter.units.length;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#returnTimer);
    this.#reporter.close();
    this.#noop.close();
    await this.#connecting; // a guard that was just started gets its goodbye too
    await this.#guard?.close();
    this.#guard = undefined;
  }

  // ------------------------------------------------------------------------------------------------ attempts

  #hold(assignment: Assignment, phase: "waiting" | "guarded", unit?: HeldUnit): Held {
    const held: Held = {
      ...waitingOf(assignment.spec),
      name: nameOf(assignment),
      key: attemptKey(assignment),
      phase,
      assignment,
      stopping: false,
      isDisowned: false,
      extendedMs: assignment.extendedMs ?? unit?.extended.get(assignment.task) ?? 0,
      secrets: undefined,
      report: undefined,
      unit,
      takes: false,
      readySince: undefined,
      mayHaveBegun: unit?.mayHaveBegun === true,
    };
    this.#held.set(held.key, held);
    if (phase === "waiting") this.#wait(held);
    else this.#take(held);
    return held;
  }

  #wait(held: Held): void {
    held.readySince = undefined;
    this.#waiting.set(held.key, held);
    this.#unready.push(held);
  }

  #take(held: Held): void {
    if (held.takes) return;
    held.takes = true;
    const { unit } = held;
    if (unit?.isGroup !== true) this.#room.take(held.slots);
    else if (unit.takers++ === 0) this.#room.take(held.slots);
  }

  #give(held: Held): void {
    if (!held.takes) return;
    held.takes = false;
    const { unit } = held;
    if (unit?.isGroup !== true) this.#room.give(held.slots);
    else if (--unit.takers === 0) this.#room.give(held.slots);
  }

  /** What the guard was found with is one of these: now it is known what it takes. */
  #recognise(held: Held, assignment: Assignment, unit?: HeldUnit): void {
    held.assignment = assignment;
    const { takes } = held;
    this.#give(held);
    if (unit !== undefined) held.unit = unit;
    ({ slots: held.slots, priority: held.priority } = waitingOf(assignment.spec));
    if (takes) this.#take(held);
  }

  /** Starts what the lease covers and there is room for, by priority, then in log order; asks for a new lease when some need one. */
  #startWaiting(): void {
    if (!this.#reconciled || this.#closed || (this.#waiting.size === 0 && this.#units.size === 0)) return;
    const now = monotonicMs();
    const isLeased = now < this.#lease.endsAt;
    let uncovered = this.#ready(now) || (!isLeased && this.#waiting.size > 0);
    // What ends at once leaves room for more in the same turn.
    for (let begun = isLeased ? this.#begin() : 0; begun > 0; begun = this.#begin())
      if (this.#units.size > 0 && this.#ready(now)) uncovered = true;
    if (uncovered) this.#leaseWanted();
    if (this.#waiting.size > this.#unready.length) this.#watchRoom();
  }

  #watchRoom(): void {
    this.#returnTimer ??= setTimeout(() => {
      this.#returnTimer = undefined;
      this.#returnOverdue();
      this.#startWaiting();
    }, limits.aheadReturnMs / 2);
  }

  /** What has waited for room for too long may find some elsewhere. What waits for others of its unit is taken from here by the leader (relieve). */
  #returnOverdue(): void {
    if (this.#closed || !this.#options.mayGiveBack()) return;
    const before = monotonicMs() - limits.aheadReturnMs;
    const overdue: Held[] = [];
    for (const held of this.#waiting.values()) {
      if (held.readySince === undefined || held.readySince > before) continue;
      overdue.push(held);
      if (overdue.length === limits.assignmentsPerEntry) break;
    }
    this.#return(overdue);
  }

  review(jobs: readonly JobId[] = this.#unbegunJobs()): void {
    if (!this.#reconciled || this.#closed || jobs.length === 0) return;
    const unwanted = this.#options.unwanted(jobs);
    if (unwanted.size === 0 || !this.#options.mayGiveBack()) return;
    for (const unit of this.#units.all())
      if (unwanted.has(unit.assignment.job) && !unit.mayHaveBegun) this.#holdLast(unit, unit.assignment.count);
    this.#return([...this.#waiting.values()].filter(({ name }) => unwanted.has(name.job)));
    this.#startWaiting(); // others have their turn
  }

  relieve(parts: readonly UnitPart[]): void {
    if (!this.#reconciled || this.#closed || !this.#options.mayGiveBack()) return;
    for (const { most, ...name } of parts) {
      const unit = this.#units.get(name);
      if (unit !== undefined && !unit.mayHaveBegun) this.#return(this.#holdLast(unit, most));
    }
    this.#startWaiting();
  }

  /** Jobs of which something has not begun. */
  #unbegunJobs(): JobId[] {
    const jobs = new Set<JobId>();
    for (const unit of this.#units.all()) if (unit.waits) jobs.add(unit.assignment.job);
    for (const { name } of this.#waiting.values()) jobs.add(name.job);
    return [...jobs];
  }

  /** So many of those that wait in it, the last ones first, are held one by one from now on. */
  #holdLast(unit: HeldUnit, most: number): Held[] {
    return unit.takeLast(most).map((task) => this.#hold(unit.assignment.at(task), "waiting", unit));
  }

  /** From this moment on they are never begun here, whatever becomes of the word that says so (J1). */
  #return(unbegun: readonly Held[]): void {
    const some = unbegun.filter(({ mayHaveBegun }) => !mayHaveBegun);
    for (const held of some) {
      held.phase = "returning";
      this.#waiting.delete(held.key);
      this.#returning.add(held);
      if (held.unit !== undefined) held.unit.live -= 1;
      held.unit = undefined; // it is in nobody's way there
    }
    for (let at = 0; at < some.length; at += limits.assignmentsPerEntry)
      void this.#giveBack(some.slice(at, at + limits.assignmentsPerEntry));
  }

  /** Until the state has taken each of them from this node: then it is dropped. The log may pass over what this process says before the state knows this process. */
  async #giveBack(some: readonly Held[]): Promise<void> {
    while (!this.#closed) {
      const names = some.filter((held) => this.#returning.has(held)).map((held) => held.name);
      if (names.length === 0) return;
      await this.#options.giveBack(names);
      await Bun.sleep(limits.aheadReturnMs);
    }
  }

  /** What could begin if there was room has its turn. True when some would need a new lease. */
  #ready(now: number): boolean {
    const [units, others] = [this.#fillUnits(now), this.#sift(now)];
    return units || others;
  }

  /** Who waits for nothing but room from now on has a turn. True when some would need a new lease. */
  #sift(now: number): boolean {
    if (this.#unready.length === 0) return false;
    let uncovered = false;
    const unready: Held[] = [];
    for (const held of this.#unready) {
      const { assignment, phase } = held;
      if (phase !== "waiting" || this.#waiting.get(held.key) !== held) continue;
      if (!this.#lease.covers(assignment!.fence, now)) uncovered = true;
      else if (this.#isReady(held, assignment!.spec)) {
        held.readySince = now;
        this.#turns.add(held);
        continue;
      }
      unready.push(held);
    }
    this.#unready = unready;
    return uncovered;
  }

  /** It has what it needs beside room. */
  #isReady(held: Held, spec: Spec): boolean {
    if (spec.driver === "noop") return true;
    if (this.#guard === undefined) return false; // started when there is a guard again
    if (spec.secrets === undefined) return true;
    if (held.secrets === undefined) void this.#fetchSecrets(held.key, held);
    return typeof held.secrets === "object";
  }

  /** As many as there is room for. Gives how many those were. */
  #begin(): number {
    const noop: Assignment[] = [];
    const stillWaits = (held: Held): boolean => this.#waiting.get(held.key) === held;
    const next = (): Held | undefined => this.#turns.next(this.#room, stillWaits);
    let begun = 0;
    for (let held = next(); held !== undefined; held = next()) {
      const assignment = held.assignment!;
      if (assignment.spec.driver !== "noop" && this.#guard === undefined) {
        held.readySince = undefined;
        this.#unready.push(held); // it went away meanwhile
        continue;
      }
      begun += 1;
      this.#take(held);
      this.#waiting.delete(held.key);
      if (assignment.spec.driver === "noop") {
        held.phase = "noop";
        noop.push(assignment);
      } else if (assignment.spec.bundle === undefined) this.#handOver(held, assignment);
      else void this.#handOverIn(held, assignment);
    }
    if (noop.length > 0) this.#noop.start(noop);
    if (begun > 0 && !this.#hasMore()) this.#reporter.hurry();
    return begun;
  }

  /** Something is here that begins as soon as there is room. */
  #hasMore(): boolean {
    return this.#waiting.size > this.#unready.length || this.#units.wait;
  }

  /** Once its bundle is laid out. It has room meanwhile, so that no more trees are made than there are tasks at once, and is begun by nobody else. */
  async #handOverIn(held: Held, assignment: Assignment): Promise<void> {
    const before = this.#laidOut.get(held.key);
    const tree = before === undefined ? await this.#options.bundle(held.name, assignment.spec) : accept(before);
    this.#laidOut.delete(held.key);
    // Stopped, dropped or ended meanwhile: what was laid out is swept.
    if (this.#closed || this.#held.get(held.key) !== held || held.phase !== "waiting") return;
    if (!tree.ok) return this.#onEnded([neverStarted(held.name, "failed", tree.why.message)]);
    const isCovered = this.#lease.covers(assignment.fence, monotonicMs());
    // A bundle takes its time, in which a hold or a drain may have come.
    const { job } = held.name;
    const isUnwanted = this.#options.mayGiveBack() && this.#options.unwanted([job]).size > 0;
    if (this.#guard !== undefined && isCovered && !isUnwanted) return this.#handOver(held, assignment, tree.value);
    // It has its tree: where there is so much to do that a lease ends while one is made, a new one would never be in time either.
    if (tree.value.isOwn) this.#laidOut.set(held.key, tree.value);
    this.#putBack(held);
    if (isUnwanted) return this.review([job]);
    return this.#startWaiting();
  }

  #handOver(held: Held, assignment: Assignment, tree?: BundleTree): void {
    const secrets = typeof held.secrets === "object" ? held.secrets : noSecrets;
    held.phase = "guarded";
    held.secrets = undefined; // the guard has them now; a later start asks for what they are then
    const start = this.#startOf(assignment, secrets, held.unit, tree);
    // Driver ssh takes files out of the tree, and runs somewhere else.
    const isInTree = tree !== undefined && assignment.spec.driver !== "ssh";
    this.#guard!.start({
      ...start,
      ...(isInTree ? { dir: tree.path, ...(tree.isOwn ? { isDirOwn: true } : {}) } : {}),
      ...longerStart(held),
    });
  }

  #startOf(
    assignment: Assignment,
    secrets: SecretValues,
    unit: HeldUnit | undefined,
    tree: BundleTree | undefined,
  ): Start {
    const { node, cluster, dataDir, cgroupRoot } = this.#options;
    const { driver } = assignment.spec;
    const place = {
      node,
      cluster,
      knownHosts: join(dataDir, "known_hosts"),
      holdsInput: this.#guard?.listing.holdsInput === true,
      hostFacts: (of: Assignment) => this.#options.hostFacts?.(of),
    };
    if (assignment.spec.http !== undefined) return httpStart(assignment, place, secrets);
    if (driver === "ssh") return sshStart(assignment, place, secrets, tree?.path);
    if (driver === "ansible") return ansibleStart([assignment, ...this.#joining(unit)], place, secrets);
    return shellStart(assignment, node, secrets, cgroupRoot);
  }

  /** What waits of the unit begins with its first task, in one process. A guard of an earlier release is given each by itself. */
  #joining(unit: HeldUnit | undefined): Assignment[] {
    const joining: Assignment[] = [];
    if (unit?.isGroup !== true || this.#guard?.listing.knowsGroups !== true) return joining;
    for (let task = unit.takeAny(); task !== undefined; task = unit.takeAny()) {
      const assignment = unit.assignment.at(task);
      this.#hold(assignment, "guarded", unit);
      joining.push(assignment);
    }
    return joining;
  }

  /** Tasks of units begin for which it is their turn: from now on they are held one by one. True when some would need a new lease. */
  #fillUnits(now: number): boolean {
    let uncovered = false;
    for (const unit of this.#units.size === 0 ? [] : this.#units.all()) {
      const { assignment } = unit;
      if (!unit.waits) {
        if (unit.live === 0) this.#units.delete(unit);
      } else if (!this.#lease.covers(assignment.fence, now)) uncovered = true;
      else if (!isInstant(assignment.spec)) {
        for (let task = unit.take(); task !== undefined; task = unit.take())
          this.#hold(assignment.at(task), "waiting", unit);
      } else if (this.#room.has(slotsTaken(assignment.spec))) {
        this.#units.delete(unit);
        this.#reporter.addUnit(runInstant(unit));
      }
    }
    return uncovered;
  }

  /** It takes no room any more, nor a place of its unit: another may begin, after what is done just now. */
  #leave(held: Held): void {
    this.#give(held);
    if (held.unit !== undefined) held.unit.live -= 1;
    if (this.#filling || (this.#waiting.size === 0 && this.#units.size === 0)) return;
    this.#filling = true;
    queueMicrotask(() => {
      this.#filling = false;
      this.#startWaiting();
    });
  }

  /** Asks until they come, the attempt is not this node's any more, one of them does not exist, or nobody has given them for too long. */
  async #fetchSecrets(key: string, held: Held): Promise<void> {
    held.secrets = "asked";
    const giveUpAt = monotonicMs() + limits.secretWaitMs;
    const isWanted = (): boolean => !this.#closed && this.#waiting.get(key) === held;
    for (
      let pauseMs: number = limits.secretRetryMs;
      isWanted();
      pauseMs = Math.min(2 * pauseMs, limits.secretRetryMaxMs)
    ) {
      const outcome = await this.#options.secrets(held.name);
      if (!isWanted()) return;
      if (outcome.ok) {
        held.secrets = outcome.value;
        return this.#startWaiting();
      }
      if (outcome.why.code === "not-found")
        return this.#onEnded([neverStarted(held.name, "failed", outcome.why.message)]);
      if (monotonicMs() >= giveUpAt)
        return this.#onEnded([neverStarted(held.name, "failed", withoutSecrets(outcome.why.message))]);
      await Bun.sleep(pauseMs);
    }
  }

  #onEnded(reports: readonly Report[]): void {
    const wanted: Report[] = [];
    const unwanted: AttemptName[] = [];
    for (const report of reports) {
      const key = attemptKey(report);
      const held = this.#held.get(key);
      if (held === undefined && this.#reconciled) unwanted.push(nameOf(report)); // dropped while its end was on the way
      else if (held === undefined) this.#find(report, report);
      else if (held.phase !== "ended") {
        held.phase = "ended";
        held.report = held.isDisowned ? disowned(report) : report;
        this.#waiting.delete(key);
        this.#laidOut.delete(key);
        this.#leave(held);
        wanted.push(held.report);
      }
    }
    this.#guard?.acknowledge(unwanted);
    if (this.#reconciled && wanted.length > 0) this.#report(wanted);
  }

  /** At once, but for those whose output must be on a second disk before (output.sync). */
  #report(reports: readonly Report[]): void {
    const ready: Report[] = [];
    for (const report of reports) {
      const spec = this.#held.get(attemptKey(report))?.assignment?.spec;
      if (spec?.output?.sync !== true || report.log === undefined) ready.push(report);
      else void this.#reportCopied(report, Math.min(spec.timeoutMs ?? limits.packSyncMs, limits.packSyncMs));
    }
    if (ready.length > 0) this.#reporter.add(ready);
  }

  async #reportCopied(report: Report, withinMs: number): Promise<void> {
    const isCopied = await this.#options.copied(nameOf(report), report.log?.bytes ?? 0, withinMs);
    const held = this.#held.get(attemptKey(report));
    if (this.#closed || held?.report !== report) return; // dropped meanwhile
    if (!isCopied) held.report = uncopied(report, withinMs);
    this.#reporter.add([held.report]);
  }

  #onReported(reports: readonly Report[]): void {
    for (const report of reports) this.#held.delete(attemptKey(report));
    this.#guard?.acknowledge(reports.map(nameOf));
  }

  // --------------------------------------------------------------------------------------------------- guard

  #connect(): Promise<void> {
    return this.#openGuard({
      onOpen: (guard) => this.#adopt(guard),
      onFinished: (reports) => this.#onEnded(reports),
      onStarted: (attempts) => this.#onStarted(attempts),
      onRefused: (names) => this.#onRefused(names),
      onLost: () => this.#onGuardLost(),
    });
  }

  /** Brings what the guard knows and what is held here together, at the first connection and at every later one. */
  #adopt(guard: GuardPort): void {
    this.#guard = guard;
    if (this.#closed) return;
    const { listing } = guard;
    const listed = new Set(listing.running.map(attemptKey).concat(listing.finished.map(attemptKey)));
    const missing = [...this.#held.values()].filter(
      (held) => held.phase === "guarded" && !listed.has(attemptKey(held.name)),
    );
    const others = [...this.#held.values()].filter((held) => held.isDisowned || !isListedFor(listing, held));
    const names = markDisowned(others);
    this.#onEnded(listing.finished);
    guard.disown(names);
    const { orphans, stopping } = this.#takeRunning(listing);
    guard.drop(orphans);
    guard.stop(stopping);
    guard.extend(timeoutsOf(this.#held.values()));
    if (monotonicMs() < this.#lease.endsAt) guard.lease(this.#lease.endsAt);
    if (this.#reconciled) this.#settleUnknown(missing);
    else
      for (const held of missing) {
        this.#give(held);
        this.#held.delete(attemptKey(held.name)); // reconcile() asks this guard again
      }
    this.#startWaiting();
  }

  #takeRunning(listing: Listing): { readonly orphans: AttemptName[]; readonly stopping: AttemptName[] } {
    const orphans: AttemptName[] = [];
    const stopping: AttemptName[] = [];
    for (const started of listing.running) {
      const held = this.#held.get(attemptKey(started));
      if (held === undefined && this.#reconciled) orphans.push(nameOf(started));
      else if (held === undefined) this.#find(started, undefined);
      else if (held.stopping) stopping.push(held.name);
    }
    return { orphans, stopping };
  }

  /** Attempts that the guard does not know. If it knows its whole past they never ran, and may; else they are lost. */
  #settleUnknown(unknown: readonly Held[]): void {
    const guard = this.#guard;
    if (guard === undefined) return; // the next one is asked
    if (guard.listing.exact) {
      for (const held of unknown) this.#putBack(held);
      this.review();
    } else guard.declareLost(unknown.map((held) => held.name));
  }

  /** Known to the guard before the state has said anything. */
  #find(name: AttemptName, report: Report | undefined): void {
    const phase = report === undefined ? "guarded" : "ended";
    const held: Held = {
      ...waitingOf(undefined),
      name: nameOf(name),
      key: attemptKey(name),
      phase,
      assignment: undefined,
      stopping: false,
      isDisowned: false,
      extendedMs: 0,
      secrets: undefined,
      report,
      unit: undefined,
      takes: false,
      readySince: undefined,
      mayHaveBegun: false,
    };
    this.#held.set(held.key, held);
    if (phase === "guarded") this.#take(held);
  }

  #putBack(held: Held): void {
    if (held.stopping) return this.#onEnded([neverStarted(held.name)]);
    if (held.unit !== undefined && this.#units.get(held.unit.assignment) === held.unit) {
      this.#held.delete(attemptKey(held.name));
      this.#give(held);
      held.unit.putBack(held.name.task);
      return undefined;
    }
    this.#give(held);
    held.phase = "waiting";
    this.#wait(held);
    return undefined;
  }

  #onStarted(attempts: readonly Started[]): void {
    const held = attempts.filter((attempt) => this.#held.has(attemptKey(attempt)));
    if (held.length > 0) this.#options.started(held);
  }

  #onRefused(names: readonly AttemptName[]): void {
    for (const name of names) {
      const held = this.#held.get(attemptKey(name));
      if (held?.phase === "guarded") this.#putBack(held);
    }
    this.review();
    this.#leaseWanted();
  }

  #onGuardLost(): void {
    this.#guard = undefined;
    if (this.#closed) return;
    this.#options.log("warn", "the guard went away: looking for it, or starting a new one");
    this.#connecting = this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    for (let delayMs = 50; !this.#closed; delayMs = Math.min(2 * delayMs, 2_000)) {
      try {
        await this.#connect();
        return;
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        this.#options.log("error", error.message);
        await Bun.sleep(delayMs);
      }
    }
  }
}

/** The state says that it runs, and is one of the unit's. */
function isRunningIn({ job, running }: UnitAssignment, name: AttemptName): boolean {
  const { task, attempt } = name;
  return name.job === job && attempt === 1 && running.some(({ first, count }) => task >= first && task < first + count);
}

/** What the guard lists under its key, if anything, was begun for it. */
function isListedFor({ identities }: Listing, { key, assignment }: Held): boolean {
  const identity = identities[key];
  return identity === undefined || assignment === undefined || identity === identityOf(assignment);
}

/** Gives their names. */
function markDisowned(some: readonly Held[]): AttemptName[] {
  return some.map((held) => {
    held.isDisowned = true;
    held.stopping = true;
    if (held.report !== undefined) held.report = disowned(held.report);
    return held.name;
  });
}

/** It ran, but what was promised of its output does not hold. */
function uncopied(report: Report, withinMs: number): Report {
  const words = `its output was not copied to a second node within ${formatDuration(withinMs)} (output.sync)`;
  const reason = report.reason === undefined ? words : `${report.reason}; ${words}`;
  return { ...report, state: report.state === "succeeded" ? "failed" : report.state, reason };
}

/** What a task was given more of before it begins it begins with: told after its start, a short timeout would be over before. A limit that a target keeps by itself stays. */
function longerStart(held: Held): Pick<Start, "timeoutMs"> {
  const driver = held.assignment?.spec.driver;
  const [longer] = driver === "ssh" || driver === "ansible" ? [] : timeoutsOf([held]);
  return longer === undefined ? {} : { timeoutMs: longer.timeoutMs };
}

/** Of those that have more time. The guard counts from their starts. */
function timeoutsOf(some: Iterable<Held>): Timeout[] {
  return [...some].flatMap(({ name, phase, assignment, extendedMs }) => {
    const timeoutMs = assignment?.spec.timeoutMs;
    if (phase !== "guarded" || extendedMs === 0 || timeoutMs === undefined) return [];
    return [{ ...name, timeoutMs: timeoutMs + extendedMs }];
  });
}

const noSecrets: SecretValues = {};

function withoutSecrets(why: string): string {
  return `no voter gave it its secrets within ${formatDuration(limits.secretWaitMs)}, and it did not start: ${why}`;
}

function neverStarted(
  name: AttemptName,
  state: "cancelled" | "failed" = "cancelled",
  reason = "cancelled before it started",
): Report {
  return {
    ...nameOf(name),
    state,
    exitCode: null,
    signal: null,
    reason,
    startedAt: 0, // it has none
    finishedAt: wallMs(),
    tail: new Uint8Array(0),
    log: undefined,
  };
}
