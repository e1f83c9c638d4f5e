import { digestOfText } from "./digest.ts";
import type { Inventory, Vars } from "./inventory.ts";
import { limits } from "./limits.ts";
import { formatRanges, parseRanges } from "./ranges.ts";

/**
 * How an inventory is kept: as pieces of text, each called by its digest, and a head that names them, by whose digest all of it is called. Who changes one host changes two
 * or three pieces: where one ends is for the names at its end to say, not for how many went before. There are three kinds, each for one question:
 *
 *   names   names of hosts in the order of the file, one a line: what the whole inventory stands for
 *   groups  [name, positions of its own hosts, children, variables] a line: what a group stands for
 *   hosts   [name, its own groups, variables] a line, by name: what one host has, of which one piece is read
 */
export interface Head {
  readonly count: number;
  readonly names: readonly string[];
  readonly groups: readonly string[];
  /** With the name that it begins with. */
  readonly hosts: readonly (readonly [first: string, hash: string])[];
}

export type GroupLine = readonly [name: string, members: string, children: readonly string[], vars: Vars];
export type HostLine = readonly [name: string, groups: readonly string[], vars: Vars];

export interface Packed {
  /** Digest of the head. */
  readonly content: string;
  readonly head: Head;
  /** All of them, the head too. */
  readonly pieces: ReadonlyMap<string, string>;
  readonly hosts: number;
  readonly groups: number;
}

/** The same inventory gives the same pieces, whoever packs it. Undefined: one of its lines is longer than any piece may be. Rests now and then. */
export function* packInventory({ hosts, groups }: Inventory): Generator<undefined, Packed | undefined, undefined> {
  const pieces = new Map<string, string>();
  const names = [...hosts.keys()];
  const nameHashes = yield* inPieces(names, (at) => names[at]!, pieces);
  const members = new Map<string, number[]>();
  for (const [at, [, { groups: own }]] of [...hosts].entries()) {
    for (const group of own) {
      const known = members.get(group);
      if (known === undefined) members.set(group, [at]);
      else known.push(at);
    }
    if (at % linesAtOnce === 0) yield;
  }
  const sortedGroups = [...groups].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const groupLine = (at: number): string => {
    const [name, { children, vars }] = sortedGroups[at]!;
    return JSON.stringify([name, positionsText(members.get(name) ?? []), [...children].toSorted(), vars]);
  };
  const groupHashes = yield* inPieces(
    sortedGroups.map(([name]) => name),
    groupLine,
    pieces,
  );
  const sortedHosts = names.toSorted();
  const hostLine = (at: number): string => {
    const name = sortedHosts[at]!;
    const { groups: own, vars } = hosts.get(name)!;
    return JSON.stringify([name, [...own].toSorted(), vars]);
  };
  const hostHashes = yield* inPieces(sortedHosts, hostLine, pieces);
  for (const text of pieces.values()) if (text.length > limits.inventoryPieceMost) return undefined;
  const head: Head = {
    count: names.length,
    names: nameHashes.map(([, hash]) => hash),
    groups: groupHashes.map(([, hash]) => hash),
    hosts: hostHashes,
  };
  const text = JSON.stringify(head);
  const content = digestOfText(text);
  pieces.set(content, text);
  return { content, head, pieces, hosts: names.length, groups: groups.size };
}

const linesAtOnce = 500;

function* inPieces(
  names: readonly string[],
  lineOf: (at: number) => string,
  into: Map<string, string>,
): Generator<undefined, [first: string, hash: string][], undefined> {
  const made: [string, string][] = [];
  let [lines, length, first] = [[] as string[], 0, ""];
  const end = (): void => {
    if (lines.length === 0) return;
    const text = lines.join("\n");
    const hash = digestOfText(text);
    into.set(hash, text);
    made.push([first, hash]);
    [lines, length] = [[], 0];
  };
  for (const [at, name] of names.entries()) {
    const line = lineOf(at);
    // One that is long by itself is alone.
    if (length + line.length > limits.inventoryPieceBytes) end();
    if (lines.length === 0) first = name;
    lines.push(line);
    length += line.length + 1;
    if (isEnd(name)) end();
    if (at % linesAtOnce === 0) yield;
  }
  end();
  return made;
}

