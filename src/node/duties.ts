import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Outcome } from "../lib/outcome.ts";
import { inTurns } from "../lib/turns.ts";
import type { Configuration, ConfigurationChange } from "../raft/types.ts";
import { lostNodes } from "../scheduler/lost.ts";
import { isClockOff, shouldYield } from "../scheduler/clock.ts";
import { type LevelWatch, planLevel } from "../scheduler/level.ts";
import type { Standing } from "../scheduler/lack.ts";
import type { Plan } from "../scheduler/place.ts";
import { PlacementView } from "../scheduler/view.ts";
import { learnerLabel } from "../lib/selector.ts";
import { type Member, planVoters, zoneLabel } from "../scheduler/voters.ts";
import type { CommandInput, CommandName, CommandValue } from "../state/commands/index.ts";
import { bundleSourceLevel, inventoryLevel, recallLevel } from "../state/levels.ts";
import { clusterRow, levelHeld, listNodes, stateClock } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { NodeRow } from "../state/types.ts";
import type { AppliedEvent, LogPage, LogRequest } from "./api.ts";
import { Closeness } from "./closeness.ts";
import type { Clocks } from "./clocks.ts";
import { Counting } from "./counting.ts";
import { Expiring } from "./expiring.ts";
import { LagWindow } from "./lag-window.ts";
import { GateDuty } from "./gate-duty.ts";
import { Recalls } from "./recalls.ts";
import { Relief, type ReliefPorts } from "./relief.ts";
import type { LeaseTable } from "./lease.ts";
import { monotonicMs, timerMsMax } from "../lib/clock.ts";
import { Forsaking } from "./forsaking.ts";
import type { SourceLook } from "../state/sourcing.ts";
import type { Looked } from "./bundle-looks.ts";
import { BundleSourceDuty } from "./bundle-source-duty.ts";
import { FactsDuty } from "./facts-duty.ts";
import { InventoryDuty } from "./inventory-duty.ts";
import { Sweeping } from "./sweeping.ts";

/** When work is given out again that the log did not take. */
const refusedPlanMs = 100;

/**
 * What runs while this node leads, and only then: placing work, declaring nodes lost, expiring old jobs, keeping the
 * voters as they should be. Each duty is a pure plan in scheduler/; this file feeds it the state and proposes what it
 * says. Everything goes through the log, so a deposed leader's plan is refused or void, never half done.
 */
