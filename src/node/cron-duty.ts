import { monotonicMs, timerMsMax } from "../lib/clock.ts";
import { type CalendarEvents } from "../lib/calendar-events.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { inTurns } from "../lib/turns.ts";
import { type FirePlan, planFires } from "../scheduler/fires.ts";
import { liveMembers, Owners } from "../scheduler/owners.ts";
import type { CommandInput } from "../state/commands/index.ts";
import { isInOrder } from "../state/commands/schedule-step.ts";
import type { MadeJob, Step } from "../state/firing.ts";
import { listNodes } from "../state/queries.ts";
import { definitionOf, formerOf, isPlain } from "../state/schedules.ts";
import { calendarEvents } from "../state/tables/calendar.ts";
import { type ScheduleScope, scheduleScope } from "../state/tables/schedule-scope.ts";
import {
  type DueSchedule,
  dueSchedules,
  nextCheck,
  scheduleById,
  type StoredSchedule,
} from "../state/tables/schedule.ts";
import type { ReadTx } from "../state/tx.ts";
import type { AppliedEvent } from "./api.ts";
import { OwnedSchedules } from "./owned-schedules.ts";
import { bytesOfMade, firstFires, StepBatch } from "./step-parts.ts";
import { isWrong, StepProposer, type StepsOutcome } from "./step-proposer.ts";
import { StepRefusals } from "./step-refusals.ts";
import { ZoneWatch } from "./zone-watch.ts";

