/**
 * Is a history of submits and reads linearizable? The jobs of a mesh are a counter: a submit gives the next id, a read of the newest
 * job gives the last id that was given. Every id is given once, so the order is told by the values and only needs to be compared with
 * the clock: this is exact, and takes n log n where a search over orders would not end.
 */

/** One call of a client, from before its first attempt until after its answer, on one monotonic clock. */
export interface Operation {
  readonly kind: "submit" | "read";
  readonly client: number;
  readonly beganMs: number;
  /** Infinity: no answer came, and it may take effect at any later time. */
  readonly endedMs: number;
  /** The id that was given, or the newest that was seen (0: none). undefined: no answer. */
  readonly value: number | undefined;
}

/**
 * Why the history cannot be explained by any order of its operations; empty when it can. At most `most` of all reasons. It must hold all
 * submits that there ever were.
 */
export function refuted(history: readonly Operation[], most = 10): string[] {
  const answered = history.filter((one): one is Operation & { readonly value: number } => one.value !== undefined);
  const problems: string[] = [];
  const given = new Map<number, Operation>();
  for (const one of answered) {
    if (one.kind !== "submit") continue;
    const other = given.get(one.value);
    if (other !== undefined) problems.push(`id ${one.value} was given twice: ${told(other)}, ${told(one)}`);
    given.set(one.value, one);
  }

  // A value that no answer explains is that of a submit whose answer was lost; it began before the value was seen.
  const lost = history.filter((one) => one.kind === "submit" && one.value === undefined);
  // So is one that was passed over: there is no 3 without a 2.
  const unexplained = new Map<number, number>();
  let seenMs = Infinity;
  const down = answered.toSorted((a, b) => b.value - a.value);
  for (let value = down[0]?.value ?? 0, at = 0; value > 0; value--) {
    for (; at < down.length && down[at]!.value >= value; at++) seenMs = Math.min(seenMs, down[at]!.endedMs);
    if (!given.has(value)) unexplained.set(value, seenMs);
  }
  const begins = lost.map((one) => one.beganMs).toSorted((a, b) => a - b);
  [...unexplained]
    .toSorted(([a], [b]) => a - b)
    .forEach(([value, seenMs], at) => {
      if (begins[at] === undefined || begins[at] > seenMs)
        problems.push(`id ${value} was seen, and nobody had asked for it`);
    });

  // Submit v, then the reads that saw v, then submit v + 1: nothing of that order may begin after something later in it has ended.
  const order = answered.toSorted((a, b) => a.value - b.value || rank(a) - rank(b) || a.beganMs - b.beganMs);
  let latest: Operation | undefined;
  let waiting: Operation[] = [];
  let group = "";
  for (const one of order) {
    const own = `${one.value} ${one.kind}`;
    if (own !== group) {
      for (const each of waiting) if (latest === undefined || each.beganMs > latest.beganMs) latest = each;
      waiting = [];
      group = own;
    }
    waiting.push(one);
    if (latest !== undefined && one.endedMs < latest.beganMs) {
      problems.push(`${told(one)} had ended before ${told(latest)} began`);
      if (problems.length >= most) break;
    }
  }
  return problems.slice(0, most);
}

const rank = (one: Operation): number => (one.kind === "submit" ? 0 : 1);

function told({ kind, client, value, beganMs, endedMs }: Operation): string {
  const what = kind === "submit" ? `the submit of ${value}` : `a read that saw ${value}`;
  return `${what} (client ${client}, ${beganMs.toFixed(1)} to ${endedMs.toFixed(1)} ms)`;
}
