import { timerMsMax } from "../lib/clock.ts";
import { type GateWork, gateWork } from "../scheduler/gates.ts";
import type { Outcome } from "../lib/outcome.ts";
import type { CommandInput } from "../state/commands/index.ts";
import type { ReadTx } from "../state/tx.ts";
import type { AppliedEvent } from "./api.ts";

/** What the duty needs of the leader. */
export interface GateDutyPorts {
  /** Epoch ms, as entries are stamped: an instant has come when an entry can say so. */
  now(): number;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  propose<Name extends "job.open" | "job.overdue" | "job.settle">(
    name: Name,
    input: CommandInput<Name>,
  ): Promise<Outcome<unknown>>;
}

/** After a proposal that the log did not take, or one that changed nothing. */
const againMs = 100;

/**
 * The leader's duty for jobs behind gates (scheduler/gates.ts): at the instant that one waits for, and while commands have left something undone, it proposes the
 * next step, one at a time. All that it goes by is in the state, so that the next leader goes on where this one was.
 */
export class GateDuty {
  readonly #ports: GateDutyPorts;
  #isOn = false;
  #isBusy = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Grows with every start and stop: what was proposed before is nobody's any more. */
  #term = 0;

  constructor(ports: GateDutyPorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#term += 1;
    this.#isOn = true;
    this.#isBusy = false;
    this.look();
  }

  stop(): void {
    this.#term += 1;
    this.#isOn = false;
    clearTimeout(this.#timer);
  }

  onApplied(events: readonly AppliedEvent[]): void {
    if (events.some(({ changes }) => changes.some((change) => change.topic === "gate"))) this.look();
  }

  /** Proposes what is due; else waits for the next instant. Also called now and then, should a clock have been set. */
  look(): void {
    if (!this.#isOn || this.#isBusy) return;
    clearTimeout(this.#timer);
    const work = this.#ports.view((tx) => gateWork(tx, this.#ports.now()));
    const proposals = this.#proposalsOf(work);
    if (proposals.length > 0) void this.#settle(proposals);
    else if (work.next !== undefined) this.#lookIn(work.next - this.#ports.now());
  }

  #lookIn(ms: number): void {
    this.#timer = setTimeout(() => this.look(), Math.min(timerMsMax, Math.max(1, Math.ceil(ms))));
  }

  #proposalsOf({ open, overdue, settle }: GateWork): Promise<Outcome<unknown>>[] {
    const proposals: Promise<Outcome<unknown>>[] = [];
    if (open.length > 0) proposals.push(this.#ports.propose("job.open", { jobs: open }));
    if (overdue.length > 0) proposals.push(this.#ports.propose("job.overdue", { jobs: overdue }));
    if (settle) proposals.push(this.#ports.propose("job.settle", {}));
    return proposals;
  }

  async #settle(proposals: readonly Promise<Outcome<unknown>>[]): Promise<void> {
    const term = this.#term;
    this.#isBusy = true;
    const outcomes = await Promise.all(proposals);
    if (term !== this.#term) return;
    this.#isBusy = false;
    // The log's clock may lag behind this one, and then nothing was due by it: not again in the same turn.
    if (outcomes.every((outcome) => outcome.ok && didSomething(outcome.value))) this.look();
    else this.#lookIn(againMs);
  }
}

function didSomething(value: unknown): boolean {
  const { value: told } = value as { readonly value: { opened?: number; ended?: number; more?: boolean } };
  return told.more !== undefined || (told.opened ?? 0) > 0 || (told.ended ?? 0) > 0;
}