/** One name of 256, and always the same ones: FNV-1a. */
function isEnd(name: string): boolean {
  let hash = 0x811c9dc5;
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return ((hash ^ (hash >>> 13)) & 0xff) === 0;
}

/** "0-29,31", of numbers in ascending order. */
function positionsText(positions: readonly number[]): string {
  const ranges: { first: number; last: number; readonly step: 1 }[] = [];
  for (const position of positions) {
    const last = ranges.at(-1);
    if (last !== undefined && position === last.last + 1) last.last = position;
    else ranges.push({ first: position, last: position, step: 1 });
  }
  return formatRanges(ranges);
}

/** The positions again. */
export function* positionsIn(text: string): Generator<number, void, undefined> {
  if (text === "") return;
  const list = parseRanges(text);
  if (typeof list === "string") return;
  for (const { first, last } of list.ranges) for (let at = first; at <= last; at++) yield at;
}

/** The line of a host in the piece that it would be in. */
export function hostLineIn(piece: string, name: string): HostLine | undefined {
  const begin = `[${JSON.stringify(name)},`;
  const at = piece.startsWith(begin) ? 0 : piece.indexOf(`\n${begin}`) + 1;
  if (at === 0 && !piece.startsWith(begin)) return undefined;
  const end = piece.indexOf("\n", at);
  return JSON.parse(piece.slice(at, end === -1 ? undefined : end)) as HostLine;
}

/** The piece of hosts that a name would be in; undefined: it lies before all of them. */
export function pieceOfHost({ hosts }: Head, name: string): string | undefined {
  let [low, high] = [0, hosts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (hosts[middle]![0] <= name) low = middle + 1;
    else high = middle;
  }
  return hosts[low - 1]?.[1];
}

/** What differs between two inventories. */
export interface Differences {
  readonly added: number;
  readonly removed: number;
  /** Hosts of both with other variables or groups. */
  readonly changed: number;
  /** Groups that came, went, or have other children or variables. */
  readonly groups: number;
}

/** Only pieces that not both have are looked at. Rests after each. */
export function* differencesOf(
  before: Head | undefined,
  after: Head,
  textOf: (hash: string) => string | undefined,
): Generator<undefined, Differences, undefined> {
  const hashesOf = (head: Head | undefined, kind: "hosts" | "groups"): string[] =>
    head === undefined ? [] : kind === "groups" ? [...head.groups] : head.hosts.map(([, hash]) => hash);
  const linesOf = function* (hashes: readonly string[]): Generator<undefined, Map<string, string>, undefined> {
    const lines = new Map<string, string>();
    for (const hash of hashes) {
      for (const line of (textOf(hash) ?? "").split("\n")) {
        if (line === "") continue;
        const [name, ...rest] = JSON.parse(line) as GroupLine | HostLine;
        // Where a group's hosts stand is said anew whenever others come before them; which hosts are in it, these say.
        lines.set(name, JSON.stringify(rest.length === 3 ? rest.slice(1) : rest));
      }
      yield;
    }
    return lines;
  };
  const counts = { added: 0, removed: 0, changed: 0, groups: 0 };
  for (const kind of ["hosts", "groups"] as const) {
    const [old, young] = [hashesOf(before, kind), hashesOf(after, kind)];
    const [ofOld, ofYoung] = [new Set(old), new Set(young)];
    const former = yield* linesOf(old.filter((hash) => !ofYoung.has(hash)));
    const present = yield* linesOf(young.filter((hash) => !ofOld.has(hash)));
    for (const [name, line] of present) {
      const was = former.get(name);
      if (was === line) continue;
      if (kind === "groups") counts.groups += 1;
      else if (was === undefined) counts.added += 1;
      else counts.changed += 1;
    }
    for (const name of former.keys()) {
      if (present.has(name)) continue;
      if (kind === "groups") counts.groups += 1;
      else counts.removed += 1;
    }
  }
  return counts;
}