export interface DutyPorts extends ReliefPorts {
  readonly self: NodeId;
  readonly leases: LeaseTable;
  readonly clocks: Clocks;
  /** Epoch ms, as entries are stamped. */
  now(): number;
  /** Has another voter lead, if one can. */
  handOver(): void;
  /** A consistent view of the local state. */
  view<Value>(query: (tx: ReadTx) => Value): Value;
  propose<Name extends CommandName>(
    name: Name,
    input: CommandInput<Name>,
  ): Promise<Outcome<{ readonly value: CommandValue<Name>; readonly index: number }>>;
  /** What was proposed leaves now, and not at the end of the turn. */
  drain(): void;
  /** What is proposed next assigns something to these nodes. */
  assigns(nodes: Iterable<NodeId>): void;
  configuration(): Configuration;
  proposeConfiguration(change: ConfigurationChange, basedOn: Configuration): void;
  /** Entries that the peer lacks; undefined: not known to be connected. */
  lag(node: NodeId): number | undefined;
  /** Connected, and heard lately. */
  isHere(node: NodeId): boolean;
  /** Of this node's log. */
  lastIndex(): number;
  /** Output of a job, from whichever node has it. */
  readLog(request: LogRequest): Promise<Outcome<LogPage>>;
  /** Has that member, or this node itself, look at the repository that a bundle is pinned from. Throws Fault. */
  lookAtSource(node: NodeId, look: SourceLook, timeoutMs: number): Promise<Looked>;
  readonly log: (level: "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

const noLease = "it has not asked the leader for a lease lately";
const notConnected = "the leader has no connection to it";
const tooFarBehind = `it is more than ${limits.assignLagMs} ms or ${limits.assignLagEntries} entries behind the log`;

/** How often leases, members and old jobs are looked at; a change among the members is looked at at once. */
const watchMs = 1000;
/** A hand-over stops writes for a moment: one that does not succeed is not tried all the time. */
const yieldEveryMs = 30_000;
/** A change of the members is given this long to be replicated before the next step is planned. */
const settleMs = 50;
/** Unit.assign proposals under way at once: enough to hide one commit, few enough that plans stay fresh. */
const assignmentsInFlight = 4;

/** The leader's duties: start() when leading with a current state, stop() when no longer. */
export class Duties {
  readonly #ports: DutyPorts;
  #view: PlacementView | undefined;
  #planScheduled = false;
  /** There was to be a plan while the view was not whole. */
  #planMissed = false;
  /** The view that takes in what was told in turns. */
  #takesIn: PlacementView | undefined;
  #inFlight = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #wake: ReturnType<typeof setTimeout> | undefined;
  #watchScheduled = false;
  #stableTimer: ReturnType<typeof setTimeout> | undefined;
  readonly #lagWindow = new LagWindow(limits.assignLagMs);
  readonly #closeness = new Closeness();
  #lostProposed = new Set<NodeId>();
  readonly #counting: Counting;
  readonly #expiring: Expiring;
  readonly #forsaking: Forsaking;
  readonly #sweeping: Sweeping;
  readonly #inventories: InventoryDuty;
  readonly #facts: FactsDuty;
  readonly #bundleSources: BundleSourceDuty;
  #levelWatch: LevelWatch | undefined;
  #raising = false;
  /** Members whose clocks were reported as off. */
  #clocksOff = new Set<NodeId>();
  /** When (monotonicMs) a leader whose clock is off tries to hand over next. */
  #yieldAt = 0;
  /** See #now. */
  #clockAhead = 0;

  /** Jobs that wait for time, for others' ends, for a key. */
  readonly #gates: GateDuty;
  /** Work that was given to nodes which do not begin it. */
  readonly recalls: Recalls;
  /** Work that waits at a node and is wanted elsewhere. */
  readonly #relief: Relief;

  constructor(ports: DutyPorts) {
    this.#ports = ports;
    this.#gates = new GateDuty(ports);
    this.#counting = new Counting(ports);
    this.#expiring = new Expiring(ports);
    this.recalls = new Recalls(ports);
    this.#relief = new Relief(ports);
    this.#forsaking = new Forsaking(ports);
    this.#sweeping = new Sweeping(ports);
    this.#inventories = new InventoryDuty(ports);
    this.#facts = new FactsDuty(ports);
    this.#bundleSources = new BundleSourceDuty(ports);
  }

  /** This node leads and its state has every entry committed before its term. */
  start(): void {
    this.stop();
    const view = new PlacementView();
    const at = this.#ports.view((tx) => {
      view.reset(tx);
      return stateClock(tx);
    });
    this.#clockAhead = Math.max(this.#ports.now(), at) - monotonicMs();
    this.#view = view;
    this.#timer = setInterval(() => this.#watch(), watchMs);
    this.#gates.start();
    this.#schedulePlan();
  }

