/**
 * Whole numbers as people list them: "1,3,5-8", "0-99:2" (every second one). Kept as ranges, however many numbers they hold: nothing here costs more
 * for a million of them than for ten.
 */
export interface Range {
  readonly first: number;
  /** The last number that it holds. */
  readonly last: number;
  readonly step: number;
}

/** Ranges in ascending order that do not reach into each other. */
export interface RangeList {
  readonly ranges: readonly Range[];
  /** How many numbers come before each range, and after the last one all of them. */
  readonly before: readonly number[];
  readonly count: number;
}

const form = /^(\d{1,15})(?:-(\d{1,15})(?::(\d{1,15}))?)?$/;

/**
 * The numbers that the text lists, or what is wrong with it. They are a set: their order in the text says nothing, and a number that is listed
 * twice, or ranges that reach into each other, are refused, since one of the two is a mistake.
 */
export function parseRanges(text: string): RangeList | string {
  const ranges: Range[] = [];
  for (const part of text.split(",")) {
    const match = form.exec(part.trim());
    if (match === null)
      return `"${part.trim()}" is no range: write 5, 0-99, 0-99:2, or several with commas between them`;
    const first = Number(match[1]);
    const end = match[2] === undefined ? first : Number(match[2]);
    const step = match[3] === undefined ? 1 : Number(match[3]);
    if (end < first) return `"${part.trim()}" is empty: its first number is the larger one`;
    if (step === 0) return `"${part.trim()}" never moves on: a step is at least 1`;
    ranges.push({ first, last: end - ((end - first) % step), step });
  }
  ranges.sort((a, b) => a.first - b.first);
  for (const [at, range] of ranges.entries()) {
    const earlier = ranges[at - 1];
    if (earlier !== undefined && range.first <= earlier.last)
      return `${formatRange(earlier)} and ${formatRange(range)} reach into each other: list each number once`;
  }
  return rangeList(ranges);
}

/** Of ranges that are in order and apart. */
export function rangeList(ranges: readonly Range[]): RangeList {
  const before: number[] = [0];
  let count = 0;
  for (const range of ranges) before.push((count += sizeOf(range)));
  return { ranges, before, count };
}

function sizeOf({ first, last, step }: Range): number {
  return (last - first) / step + 1;
}

/** The number at a position, from 0 on; undefined: there are not so many. */
export function numberAt({ ranges, before, count }: RangeList, position: number): number | undefined {
  if (position < 0 || position >= count) return undefined;
  let [low, high] = [0, ranges.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (before[middle]! <= position) low = middle;
    else high = middle - 1;
  }
  const { first, step } = ranges[low]!;
  return first + (position - before[low]!) * step;
}

/** The other way round: the position of a number; undefined: it is not listed. */
export function positionOf({ ranges, before }: RangeList, number: number): number | undefined {
  let [low, high] = [0, ranges.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (ranges[middle]!.first <= number) low = middle;
    else high = middle - 1;
  }
  const range = ranges[low];
  if (range === undefined || number < range.first || number > range.last) return undefined;
  const steps = (number - range.first) / range.step;
  return Number.isInteger(steps) ? before[low]! + steps : undefined;
}

/**
 * Positions in a list, as ranges -> the numbers that are there, as ranges again. Costs the ranges on both sides, not the numbers in them. Every position
 * must be in the list.
 */
export function* through(positions: Iterable<Range>, { ranges, before }: RangeList): Generator<Range, void, undefined> {
  let run = 0;
  for (const { first, last, step } of positions) {
    for (let at = first; at <= last;) {
      while (before[run + 1]! <= at) run += 1;
      const of = ranges[run]!;
      const most = Math.min(last, before[run + 1]! - 1);
      const end = most - ((most - at) % step);
      const number = (position: number): number => of.first + (position - before[run]!) * of.step;
      yield { first: number(at), last: number(end), step: at === end ? 1 : step * of.step };
      at = end + step;
    }
  }
}

/** As people would write it; reading it again gives the same list. */
export function formatRanges(ranges: readonly Range[]): string {
  return ranges.map(formatRange).join(",");
}

function formatRange({ first, last, step }: Range): string {
  if (first === last) return String(first);
  return step === 1 ? `${first}-${last}` : `${first}-${last}:${step}`;
}

/** Gathers ascending numbers into ranges. */
export class RangeGatherer {
  readonly #ranges: { first: number; last: number; readonly step: 1 }[] = [];
  #count = 0;

  /** Larger than all before. */
  add(number: number): void {
    this.addRun(number, number);
  }

  /** All numbers from `first` to `last`, larger than all before. */
  addRun(first: number, last: number): void {
    this.#count += last - first + 1;
    const open = this.#ranges.at(-1);
    if (open?.last === first - 1) open.last = last;
    else this.#ranges.push({ first, last, step: 1 });
  }

  get count(): number {
    return this.#count;
  }

  get ranges(): readonly Range[] {
    return this.#ranges;
  }
}
