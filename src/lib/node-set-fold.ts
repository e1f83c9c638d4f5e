/**
 * The other way round: names -> the shortest node set that this finds, for people to read. `web01 web02 web03 db1` is `db1,web[01-03]`; what differs in several numbers folds in all of
 * them where every combination is there. Reading the result again gives the same names.
 *
 * Names alike but for their numbers are folded one number after the other, the last one first: two that differ in that number alone become one. It takes as many steps
 * as there are names and numbers in them, and no search for the best cover, which is the costly part elsewhere.
 */
export function foldNames(names: Iterable<string>): string {
  const alike = new Map<string, Block[]>();
  for (const name of new Set(names)) {
    const parts = name.split(/(?<!\d)(\d{1,15})(?!\d)/);
    // Letters and numbers take turns; what makes two alike are the letters.
    const key = parts.filter((_, at) => at % 2 === 0).join("\0");
    const known = alike.get(key);
    const block = {
      letters: parts.filter((_, at) => at % 2 === 0),
      numbers: parts.filter((_, at) => at % 2 === 1).map((one) => [one]),
    };
    if (known === undefined) alike.set(key, [block]);
    else known.push(block);
  }
  return [...alike]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([, blocks]) => foldBlocks(blocks).map(write))
    .join(",");
}

/** Names that differ in numbers: all combinations of one of each. */
interface Block {
  readonly letters: readonly string[];
  /** As they are written, for each place. */
  readonly numbers: readonly (readonly string[])[];
}

function foldBlocks(blocks: readonly Block[]): Block[] {
  const places = blocks[0]!.numbers.length;
  let folded = [...blocks];
  for (let place = places - 1; place >= 0; place--) {
    const merged = new Map<string, { block: Block; values: string[] }>();
    for (const block of folded) {
      const key = block.numbers.map((values, at) => (at === place ? "" : values.join(","))).join(";");
      const known = merged.get(key);
      if (known === undefined) merged.set(key, { block, values: [...block.numbers[place]!] });
      else known.values.push(...block.numbers[place]!);
    }
    folded = Array.from(merged.values(), ({ block, values }) => ({
      ...block,
      numbers: block.numbers.map((before, at) => (at === place ? inOrder(values) : before)),
    }));
  }
  return folded.sort((a, b) =>
    compare(
      a.numbers.map((values) => values[0]!),
      b.numbers.map((values) => values[0]!),
    ),
  );
}

function compare(a: readonly string[], b: readonly string[]): number {
  for (const [at, one] of a.entries()) {
    const difference = order(one, b[at]!);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Those without padding first, then by width, then by number. */
function order(a: string, b: string): number {
  return widthOf(a) - widthOf(b) || Number(a) - Number(b) || (a < b ? -1 : a > b ? 1 : 0);
}

function inOrder(values: string[]): string[] {
  return values.sort(order);
}

/** Digits of a number that is written with zeros before it; 0: it is not. */
function widthOf(number: string): number {
  return number.length > 1 && number.startsWith("0") ? number.length : 0;
}

function write({ letters, numbers }: Block): string {
  return letters.map((word, at) => word + (numbers[at] === undefined ? "" : writeNumbers(numbers[at]))).join("");
}

function writeNumbers(values: readonly string[]): string {
  if (values.length === 1) return values[0]!;
  return `[${runsOf(values).join(",")}]`;
}

/** 08 09 10 11 is one run, though 10 has no zero before it: all are written with two digits. */
function runsOf(values: readonly string[]): string[] {
  const left = new Set(values);
  const runs: string[] = [];
  // The padded ones take what is as wide as they are.
  for (const padded of [true, false]) {
    for (const value of values) {
      if (!left.has(value) || widthOf(value) > 0 !== padded) continue;
      left.delete(value);
      let last = value;
      for (
        let next = after(last, padded ? value.length : 0);
        left.delete(next);
        next = after(next, padded ? value.length : 0)
      )
        last = next;
      runs.push(last === value ? value : `${value}-${last}`);
    }
  }
  // Of numbers that are all as wide none stands apart for its padding: 08 and 10 are two of one kind.
  const isOneWidth = new Set(values.map((value) => value.length)).size === 1;
  const first = (run: string): string => run.split("-")[0]!;
  return runs.sort((a, b) => (isOneWidth ? Number(first(a)) - Number(first(b)) : order(first(a), first(b))));
}

function after(number: string, width: number): string {
  return String(Number(number) + 1).padStart(width, "0");
}
