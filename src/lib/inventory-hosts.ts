import { limits } from "./limits.ts";
import { inGroups } from "./node-set.ts";

/** What a host of an Ansible inventory stands for: `web[01:30]`, `db[a:c]`, `n[1:9:2]`, with a port behind it. */
export interface HostPattern {
  readonly names: readonly string[];
  readonly port?: number | undefined;
}

/** The names, or what is wrong with the pattern. */
export function expandHosts(pattern: string): HostPattern | string {
  const withPort = /^\[(.+)\]:([0-9]+)$/.exec(pattern) ?? /^((?:[^:[\]]|\[[^\]]*\])*):([0-9]+)$/.exec(pattern);
  const host = withPort?.[1] ?? pattern;
  const port = withPort === null ? undefined : Number(withPort[2]);
  if (port !== undefined && (port < 1 || port > 65_535)) return `${port} is no port`;
  if (withPort === null && /[^:]:$/.test(pattern) && !/\[[^\]]*$/.test(pattern))
    return `"${pattern}" ends in ":", behind which a port would stand`;
  if (host === "---") return `"---" begins a YAML file: say --format yaml`;
  const names = expandRanges(host);
  return typeof names === "string" ? names : { names, port };
}

function expandRanges(text: string): string[] | string {
  const open = text.indexOf("[");
  const close = text.indexOf("]", open);
  if (open === -1) return text.includes("]") ? `"${text}" has a "]" without a "[" before it` : [text];
  if (close === -1) return `"${text}" has a "[" that is not closed by a "]"`;
  const range = rangeOf(text.slice(open + 1, close));
  if (typeof range === "string") return `"${text}": ${range}`;
  const rest = expandRanges(text.slice(close + 1));
  if (typeof rest === "string") return rest;
  const count = range.length * rest.length;
  if (count > limits.inventoryHosts)
    return `"${text}" stands for ${inGroups(count)} hosts, and an inventory holds at most ${inGroups(limits.inventoryHosts)}`;
  const head = text.slice(0, open);
  return range.flatMap((middle) => rest.map((tail) => head + middle + tail));
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** begin:end or begin:end:step, numbers or letters. */
function rangeOf(text: string): string[] | string {
  const bounds = text.split(":");
  const [begin = "", end = "", step = "1"] = bounds;
  if (bounds.length < 2 || bounds.length > 3) return `a range is [begin:end] or [begin:end:step], and not [${text}]`;
  if (end === "") return `the range [${text}] has no end`;
  if (!/^[1-9]\d{0,8}$/.test(step)) return `the step of [${text}] is no whole number above 0`;
  const isLetters = /^[A-Za-z]$/.test(begin) && /^[A-Za-z]$/.test(end);
  if (!isLetters && (!/^\d{0,15}$/.test(begin) || !/^\d{1,15}$/.test(end)))
    return `a range goes from a number to a number or from a letter to a letter, and not [${text}]`;
  const width = /^0\d/.test(begin) ? begin.length : 0;
  if (width > 0 && width !== end.length)
    return `begin and end of [${text}] are of different length, and leading zeros want the same`;
  const [first, last] = isLetters ? [letters.indexOf(begin), letters.indexOf(end)] : [Number(begin), Number(end)];
  if (first > last) return `the range [${text}] ends before it begins`;
  const count = Math.floor((last - first) / Number(step)) + 1;
  if (count > limits.inventoryHosts)
    return `[${text}] stands for ${inGroups(count)} hosts, and an inventory holds at most ${inGroups(limits.inventoryHosts)}`;
  return Array.from({ length: count }, (_, at) => {
    const value = first + at * Number(step);
    return isLetters ? letters[value]! : String(value).padStart(width, "0");
  });
}
