import type { FireView } from "../state/answers.ts";
import { Histogram } from "./histogram.ts";

/** The instants that schedules of one interval must have had: the whole multiples of it from `first` to `last`, both counted. */
export interface Due {
  readonly first: number;
  readonly last: number;
  readonly everyMs: number;
}

/** Looks histories through for what was due: each instant must have made one job, and not before its time. */
export class FireLateness {
  /** From an instant, its jitter added, to the log's stamp of the fire. */
  readonly lags = new Histogram();
  /** Some of the jobs that were made, evenly chosen, with the moment at which they were due. */
  readonly sample: { readonly job: number; readonly dueAt: number }[] = [];
  readonly #due: Due;
  readonly #sampleEach: number;
  #fired = 0;
  #doubled = 0;
  #missed = 0;
  #early = 0;

  /** Every so manieth job comes into the sample. */
  constructor(due: Due, sampleEach: number) {
    this.#due = due;
    this.#sampleEach = sampleEach;
  }

  get counts(): { readonly fires: number; readonly doubled: number; readonly missed: number; readonly early: number } {
    return { fires: this.#fired, doubled: this.#doubled, missed: this.#missed, early: this.#early };
  }

  /** The whole history of a schedule, in any order. */
  look(lines: readonly FireView[]): void {
    const { first, last, everyMs } = this.#due;
    const seen = new Set<number>();
    for (const line of lines) {
      const at = Date.parse(line.at);
      if (line.job === undefined || at < first || at > last) continue;
      if (seen.has(at)) this.#doubled += 1;
      seen.add(at);
      this.#add(line, at);
    }
    for (let at = first; at <= last; at += everyMs) if (!seen.has(at)) this.#missed += 1;
  }

  #add({ fired_at: firedAt, lag_ms: lagMs = 0, job }: FireView, at: number): void {
    const stampedAt = Date.parse(firedAt!);
    const dueAt = stampedAt - lagMs;
    if (lagMs < 0 || stampedAt < at) this.#early += 1;
    this.lags.add(Math.max(0, lagMs));
    if (this.#fired % this.#sampleEach === 0) this.sample.push({ job: job!, dueAt });
    this.#fired += 1;
  }
}

/** A history says what became of everything up to that instant. */
export function reaches(lines: readonly FireView[], instant: number): boolean {
  return lines.some(({ at, until }) => Date.parse(until ?? at) >= instant);
}
