import { monotonicMs } from "../lib/clock.ts";
import { formatDuration } from "../lib/units.ts";
import type { StepRefusal } from "../state/firing.ts";

/** A clock that is so far ahead is worth a word: what a network takes to say the time is less. */
const aheadToldMs = 250;
/** Not again before that. */
const tellEveryMs = 10 * 60_000;

/** What the log refused of the steps that this node proposed: counted by reason, and told to people where its clock is what is wrong. */
export class StepRefusals {
  readonly #log: (level: "warn", message: string) => void;
  readonly #counts: Record<StepRefusal, number> = { early: 0, stale: 0, gone: 0 };
  /** When (monotonicMs) that was said last, and how many there were then. */
  #toldAt = -Infinity;
  #earlyTold = 0;

  constructor(log: (level: "warn", message: string) => void) {
    this.#log = log;
  }

  /** Since this process began. */
  get counts(): Readonly<Record<StepRefusal, number>> {
    return this.#counts;
  }

  /** One command's; `aheadMs`: of this clock before the leader's, as far as that shows. */
  add(refused: readonly (readonly [position: number, why: StepRefusal])[], aheadMs: number): void {
    for (const [, why] of refused) this.#counts[why] += 1;
    const { early } = this.#counts;
    if (early === this.#earlyTold || aheadMs < aheadToldMs || monotonicMs() - this.#toldAt < tellEveryMs) return;
    this.#log(
      "warn",
      `the clock of this host is ${formatDuration(Math.round(aheadMs))} ahead of the leader's, and schedules wait for that one: steps refused as early: ${early - this.#earlyTold}`,
    );
    this.#toldAt = monotonicMs();
    this.#earlyTold = early;
  }
}
