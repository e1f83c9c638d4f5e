/** What is wrong with a node set, and where: characters of the text from `at` on. */
export interface Mistake {
  readonly message: string;
  readonly at: number;
  readonly length: number;
}

export function mistake(message: string, at: number, length: number): Mistake {
  return { message, at, length };
}

/** Numbers, or letters, of which one stands in a name. */
interface Range {
  readonly first: number;
  readonly count: number;
  readonly step: number;
  /** How its numbers are written. */
  readonly write: (value: number) => string;
}

type Part = string | readonly Range[];

/** One name, or several that differ in numbers: parts in the order in which they stand, the first one slowest. */
export interface Pattern {
  readonly parts: readonly Part[];
  /** Known without making the names. */
  readonly count: number;
}

/** Reads one pattern, which begins at `at` of the whole text. */
export function readPattern(text: string, at: number): Pattern | Mistake {
  const addresses = addressesOf(text, at);
  if (addresses !== undefined) return addresses;
  if (text.startsWith("-"))
    return mistake(
      `no name begins with "-", which programs take for a flag: leave it out, and write flags before the targets`,
      at,
      1,
    );
  if (/^\.+$/.test(text))
    return mistake(`"${text}" is no name of a host: for the host itself write localhost`, at, text.length);
  if (/^[\da-fA-F:.]*:[\da-fA-F:.]*\/\d+$/.test(text))
    return mistake(
      "networks of IPv6 are not taken: write its addresses, as in 2001:db8::[1-9] or one by one",
      at,
      text.length,
    );
  const parts: Part[] = [];
  let count = 1;
  for (const { 0: piece, index } of text.matchAll(/\[[^\]]*\]|[^[]+/g)) {
    if (!piece.startsWith("[")) {
      const bad = /[^A-Za-z0-9._:-]/.exec(piece);
      if (bad !== null)
        return mistake(
          `"${bad[0]}" is in no name of a host: letters, digits and . _ - : are`,
          at + index + bad.index,
          1,
        );
      parts.push(piece);
      continue;
    }
    const ranges = readRanges(piece.slice(1, -1), at + index + 1);
    if ("message" in ranges) return ranges;
    parts.push(ranges);
    count *= ranges.reduce((sum, range) => sum + range.count, 0);
  }
  return { parts, count };
}

/** Four numbers that are no address since one is past 255, of the names of a pattern; undefined: there is none. */
export function noAddressIn(text: string, names: readonly string[]): string | undefined {
  if (!/^\d+(?:\.\d+){3}$/.test(text.replaceAll(/\[[^\]]*\]/g, "0"))) return undefined;
  return names.find((name) => name.split(".").some((number) => Number(number) > 255));
}

/** All names, the last number changing fastest. */
export function expandPattern({ parts }: Pattern): string[] {
  let names = [""];
  for (const part of parts) {
    if (typeof part === "string") names = names.map((name) => name + part);
    else {
      const values = part.flatMap(({ first, count, step, write }) =>
        Array.from({ length: count }, (_, nth) => write(first + nth * step)),
      );
      names = names.flatMap((name) => values.map((value) => name + value));
    }
  }
  return names;
}

/** Ranges between brackets, with commas between them. */
function readRanges(text: string, at: number): Range[] | Mistake {
  if (text.trim() === "") return mistake("empty range: write numbers between the brackets, as in [1-3,7]", at - 1, 2);
  const ranges: Range[] = [];
  let from = at;
  for (const part of text.split(",")) {
    const range = readRange(part.trim(), from + part.length - part.trimStart().length);
    if ("message" in range) return range;
    ranges.push(range);
    from += part.length + 1;
  }
  return ranges;
}

/** `7`, `1-3`, `1-9/2`, and as Ansible writes them `1:3`, `1:9:2`, `a:f`. */
function readRange(text: string, at: number): Range | Mistake {
  const fail = (message: string): Mistake => mistake(message, at, Math.max(1, text.length));
  if (text === "") return fail("empty range: a number is missing between two commas");
  const letters = /^([a-z]):([a-z])$|^([A-Z]):([A-Z])$/.exec(text);
  if (letters !== null) {
    const [first, last] = [letters[1] ?? letters[3]!, letters[2] ?? letters[4]!].map((letter) => letter.charCodeAt(0));
    return last! < first!
      ? fail(`bad range: "${text}" ends before it begins`)
      : of(first!, last!, 1, String.fromCharCode);
  }
  const match = /^([^-:/]+)(?:[-:]([^-:/]+)(?:[/:]([^-:/]+))?)?$/.exec(text);
  if (match === null) return fail(`"${text}" is no range: write 5, 1-9, or 1-9/2 for every second one`);
  const [, start = "", end = start, stride = "1"] = match;
  const notNumber = [start, end, stride].find((word) => !/^\d{1,15}$/.test(word));
  if (notNumber !== undefined) return fail(`"${notNumber}" is no number (letters are written with a colon: [a:f])`);
  const isPadded = [start, end].some((word) => word.length > 1 && word.startsWith("0"));
  if (isPadded && start.length !== end.length)
    return fail(`padding length mismatch: ${start} and ${end} are not written with as many digits`);
  const [first, last, step] = [Number(start), Number(end), Number(stride)];
  if (last < first) return fail(`bad range: "${text}" ends before it begins`);
  if (step < 1) return fail(`"${text}" never moves on: a step is at least 1`);
  const width = isPadded ? start.length : 0;
  return of(first, last, step, (value) => String(value).padStart(width, "0"));
}

function of(first: number, last: number, step: number, write: (value: number) => string): Range {
  return { first, count: Math.floor((last - first) / step) + 1, step, write };
}

const address = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\/(\d+)|-(\d+(?:\.\d+){0,3}))?$/;

/**
 * `10.0.0.0/24` (of a network its hosts, without its own address and that of everybody), `10.0.0.1-50`, `10.0.0.200-10.0.1.50`; undefined: it is none of these.
 */
function addressesOf(text: string, at: number): Pattern | Mistake | undefined {
  const match = address.exec(text);
  if (match === null || (match[5] === undefined && match[6] === undefined)) return undefined;
  const octets = match.slice(1, 5).map(Number);
  const fail = (message: string): Mistake => mistake(message, at, text.length);
  if (octets.some((octet) => octet > 255)) return fail(`"${text}" is no address: its numbers end with 255`);
  const start = numberOf(octets);
  let [first, last] = [start, start];
  if (match[5] !== undefined) {
    const bits = Number(match[5]);
    if (bits > 32) return fail(`/${bits} is no network of IPv4: /0 to /32 are`);
    const size = 2 ** (32 - bits);
    if (start % size !== 0)
      return fail(
        `${text.split("/")[0]} does not begin a network of /${bits}: write ${addressOf(start - (start % size))}/${bits}`,
      );
    last = start + size - 1;
    if (size > 2) [first, last] = [first + 1, last - 1];
  } else {
    const given = match[6]!.split(".").map(Number);
    if (given.some((octet) => octet > 255)) return fail(`"${text}" is no range of addresses: its numbers end with 255`);
    last = numberOf([...octets.slice(0, 4 - given.length), ...given]);
    if (last < first) return fail(`bad range: "${text}" ends before it begins`);
  }
  const range = of(first, last, 1, addressOf);
  return { parts: [[range]], count: range.count };
}

function numberOf(octets: readonly number[]): number {
  return octets.reduce((sum, octet) => sum * 256 + octet, 0);
}

function addressOf(value: number): string {
  return [2 ** 24, 2 ** 16, 2 ** 8, 1].map((unit) => Math.floor(value / unit) % 256).join(".");
}