  stop(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#wake);
    clearTimeout(this.#stableTimer);
    this.#gates.stop();
    this.#stableTimer = undefined;
    this.#view = undefined;
    this.#takesIn = undefined;
    this.#planMissed = false;
    this.#inFlight = 0;
    this.#levelWatch = undefined;
    this.#clocksOff.clear();
    this.#lostProposed.clear();
    this.recalls.clear();
    this.#lagWindow.clear();
    this.#closeness.clear();
  }

  onApplied(events: readonly AppliedEvent[]): void {
    const view = this.#view;
    if (view === undefined || events.length === 0) return;
    for (const event of events) view.tell(event, this.#now());
    this.#takeIn(view);
    for (const event of events) {
      for (const change of event.changes) {
        if (change.topic !== "node") continue;
        // What others say of it, that it is lost or has another label, is no sign of life.
        if (change.announced === true) this.#ports.leases.announced(change.node);
        this.#scheduleWatch();
      }
    }
    this.#gates.onApplied(events);
    this.#schedulePlan();
  }

  /** Entries that change much, as those of ten thousand jobs, are taken in by turns: the leader has more to do, its heartbeats above all. */
  #takeIn(view: PlacementView): void {
    if (this.#takesIn === view) return; // it goes on by itself, in order
    const began = monotonicMs();
    const mayGoOn = (): boolean => monotonicMs() - began < limits.turnMs;
    if (this.#ports.view((tx) => view.takeIn(tx, mayGoOn))) return;
    this.#takesIn = view;
    void inTurns(this.#takeRest(view)).then(() => {
      if (this.#takesIn === view) this.#takesIn = undefined;
      this.#schedulePlan();
    });
  }

  /** What was to be planned meanwhile is, whenever the view is whole: where much is written it may have more to take in for long. */
  *#takeRest(view: PlacementView): Generator<void, void, undefined> {
    while (this.#view === view && !this.#ports.view((tx) => view.takeIn(tx, () => false))) {
      if (view.isWhole && this.#planMissed) this.#plan();
      yield;
    }
  }

  /** A configuration change was committed, or the members changed: the next step towards the right voters need not wait. */
  #scheduleWatch(): void {
    if (this.#watchScheduled) return;
    this.#watchScheduled = true;
    setTimeout(() => {
      this.#watchScheduled = false;
      this.#watch();
    }, settleMs);
  }

  onConfiguration(): void {
    if (this.#view !== undefined) this.#scheduleWatch();
  }

  /** A lease was granted: the node may be given work again. */
  onLease(): void {
    if (this.#view?.hasWork() === true) this.#schedulePlan();
  }

  /** A node.lost of it is on its way into the log: it must not get a lease now (J3). */
  isLosing(node: NodeId): boolean {
    return this.#lostProposed.has(node);
  }

  /**
   * The plan's clock: wall time when the duties began, from then on the monotonic clock (J4). A wall clock that is set
   * neither delays nor hastens a retry.
   */
  #now(): number {
    return this.#clockAhead + monotonicMs();
  }

  #schedulePlan(): void {
    if (this.#planScheduled || this.#view === undefined) return;
    this.#planScheduled = true;
    setImmediate(() => {
      this.#planScheduled = false;
      this.#plan();
    });
  }

  #plan(): void {
    const view = this.#view;
    if (view === undefined) return;
    this.#planMissed = !view.isWhole;
    if (this.#planMissed) return;
    const isIdle = this.#inFlight === 0;
    const eligible = this.#eligible(view);
    while (this.#inFlight < assignmentsInFlight) {
      const plan = view.plan(eligible, this.#now(), limits.assignmentsPerEntry);
      if (plan.units.length === 0 && plan.ranges.length === 0) break;
      this.#proposePlan(view, plan);
    }
    const wakeMs = view.nextWakeMs(this.#now());
    clearTimeout(this.#wake);
    if (wakeMs !== undefined)
      this.#wake = setTimeout(() => this.#schedulePlan(), Math.min(timerMsMax, Math.max(1, wakeMs)));
    // Under load the next turn's entry takes it together with others; where nothing else is under way there is nothing to wait for.
    if (isIdle && this.#inFlight > 0) this.#ports.drain();
  }

  #proposePlan(view: PlacementView, { units, ranges }: Plan): void {
    const settle = (isLogged: boolean, tell: (tx: ReadTx) => void): void => {
      if (this.#view !== view) return; // another term of ours began meanwhile, with a view of its own
      this.#inFlight -= 1;
      this.#ports.view(tell);
      if (isLogged) return this.#schedulePlan();
      // It can be refused at once, as where the state is far behind: planned again in the same turn it would be so for as long as that lasts.
      clearTimeout(this.#wake);
      this.#wake = setTimeout(() => this.#schedulePlan(), refusedPlanMs);
    };
    const nodes = new Set<NodeId>();
    for (const { node } of units) nodes.add(node);
    for (const { node } of ranges) nodes.add(node);
    this.#ports.assigns(nodes);
    if (units.length > 0) {
      this.#inFlight += 1;
      void this.#ports.propose("unit.assign", { units }).then((outcome) => {
        settle(outcome.ok, (tx) => view.settled(outcome.ok ? outcome.value.value.refused : units, tx));
      });
    }
    if (ranges.length === 0) return;
    this.#inFlight += 1;
    void this.#ports.propose("range.assign", { units: ranges }).then((outcome) => {
      settle(outcome.ok, (tx) => view.rangesSettled(outcome.ok ? outcome.value.value.refused : ranges, tx));
    });
  }

  /** Nodes that may be given work: up, under a fresh lease, not far behind. */
  #eligible(view: PlacementView): ReadonlySet<NodeId> {
    const eligible = new Set<NodeId>();
    const hindrance = this.#hindrance();
    for (const node of view.nodes()) if (hindrance(node) === undefined) eligible.add(node);
    return eligible;
  }

  /** Why a node that is up is given no work at this moment; undefined: it may be. */
  #hindrance(): (node: NodeId) => string | undefined {
    const { self, leases } = this.#ports;
    const lastIndex = this.#ports.lastIndex();
    const required = this.#lagWindow.required(monotonicMs(), lastIndex);
    return (node) => {
      if (!leases.isFresh(node)) return noLease;
      const lag = node === self ? 0 : this.#ports.lag(node);
      if (lag === undefined) return notConnected;
      return lag <= limits.assignLagEntries && lastIndex - lag >= required ? undefined : tooFarBehind;
    };
  }

  /** Lets somebody look at what is planned from, without changing it; undefined: this node does not plan (yet). */
  inspect<Value>(look: (view: PlacementView, standings: Standing[], now: number) => Value): Value | undefined {
    const view = this.#view;
    if (view?.isWhole === false) this.#ports.view((tx) => view.takeIn(tx, () => !view.isWhole));
    return view && look(view, view.standings(this.#hindrance()), this.#now());
  }

  #watch(): void {
    const view = this.#view;
    if (view === undefined) return;
    const now = monotonicMs();
    this.#gates.look();
    this.#schedulePlan();
    const { nodes, cluster, held } = this.#ports.view((tx) => ({
      nodes: listNodes(tx),
      cluster: clusterRow(tx),
      held: levelHeld(tx),
    }));
    if (cluster === undefined) return;
    this.#watchLevel(
      cluster.level,
      nodes.map((node) => node.level),
      held,
    );
    this.#watchClocks();
    if (cluster.level >= recallLevel) {
      this.recalls.look(view, this.#eligible(view), now);
      this.#relief.look(view, this.#eligible(view), now);
    }
    this.#ports.leases.meet(nodes.map(({ id }) => id));
    for (const lost of lostNodes({
      nodes,
      quietSince: this.#ports.leases.quietSince,
      electedAt: this.#ports.leases.electedAt,
      now,
    })) {
      if (this.#lostProposed.has(lost.node)) continue;
      this.#lostProposed.add(lost.node);
      this.#ports.log("warn", `node ${lost.node} has not renewed its lease: its attempts are given to others`, {
        node: lost.node,
      });
      if (cluster.level >= recallLevel) this.recalls.takeAll(lost.node);
      void this.#ports.propose("node.lost", lost).then((outcome) => {
        // Unknown: it may still be in the log, so no lease for it in this whole term (J3).
        const isSettled = outcome.ok || outcome.why.code !== "unavailable" || outcome.why.retry === "safe";
        if (isSettled && this.#view === view) this.#lostProposed.delete(lost.node);
      });
    }
    const configuration = this.#ports.configuration();
    const change = planVoters({
      configuration,
      members: nodes.map((node) => this.#memberOf(node, now)),
      wanted: cluster.votersWanted,
      self: this.#ports.self,
    });
    if (change !== undefined) this.#ports.proposeConfiguration(change, configuration);
    this.#counting.look(() => this.#view === view);
    this.#expiring.look(() => this.#view === view);
    this.#forsaking.look(() => this.#view === view);
    this.#sweeping.look(() => this.#view === view);
    if (cluster.level >= bundleSourceLevel) this.#bundleSources.look();
    if (cluster.level < inventoryLevel) return;
    this.#inventories.look();
    this.#facts.look(() => this.#view === view);
  }

