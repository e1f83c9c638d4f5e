/**
 * Fair share (one line per submitter): of those whose jobs have the same priority whoever uses least for their weight goes next. A task counts its slots, and one without
 * any counts one. Compared by multiplication, so exactly.
 */
export interface Submitter {
  readonly name: string;
  weight: number;
  /** What runs of their jobs, and is proposed. */
  used: number;
  /** Their unfinished jobs in the view. */
  jobs: number;
}

/** Below 0: a uses less for its weight than b; 0: as much. */
export function compareShares(a: Submitter, b: Submitter): number {
  return a.used * b.weight - b.used * a.weight;
}

/** Something that waits in the line of a submitter. */
export interface InLine {
  readonly submitter: Submitter;
  /** Of the first that waits: who uses as much goes by it. */
  age(): number;
}

/** Lines by share, then by age: a binary heap, whose first line changes while it is served. */
export class Lines<Line extends InLine> {
  readonly #heap: Line[];

  constructor(lines: readonly Line[]) {
    this.#heap = lines.toSorted(compareLines);
  }

  first(): Line | undefined {
    return this.#heap[0];
  }

  /** Who comes after the first; undefined: nobody. */
  second(): Line | undefined {
    const [, left, right] = this.#heap;
    return left === undefined || right === undefined || compareLines(left, right) <= 0 ? left : right;
  }

  /** The first line was served, and may have to stand back. */
  settle(): void {
    const heap = this.#heap;
    let at = 0;
    while (true) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < heap.length && compareLines(heap[child]!, heap[least]!) < 0) least = child;
      if (least === at) return;
      [heap[least], heap[at]] = [heap[at]!, heap[least]!];
      at = least;
    }
  }

  /** Nothing more of the first line can be placed. */
  drop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.settle();
  }
}

/** Whose turn it is: the first goes on while this is not above 0. */
export function compareLines(a: InLine, b: InLine): number {
  return compareShares(a.submitter, b.submitter) || a.age() - b.age();
}
