import { mergeSpans, type Span } from "./calendar-events.ts";
import { limits } from "./limits.ts";

/** Spans as they come, merged now and then, so that none of it takes long at once. */
export class CollectedSpans {
  #spans: Span[] = [];
  #mergedLength = 0;
  added = 0;
  /** There are far too many of them. */
  isFull = false;

  add(from: number, to: number): void {
    this.#spans.push([from, to]);
    this.added += 1;
    if (this.#spans.length - this.#mergedLength < limits.calendarSpans) return;
    this.#spans = mergeSpans(this.#spans);
    this.#mergedLength = this.#spans.length;
    // What comes later may still join some of them.
    this.isFull = this.#mergedLength > 2 * limits.calendarSpans;
  }

  spans(): Span[] {
    return mergeSpans(this.#spans);
  }
}
