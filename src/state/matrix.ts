import { assert } from "../lib/assert.ts";
import type { Matrix, MatrixPoint, MatrixValue } from "./types.ts";

/**
 * The points of a matrix, each found by its number without making the others. What the words mean is what GitHub Actions made usual:
 *
 *   - The keys' values are combined, the first key slowest.
 *   - `exclude` takes out every combination that agrees with all keys of an entry.
 *   - `include` is read after that, entry by entry. One that agrees with combinations in all of the matrix' own keys that it names is added to
 *     these: its other keys are new ones, or overwrite what an earlier entry added. One that agrees with none is a point of its own, after all
 *     combinations, and no later entry is added to it.
 *
 * Values agree when they are written alike: 8 and "8" are the same, as they are in the environment of a task.
 */
export class MatrixPoints {
  readonly count: number;
  readonly #axes: readonly Axis[];
  /** Which combinations are left; undefined: all. */
  readonly #left: BitSet | undefined;
  readonly #combinations: number;
  readonly #additions: readonly Addition[];
  readonly #own: readonly MatrixPoint[];

  /** Not for a matrix of more combinations than limits.matrixPoints: one bit is kept of each where some are excluded. */
  constructor({ keys, exclude = [], include = [] }: Matrix) {
    this.#axes = axesOf(keys);
    const all = combinationsOf(keys);
    const boxes = exclude.flatMap((entry) => this.#boxOf(entry) ?? []);
    if (boxes.length > 0 && all > 0) {
      const left = new BitSet(all);
      this.#exclude(left, 0, 0, boxes);
      left.seal();
      this.#left = left;
    }
    this.#combinations = this.#left?.count ?? all;
    const own: MatrixPoint[] = [];
    const additions: Addition[] = [];
    for (const entry of include) {
      const box = this.#combinations === 0 ? undefined : this.#boxOf(entry);
      if (box === undefined || !this.#isAnyLeft(box, boxes)) own.push(entry);
      else additions.push({ box, added: Object.entries(entry).filter(([key]) => !Object.hasOwn(keys, key)) });
    }
    this.#own = own;
    this.#additions = additions.filter(({ added }) => added.length > 0);
    this.count = this.#combinations + own.length;
  }

  /** Keys in the order of the matrix, then those that `include` adds. */
  at(number: number): MatrixPoint {
    assert(number >= 0 && number < this.count, `the matrix has no point ${number}`);
    if (number >= this.#combinations) return this.#own[number - this.#combinations]!;
    const combination = this.#left?.at(number) ?? number;
    const point: Record<string, MatrixValue> = {};
    const positions: number[] = [];
    for (const { key, values, stride } of this.#axes) {
      const position = Math.floor(combination / stride) % values.length;
      positions.push(position);
      point[key] = values[position]!;
    }
    for (const { box, added } of this.#additions) {
      if (box.positions.every((position, axis) => position === any || position === positions[axis]))
        for (const [key, value] of added) point[key] = value;
    }
    return point;
  }

  /** The combinations that agree with an entry in those of its keys that are the matrix' own; undefined: none of all does. */
  #boxOf(entry: MatrixPoint): Box | undefined {
    let last = -1;
    const positions: number[] = [];
    for (const [axis, { key, places }] of this.#axes.entries()) {
      if (!Object.hasOwn(entry, key)) {
        positions.push(any);
        continue;
      }
      const position = places.get(String(entry[key]));
      if (position === undefined) return undefined;
      positions.push(position);
      last = axis;
    }
    return { positions, last };
  }

  /**
   * Takes out what these boxes hold of the combinations from `first` on that have the axes before `axis` in common. Goes only where a box is undecided,
   * so that a box is dealt with in as few steps as it has runs of neighbours.
   */
  #exclude(left: BitSet, axis: number, first: number, boxes: readonly Box[]): void {
    if (boxes.some((box) => box.last < axis)) return left.remove(first, this.#spanFrom(axis));
    const free: Box[] = [];
    const fixed = new Map<number, Box[]>();
    for (const box of boxes) {
      const position = box.positions[axis]!;
      const alike = position === any ? free : (fixed.get(position) ?? []);
      if (position !== any) fixed.set(position, alike);
      alike.push(box);
    }
    const { stride, values } = this.#axes[axis]!;
    if (free.length === 0) {
      for (const [position, some] of fixed) this.#exclude(left, axis + 1, first + position * stride, some);
      return undefined;
    }
    for (let position = 0; position < values.length; position++) {
      const some = fixed.get(position);
      const both = some === undefined ? free : [...free, ...some];
      this.#exclude(left, axis + 1, first + position * stride, both);
    }
    return undefined;
  }

  /** Whether the boxes that were excluded leave something of this one. */
  #isAnyLeft(box: Box, excluded: readonly Box[]): boolean {
    const terms: Term[] = [];
    for (const other of excluded) {
      const term = new Map<number, number>();
      const isApart = other.positions.some((position, axis) => {
        const own = box.positions[axis]!;
        if (position !== any && own === any) term.set(axis, position);
        return position !== any && own !== any && position !== own;
      });
      if (!isApart) terms.push(term);
    }
    return !this.#isCovered(terms);
  }

  /**
   * Whether these terms hold every combination between them. Looks at axes that they name and at no combination: there may be a million of them, and 256
   * entries that ask.
   */
  #isCovered(terms: readonly Term[]): boolean {
    let share = 0;
    const named = new Map<number, number>();
    for (const term of terms) {
      let own = 1;
      for (const axis of term.keys()) {
        own /= this.#axes[axis]!.values.length;
        named.set(axis, (named.get(axis) ?? 0) + 1);
      }
      if (term.size === 0) return true;
      share += own;
    }
    // What is less than everything leaves something; the margin is more than rounding can make.
    if (share < 1 - 1e-6) return false;
    let [axis, most] = [0, 0];
    for (const [one, times] of named) if (times > most) [axis, most] = [one, times];
    const free = terms.filter((term) => !term.has(axis));
    const byPosition = new Map<number, Term[]>();
    for (const term of terms) {
      const position = term.get(axis);
      if (position === undefined) continue;
      const rest = new Map(term);
      rest.delete(axis);
      const alike = byPosition.get(position);
      if (alike === undefined) byPosition.set(position, [rest]);
      else alike.push(rest);
    }
    if (byPosition.size < this.#axes[axis]!.values.length && !this.#isCovered(free)) return false;
    for (const some of byPosition.values()) if (!this.#isCovered([...free, ...some])) return false;
    return true;
  }

  /** Combinations that have the axes before this one in common. */
  #spanFrom(axis: number): number {
    const of = this.#axes[axis];
    return of === undefined ? 1 : of.stride * of.values.length;
  }
}

/** How many combinations the values make, before anything is excluded. May be larger than any number that is exact. */
export function combinationsOf(keys: Matrix["keys"]): number {
  const sizes = Object.values(keys).map((values) => values.length);
  return sizes.length === 0 ? 0 : sizes.reduce((product, size) => product * size, 1);
}

interface Axis {
  readonly key: string;
  readonly values: readonly MatrixValue[];
  /** Positions of the values by how they are written. */
  readonly places: ReadonlyMap<string, number>;
  /** How far two neighbours on this axis are apart. */
  readonly stride: number;
}

function axesOf(keys: Matrix["keys"]): Axis[] {
  let stride = combinationsOf(keys);
  return Object.entries(keys).map(([key, values]) => {
    stride /= values.length;
    return { key, values, places: new Map(values.map((value, at) => [String(value), at])), stride };
  });
}

const any = -1;

/** What an entry picks out: a position on each axis, or any. */
interface Box {
  readonly positions: readonly number[];
  /** The last axis that it says something about. */
  readonly last: number;
}

/** What is left to be said of a box within another one: positions by axis. */
type Term = ReadonlyMap<number, number>;

interface Addition {
  readonly box: Box;
  readonly added: readonly (readonly [key: string, value: MatrixValue])[];
}

const blockWords = 16;

/** The numbers 0 to size - 1, of which some are taken out; then each of the rest is found by its place. */
class BitSet {
  readonly #words: Uint32Array;
  /** How many are left before each block of words. */
  readonly #ranks: Uint32Array;
  count = 0;