/** What working out schedules needs of its node. */
export interface CronDutyPorts {
  readonly self: NodeId;
  /** Epoch ms: this host's clock, and while it leads that of the log. */
  now(): number;
  isLeading(): boolean;
  /** Members that the leader does not hear; undefined: this node does not lead. */
  silent(): readonly NodeId[] | undefined;
  /** It is a member, with a state that it may go by. */
  takesPart(): boolean;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  propose(name: "schedule.step", input: CommandInput<"schedule.step">): Promise<StepsOutcome>;
  /** The job of a fire that the schedule alone does not say. */
  makeJob(row: StoredSchedule, at: number): Promise<MadeJob>;
  readonly log: (level: "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/** Looked for at least so often, whatever was found: a clock may be set, an owner may die. */
const lookEveryMs = 1_000;
/** Who has only just been elected finds out whom it does not hear: it looks as often until it would not wait for them anyway. */
const newLeaderLookMs = 25;
/** Worked out so long before its time. */
const aheadMs = 2_000;
/** So many at most, whose rows have not changed since. */
const readyMost = 20_000;
/** So many due ones are read at once. */
const rowsAtOnce = 1_000;
/** A step that was not taken is worked out again after that; one for whose job there was no room, or that no log takes, after that. */
const againMs = 100;
const longAgainMs = 1_000;
/** A schedule that cannot be worked out is tried again after that. */
const wrongMs = 60_000;
/** What was found of this clock is looked at again after that, and at once where it was set by more than that. */
const correctionHoldsMs = 10_000;
const clockSetMs = 50;
/** Jobs of one step that the schedule alone does not say. */
const madeAtOnce = 4;

/** A step that was worked out before its time, from this very row. */
interface Ready {
  readonly revision: number;
  readonly watermark: number;
  readonly scope: number;
  readonly at: number;
  readonly plan: FirePlan;
}

/**
 * Every member works out the schedules that it owns (scheduler/owners.ts), ahead of time, and proposes what has come at its instant, in batches; the leader does so for what is left alone by
 * its owner. What any of them believes of who owns what, or of the time, makes nothing twice and nothing lost: a step is taken from where the schedule stands alone (C1).
 *
 * It holds no schedules: the state says when each is to be looked at, so that a million that rest cost nothing but their rows.
 */
export class CronDuty {
  readonly #ports: CronDutyPorts;
  readonly #lookMs: number;
  /** monotonicMs, of the latest election that this node won. */
  #leadsSince = -Infinity;
  /** How many of them are this node's, for people. */
  readonly owned: OwnedSchedules;
  /** What the log refused of what it proposed. */
  readonly refusals: StepRefusals;
  readonly #zones: ZoneWatch;
  #isOn = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When (monotonicMs) that fires. */
  #wakesAt = Infinity;
  /** Since when (monotonicMs) nothing else of this process had its turn. */
  #turnBegan = 0;
  #isLooking = false;
  #looksAgain = false;
  #owners = new Owners([]);
  #areMembersKnown = false;
  /** Of the present members' list, joined. */
  #members = "";
  /** Of whom this node, as the leader, hears nothing: their schedules do not wait. */
  #silent: readonly NodeId[] = [];
  readonly #proposer: StepProposer;
  /** More is due than may be under way: it goes on with the next of these that is done. */
  #isCutShort = false;
  /** Not again before that (monotonicMs): what was refused as early, or not taken. */
  readonly #notBefore = new Map<number, number>();
  #ready = new Map<number, Ready>();
  /** How far this clock was ahead of the leader's when that refused something as early. */
  #aheadOfLeaderMs = 0;
  /** When (monotonicMs) that was found, and how far this clock was ahead of the monotonic one then. */
  #correctedAt = 0;
  #correctedBase = 0;
  #calendars: { readonly scope: number; readonly events: Map<string, CalendarEvents> } = {
    scope: -1,
    events: new Map(),
  };

  /** `lookMs`: it looks as often at least. */
  constructor(ports: CronDutyPorts, lookMs: number = lookEveryMs) {
    this.#ports = ports;
    this.#lookMs = lookMs;
    this.#proposer = new StepProposer({
      ...ports,
      isOn: () => this.#isOn,
      settled: (steps, outcome, proposedAt) => this.#onSettled(steps, outcome, proposedAt),
    });
    this.owned = new OwnedSchedules(ports);
    this.refusals = new StepRefusals(ports.log);
    this.#zones = new ZoneWatch(ports);
  }

  start(): void {
    this.#isOn = true;
    this.owned.start();
    this.#lookIn(0);
  }

  stop(): void {
    this.#isOn = false;
    clearTimeout(this.#timer);
    this.owned.stop();
  }

  onApplied(events: readonly AppliedEvent[]): void {
    const changes = events.flatMap((event) => event.changes.filter(isNews));
    if (changes.length === 0) return;
    if (changes.some(({ topic }) => topic === "node")) this.#areMembersKnown = false;
    if (!this.#isOn) return;
    this.#lookIn(0);
    if (changes.some(isOfList)) this.owned.onSchedules();
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#wakesAt = monotonicMs() + ms;
    this.#timer = setTimeout(() => void this.#look(), Math.min(timerMsMax, Math.max(0, Math.ceil(ms))));
  }

  /** This node leads from now on: what was due while nobody did, of members that it does not hear, waits for nothing more. */
  onLead(): void {
    this.#leadsSince = monotonicMs();
    if (this.#isOn) this.#lookIn(0);
  }

  /** The state became another one at once. */
  onJump(): void {
    this.#areMembersKnown = false;
    this.#ready.clear();
    this.owned.onSchedules();
    if (this.#isOn) this.#lookIn(0);
  }

  /** One look at a time; news meanwhile is another one. */
  async #look(): Promise<void> {
    if (this.#isLooking) {
      this.#looksAgain = true;
      return;
    }
    this.#isLooking = true;
    this.#wakesAt = Infinity;
    this.#turnBegan = monotonicMs();
    let nextMs = this.#lookMs;
    try {
      if (this.#ports.takesPart()) nextMs = await this.#pass();
    } finally {
      this.#isLooking = false;
      // What was proposed in this look may have been taken meanwhile, and said when to look next.
      const wakesInMs = this.#wakesAt - monotonicMs();
      if (this.#isOn) this.#lookIn(this.#looksAgain ? 0 : Math.min(nextMs, wakesInMs));
      this.#looksAgain = false;
    }
  }

  /** This clock, put back by what the leader's was found to lack: who leads now goes by its own. */
  #now(): number {
    return this.#ports.now() - (this.#ports.isLeading() ? 0 : this.#correctionMs());
  }

  /** What was found holds for a while, and for as long as this clock is not set: it is found anew when it still is so. */
  #correctionMs(): number {
    if (this.#aheadOfLeaderMs === 0) return 0;
    const now = monotonicMs();
    const isSet = Math.abs(this.#ports.now() - now - this.#correctedBase) > clockSetMs;
    if (isSet || now - this.#correctedAt > correctionHoldsMs) this.#aheadOfLeaderMs = 0;
    return this.#aheadOfLeaderMs;
  }

  /** Proposes all that is due; gives when to look again. */
  async #pass(): Promise<number> {
    if (this.#ports.view((tx) => nextCheck(tx, -1)) === undefined) return this.#lookMs; // there are none
    this.#readOwners();
    this.#zones.tell();
    this.#silent = this.#ports.silent() ?? [];
    const scope = this.#ports.view(scheduleScope);
    for (const [id, until] of this.#notBefore) if (until <= monotonicMs()) this.#notBefore.delete(id);
    this.#isCutShort = false;
    const batch = new StepBatch();
    let after: DueSchedule = { id: 0, check_at: -1 };
    for (;;) {
      const due = this.#ports.view((tx) => dueSchedules(tx, this.#now(), after, rowsAtOnce));
      for (const one of due) {
        if (!this.#isOn || this.#proposer.isFull) break;
        await this.#rest();
        if (!this.#isMine(one)) continue;
        const step = await this.#tryStep(one.id, scope);
        if (step === undefined) continue;
        this.#proposer.begin(step);
        this.#proposer.propose(scope.scope, batch.add(step));
      }
      this.#isCutShort = this.#proposer.isFull;
      if (due.length < rowsAtOnce || this.#isCutShort) break;
      after = due.at(-1)!;
    }
    this.#proposer.propose(scope.scope, batch.take());
    await this.#prepare(scope);
    return this.#nextLookMs();
  }

  #readOwners(): void {
    if (this.#areMembersKnown) return;
    this.#areMembersKnown = true;
    const nodes = this.#ports.view(listNodes);
    const members = liveMembers(nodes);
    this.#zones.onMembers(nodes.filter(({ id }) => members.includes(id)));
    const joined = members.join();
    if (joined === this.#members) return;
    this.#members = joined;
    this.#owners = new Owners(members);
    this.owned.onMembers(this.#owners);
    this.#ready.clear();
  }

  #isMine({ id, check_at: checkAt }: DueSchedule): boolean {
    if (this.#proposer.has(id) || this.#notBefore.has(id)) return false;
    const owner = this.#owners.of(id);
    if (owner === this.#ports.self) return true;
    if (!this.#ports.isLeading()) return false;
    return this.#now() - checkAt >= limits.fireCoverMs || owner === undefined || this.#silent.includes(owner);
  }

  /** The same; one that cannot be worked out holds up no other: broken data of a zone would, or a step that is refused with all others of its command. */
  async #tryStep(id: number, scope: ScheduleScope): Promise<Step | undefined> {
    let why: string;
    try {
      const step = await this.#stepOf(id, scope);
      if (step === undefined || isInOrder(step)) return step;
      why = `its instants are in no order: ${JSON.stringify(step)}`;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      why = error.message;
    }
    this.#ports.log("error", `schedule ${id} cannot be worked out, and is tried again in a minute: ${why}`);
    this.#notBefore.set(id, monotonicMs() + wrongMs);
    return undefined;
  }

  /** undefined: nothing is to be said of it after all. */
  async #stepOf(id: number, scope: ScheduleScope): Promise<Step | undefined> {
    const row = this.#ports.view((tx) => scheduleById(tx, id));
    if (row === undefined) return undefined;
    const ready = this.#ready.get(id);
    this.#ready.delete(id);
    const isFit = ready?.revision === row.revision && ready.watermark === row.watermark && ready.scope === scope.scope;
    const now = this.#now();
    const plan =
      isFit && ready.at <= now && now - ready.at < limits.fireLateMs ? ready.plan : await this.#plan(row, scope, now);
    const { check, fires, skips } = plan;
    if (fires.length === 0 && skips.length === 0 && check === row.check_at) return undefined;
    if (fires.length === 0 || isPlain(definitionOf(row)))
      return [id, row.revision, row.watermark, plan.to, check, fires, skips];
    return this.#stepOfMade(row, plan, now);
  }

  /** A step whose jobs have to be made: they may be large, so a few of them at a time. */
  async #stepOfMade(row: StoredSchedule, plan: FirePlan, now: number): Promise<Step> {
    const whole: Step = [row.id, row.revision, row.watermark, plan.to, plan.check, plan.fires, plan.skips];
    const made: MadeJob[] = [];
    let bytes = 0;
    for (const at of plan.fires.slice(0, madeAtOnce)) {
      const one = await this.#ports.makeJob(row, at);
      made.push(one);
      bytes += bytesOfMade(one);
      if (bytes > limits.entryBatchBytes) break;
    }
    const [id, revision, from, to, check, fires, skips] = firstFires(whole, made.length, now);
    return [id, revision, from, to, check, fires, skips, made];
  }

  async #plan(row: StoredSchedule, scope: ScheduleScope, now: number): Promise<FirePlan> {
    const steps = planFires({ row, scope, calendars: this.#calendarsOf(row, scope) }, now);
    // Nearly all are done with one or two instants.
    const first = steps.next();
    return first.done === true ? first.value : inTurns(steps);
  }

  /** Heartbeats above all are not to wait for a thousand schedules. */
  async #rest(): Promise<void> {
    if (monotonicMs() - this.#turnBegan < limits.turnMs) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#turnBegan = monotonicMs();
  }

  #calendarsOf(row: StoredSchedule, { scope }: ScheduleScope): ReadonlyMap<string, CalendarEvents> {
    if (this.#calendars.scope !== scope) this.#calendars = { scope, events: new Map() };
    const { events } = this.#calendars;
    for (const { calendars = [] } of [definitionOf(row).rules, ...formerOf(row).flatMap(({ rules }) => rules ?? [])])
      for (const { name } of calendars) {
        if (events.has(name)) continue;
        const found = this.#ports.view((tx) => calendarEvents(tx, name));
        if (found !== undefined) events.set(name, found);
      }
    return events;
  }

  #onSettled(steps: readonly Step[], outcome: StepsOutcome, proposedAt: number): void {
    if (!outcome.ok) {
      const waitMs = outcome.why.limit === "jobs" || isWrong(outcome) ? longAgainMs : againMs;
      for (const [id] of steps) this.#notBefore.set(id, monotonicMs() + waitMs);
      this.#lookBy(this.#isCutShort ? againMs : waitMs);
      return;
    }
    const { refused, stampedAt } = outcome.value.value;
    this.refusals.add(refused, proposedAt - stampedAt);
    // Of any other reason the row has moved on, and its next instant does not wait.
    const early = refused.flatMap(([position, why]) => (why === "early" ? [steps[position]![0]] : []));
    for (const id of early) this.#notBefore.set(id, monotonicMs() + againMs);
    const isEarly = early.length > 0;
    this.#aheadOfLeaderMs = isEarly
      ? Math.max(1, proposedAt - stampedAt)
      : this.#aheadOfLeaderMs > 0
        ? Math.max(0, proposedAt - stampedAt)
        : 0;
    this.#correctedAt = monotonicMs();
    this.#correctedBase = this.#ports.now() - this.#correctedAt;
    if (this.#isOn) this.#lookBy(this.#isCutShort ? 0 : refused.length > 0 ? againMs : this.#nextLookMs());
  }

  /** In so many ms, if not before. */
  #lookBy(ms: number): void {
    if (this.#isOn && monotonicMs() + ms < this.#wakesAt) this.#lookIn(ms);
  }

  /** Works out what will come soon, so that at its instant it only has to be said. */
  async #prepare(scope: ScheduleScope): Promise<void> {
    const now = this.#now();
    for (const [id, { at }] of this.#ready) if (at < now - limits.fireLateMs) this.#ready.delete(id);
    let after: DueSchedule = { id: Number.MAX_SAFE_INTEGER, check_at: now };
    for (;;) {
      const from = after;
      const due = this.#ports.view((tx) => dueSchedules(tx, now + aheadMs, from, rowsAtOnce));
      for (const { id, check_at: at } of due) {
        if (!this.#isOn || this.#ready.size >= readyMost) return;
        if (this.#owners.of(id) !== this.#ports.self || this.#ready.has(id)) continue;
        // Its time has come meanwhile, or that of another one: those go first.
        if (this.#now() >= Math.min(at, due[0]!.check_at)) return;
        const row = this.#ports.view((tx) => scheduleById(tx, id));
        if (row === undefined) continue;
        const plan = await this.#plan(row, scope, at).catch(() => undefined); // told of at its time
        await this.#rest();
        if (plan === undefined) continue;
        this.#ready.set(id, { revision: row.revision, watermark: row.watermark, scope: scope.scope, at, plan });
      }
      if (due.length < rowsAtOnce) return;
      after = due.at(-1)!;
    }
  }

  #nextLookMs(): number {
    const now = this.#now();
    const next = this.#ports.view((tx) => nextCheck(tx, now));
    let inMs = next === undefined ? this.#lookMs : Math.min(this.#lookMs, next - now);
    for (const until of this.#notBefore.values()) inMs = Math.min(inMs, until - monotonicMs());
    const isNewLeader = monotonicMs() - this.#leadsSince < limits.fireCoverMs && this.#ports.isLeading();
    if (isNewLeader) inMs = Math.min(inMs, newLeaderLookMs);
    return inMs;
  }
}

function isNews(change: AppliedEvent["changes"][number]): boolean {
  return (
    change.topic === "node" || (change.topic === "schedule" && change.kind !== "fired" && change.kind !== "skipped")
  );
}

function isOfList(change: AppliedEvent["changes"][number]): boolean {
  return change.topic === "schedule" && (change.kind === "set" || change.kind === "removed");
}
