import { monotonicMs } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { Outcome } from "../lib/outcome.ts";
import type { CommandInput, CommandValue } from "../state/commands/index.ts";
import { jobsOf, linesOf } from "../state/commands/schedule-step.ts";
import { isKeptBack, type Step } from "../state/firing.ts";
import { definitionOf, jitterOf } from "../state/schedules.ts";
import { scheduleById } from "../state/tables/schedule.ts";
import type { ReadTx } from "../state/tx.ts";
import { RoomWaits } from "./room-waits.ts";
import { firstFires, firstHalf, hasRest, jobsOfAll, StepBatch, unmade } from "./step-parts.ts";

/** What came of a command of steps. */
export type StepsOutcome = Outcome<{ readonly value: CommandValue<"schedule.step">; readonly index: number }>;

/** What handing steps to the log needs of its surroundings. */
export interface StepProposerPorts {
  view<Value>(query: (tx: ReadTx) => Value): Value;
  propose(name: "schedule.step", input: CommandInput<"schedule.step">): Promise<StepsOutcome>;
  readonly log: (level: "warn", message: string) => void;
  /** Epoch ms: this host's clock, as it is. */
  now(): number;
  isOn(): boolean;
  /** These are under way no more; what came of them, and when they were proposed. */
  settled(steps: readonly Step[], outcome: StepsOutcome, proposedAt: number): void;
}

/** How often the log of the node says that instants find no room, and that a step is refused. */
const tellMs = 60_000;

/**
 * Hands steps of schedules to the log. Where there is no room for the jobs of all that a command holds, those that ask for none go on at once, and of the others as many as there is room
 * for, the first ones first; the rest waits, and after limits.fireRoomMs its instants are recorded as refused: whoever looks after the mesh is to see them, and not that all of it is late.
 */
export class StepProposer {
  readonly #ports: StepProposerPorts;
  readonly #underWay = new Map<number, number>();
  #linesUnderWay = 0;
  readonly #roomMs: number;
  readonly #waits: RoomWaits;
  #toldAt = -Infinity;
  #wrongToldAt = -Infinity;

  /** `roomMs`: see {@link limits.fireRoomMs}. */
  constructor(ports: StepProposerPorts, roomMs: number = limits.fireRoomMs) {
    this.#ports = ports;
    this.#roomMs = roomMs;
    this.#waits = new RoomWaits(roomMs);
  }

  /** No more may be under way. */
  get isFull(): boolean {
    return this.#underWay.size >= limits.stepsInFlight || this.#linesUnderWay >= limits.linesInFlight;
  }

  /** A step of that schedule is under way. */
  has(schedule: number): boolean {
    return this.#underWay.has(schedule);
  }

  /** It is under way from now on: to be given to {@link propose}. */
  begin(step: Step): void {
    const lines = linesOf(step);
    this.#underWay.set(step[0], lines);
    this.#linesUnderWay += lines;
  }

  propose(scope: number, steps: readonly Step[]): void {
    if (steps.length > 0) void this.#propose(scope, steps);
  }