  constructor(size: number) {
    this.#words = new Uint32Array(Math.ceil(size / 32)).fill(0xffff_ffff);
    this.#ranks = new Uint32Array(Math.ceil(this.#words.length / blockWords) + 1);
    const rest = size % 32;
    if (rest > 0) this.#words[this.#words.length - 1] = 2 ** rest - 1;
  }

  remove(first: number, count: number): void {
    const end = first + count;
    for (let at = first; at < end;) {
      const word = at >>> 5;
      const low = at & 31;
      const high = Math.min(32, low + end - at);
      const mask = high - low === 32 ? 0xffff_ffff : ((2 ** (high - low) - 1) << low) >>> 0;
      this.#words[word]! &= ~mask;
      at += high - low;
    }
  }

  /** Counts what is left: nothing is taken out any more. */
  seal(): void {
    let count = 0;
    for (const [at, word] of this.#words.entries()) {
      if (at % blockWords === 0) this.#ranks[at / blockWords] = count;
      count += bitsIn(word);
    }
    this.#ranks[this.#ranks.length - 1] = count;
    this.count = count;
  }

  /** The number that has so many before it. */
  at(place: number): number {
    let [low, high] = [0, this.#ranks.length - 2];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#ranks[middle]! <= place) low = middle;
      else high = middle - 1;
    }
    let missing = place - this.#ranks[low]!;
    for (let at = low * blockWords; ; at++) {
      let word = this.#words[at]!;
      const bits = bitsIn(word);
      if (missing >= bits) {
        missing -= bits;
        continue;
      }
      for (; missing > 0; missing--) word &= word - 1;
      return at * 32 + (31 - Math.clz32(word & -word));
    }
  }
}

function bitsIn(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555);
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