  #watchWhenStable(inMs: number): void {
    this.#stableTimer ??= setTimeout(() => {
      this.#stableTimer = undefined;
      this.#watch();
    }, inMs);
  }

  /** A member for the plan of voters. One that has just come close is looked at again once it has been so for long enough. */
  #memberOf(node: NodeRow, now: number): Member {
    const { self, leases } = this.#ports;
    const isAlive = node.id === self || leases.isFresh(node.id);
    const lag = node.id === self ? 0 : this.#ports.lag(node.id);
    const isClose = isAlive && node.quarantine === undefined && lag !== undefined && lag <= limits.promoteLagEntries;
    const closeMs = this.#closeness.observe(node.id, isClose, now);
    if (closeMs !== undefined && closeMs < limits.promoteStableMs)
      this.#watchWhenStable(limits.promoteStableMs - closeMs);
    return {
      node: node.id,
      state: node.state,
      quietMs: isAlive ? 0 : now - Math.max(leases.electedAt, leases.quietSince.get(node.id) ?? 0),
      isHere: node.id === self || this.#ports.isHere(node.id),
      closeMs,
      // A promote says more than the flag of a start.
      staysLearner: node.labels[learnerLabel] === "true" && node.wish !== "voter",
      wish: node.wish,
      zone: node.labels[zoneLabel],
    };
  }

  /** S2: the level rises when every member has understood the next one for long enough. */
  #watchLevel(level: number, understood: readonly number[], held: boolean): void {
    const plan = planLevel({ level, understood, held, before: this.#levelWatch, now: monotonicMs() });
    this.#levelWatch = plan.watch;
    if (plan.raiseTo === undefined || this.#raising) return;
    this.#raising = true;
    this.#ports.log("info", `every member understands level ${plan.raiseTo}: the cluster is raised to it`);
    void this.#ports.propose("cluster.raise", { level: plan.raiseTo }).then(() => {
      this.#raising = false;
    });
  }

  /** J4: clocks that are off are told, and a leader whose clock is off lets another one lead. */
  #watchClocks(): void {
    const { self, leases, clocks } = this.#ports;
    clocks.keepOnly((node) => leases.isFresh(node));
    const differences = clocks.differences();
    for (const [node, differenceMs] of differences) {
      if (isClockOff(differenceMs) === this.#clocksOff.has(node)) continue;
      const words = `the clock of node ${node} is ${differenceMs} ms from the median of all`;
      if (this.#clocksOff.delete(node)) this.#ports.log("info", `${words} again, and no longer off`);
      else {
        this.#clocksOff.add(node);
        this.#ports.log("warn", `${words}: set it, or let a time service do it`, { node });
      }
    }
    const others = this.#ports.configuration().voters.filter((node) => node !== self && leases.isFresh(node));
    const now = monotonicMs();
    if (now < this.#yieldAt || !shouldYield(self, differences, others)) return;
    this.#yieldAt = now + yieldEveryMs;
    this.#ports.log("warn", "this node's clock is off: another voter is to lead");
    this.#ports.handOver();
  }
}