  async #propose(scope: number, steps: readonly Step[]): Promise<void> {
    const proposedAt = this.#ports.now();
    const outcome = await this.#ports.propose("schedule.step", { scope, steps });
    if (hasNoRoom(outcome) && this.#ports.isOn()) await this.#proposeSome(scope, steps, outcome);
    else if (isWrong(outcome) && this.#ports.isOn()) this.#onWrong(scope, steps, outcome, proposedAt);
    else this.#settle(steps, outcome, proposedAt);
  }

  /** A command that no log takes as it is: one step of it holds up no other, and what is too large by itself is recorded with the reason. */
  #onWrong(scope: number, steps: readonly Step[], refusal: Refused, proposedAt: number): void {
    const [step] = steps;
    if (steps.length > 1) for (const one of steps) this.propose(scope, [one]);
    else if (step === undefined || refusal.why.code !== "too-large" || jobsOf(step) === 0) {
      this.#settle(steps, refusal, proposedAt);
      if (monotonicMs() - this.#wrongToldAt < tellMs) return;
      this.#wrongToldAt = monotonicMs();
      this.#ports.log("warn", `a step of schedule ${step?.[0]} is refused: ${refusal.why.message}`);
    } else {
      const why = `its job is too large: ${refusal.why.message}`;
      this.propose(scope, firstHalf(steps, this.#ports.now()) ?? [unmade(step, why)]);
    }
  }

  async #proposeSome(scope: number, steps: readonly Step[], refusal: Refused): Promise<void> {
    const now = (): number => this.#ports.now();
    const all = steps.map((step) => (this.#isKeptBack(step) ? unmade(step, refusal.why.message) : step));
    this.propose(
      scope,
      all.filter((step) => jobsOf(step) === 0),
    );
    let left: readonly Step[] = all.filter((step) => jobsOf(step) > 0);
    let part = jobsOfAll(left) < jobsOfAll(steps) ? left : firstHalf(left, now());
    while (part !== undefined && part.length > 0 && this.#ports.isOn()) {
      const proposedAt = now();
      const outcome = await this.#ports.propose("schedule.step", { scope, steps: part });
      if (hasNoRoom(outcome)) part = firstHalf(part, now());
      else if (outcome.ok) {
        this.#settle(part, outcome, proposedAt);
        left = left.slice(part.length);
        part = left.slice(0, part.length);
      } else return this.#settle(left, outcome, proposedAt);
    }
    this.#wait(scope, left, refusal);
  }

  /** Its instants make no jobs whatever room there is. */
  #isKeptBack(step: Step): boolean {
    if (jobsOf(step) === 0) return false;
    return this.#ports.view((tx) => {
      const row = scheduleById(tx, step[0]);
      return row !== undefined && isKeptBack(tx, row, definitionOf(row));
    });
  }

  /** They are proposed again a moment later, or have waited for so long that it is said what became of them. */
  #wait(scope: number, steps: readonly Step[], refusal: Refused): void {
    const [now, batch, waiting] = [this.#ports.now(), new StepBatch(), [] as Step[]];
    const why = `there was no room for its job for ${this.#roomMs / 1000} s: ${refusal.why.message}`;
    let given = 0;
    this.#waits.forget();
    for (const step of steps) {
      const fires = this.#waits.refused(step[0]) ? this.#oldFires(step, now) : 0;
      given += fires;
      if (fires === 0) waiting.push(step);
      else this.propose(scope, batch.add(unmade(firstFires(step, fires, now), why)));
    }
    this.propose(scope, batch.take());
    this.#settle(waiting, refusal, now);
    if (given === 0 || monotonicMs() - this.#toldAt < tellMs) return;
    this.#toldAt = monotonicMs();
    this.#ports.log("warn", `${given} instants of schedules make no jobs: ${refusal.why.message}`);
  }

  /** How many of its fires were due so long ago that they wait no more. */
  #oldFires([id, , , , , fires]: Step, now: number): number {
    const row = this.#ports.view((tx) => scheduleById(tx, id));
    if (row === undefined) return 0;
    const jitter = jitterOf(row.name, definitionOf(row).rules.jitterMs);
    return fires.filter((at) => now - at - jitter >= this.#roomMs).length;
  }

  #settle(steps: readonly Step[], outcome: StepsOutcome, proposedAt: number): void {
    if (steps.length === 0) return;
    const refused = new Set(outcome.ok ? outcome.value.value.refused.map(([position]) => position) : []);
    for (const [position, step] of steps.entries()) {
      this.#linesUnderWay -= this.#underWay.get(step[0]) ?? 0;
      this.#underWay.delete(step[0]);
      const isMade = outcome.ok && !refused.has(position) && jobsOf(step) > 0;
      if (isMade && !hasRest(step, proposedAt)) this.#waits.made(step[0]);
    }
    this.#ports.settled(steps, outcome, proposedAt);
  }
}

type Refused = Extract<StepsOutcome, { readonly ok: false }>;

/** All unfinished jobs are as many as there may be. */
function hasNoRoom(outcome: StepsOutcome): outcome is Refused {
  return !outcome.ok && outcome.why.limit === "jobs";
}

/** It is refused whenever it is proposed. */
export function isWrong(outcome: StepsOutcome): outcome is Refused {
  return !outcome.ok && (outcome.why.code === "invalid" || outcome.why.code === "too-large");
}
