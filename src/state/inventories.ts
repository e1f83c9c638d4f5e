import { everybody, factsOf, type HostFacts, parentsOf, type Vars } from "../lib/inventory.ts";
import { type GroupLine, type Head, hostLineIn, pieceOfHost, positionsIn } from "../lib/inventory-pieces.ts";
import { Recent } from "../lib/memo.ts";
import { headOf, pieceText } from "./tables/inventory.ts";
import type { ReadTx } from "./tx.ts";

/** Groups of an inventory, and which are in which. */
interface Groups {
  readonly byName: ReadonlyMap<string, GroupLine>;
  readonly parents: ReadonlyMap<string, readonly string[]>;
}

/** What is called by its digest never changes. */
const groupsRead = new Recent<Groups>(16);
const piecesRead = new Recent<string>(128);

/** All hosts, in the order of the file; undefined: the content is not there. */
export function hostsIn(tx: ReadTx, content: string): readonly string[] | undefined {
  return headOf(tx, content)?.names.flatMap((hash) => pieceText(tx, hash)!.split("\n"));
}

function groupsIn(tx: ReadTx, content: string, head: Head): Groups {
  const known = groupsRead.get(content);
  if (known !== undefined) return known;
  const lines = head.groups.flatMap((hash) => pieceText(tx, hash)!.split("\n"));
  const byName = new Map(
    lines.map((line): [string, GroupLine] => {
      const group = JSON.parse(line) as GroupLine;
      return [group[0], group];
    }),
  );
  const parents = parentsOf(
    [...byName].map(([name, [, , children]]): [string, { children: ReadonlySet<string> }] => [
      name,
      { children: new Set(children) },
    ]),
  );
  const groups = { byName, parents };
  groupsRead.set(content, groups);
  return groups;
}

/** All groups, by name; `all` and `ungrouped` where they have variables. */
export function groupLinesIn(tx: ReadTx, content: string): readonly GroupLine[] {
  const head = headOf(tx, content);
  return head === undefined ? [] : [...groupsIn(tx, content, head).byName.values()];
}

/** Names of all groups, `all` and `ungrouped` aside. */
export function groupNamesIn(tx: ReadTx, content: string): readonly string[] {
  return groupLinesIn(tx, content)
    .map(([name]) => name)
    .filter((name) => name !== everybody && name !== ungrouped);
}

const ungrouped = "ungrouped";

/** Hosts of a group and of all groups in it, in the order of the file; undefined: there is no such group. */
export function membersOf(tx: ReadTx, content: string, group: string): readonly string[] | undefined {
  const head = headOf(tx, content);
  if (head === undefined) return undefined;
  if (group === everybody) return hostsIn(tx, content);
  const { byName } = groupsIn(tx, content, head);
  const isIn = new Uint8Array(head.count);
  const take = (names: Iterable<string>): void => {
    const seen = new Set<string>();
    const open = [...names];
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      if (seen.has(name)) continue;
      seen.add(name);
      const [, members = "", children = []] = byName.get(name) ?? [];
      for (const at of positionsIn(members)) isIn[at] = 1;
      open.push(...children);
    }
  };
  if (group === ungrouped) {
    take(byName.keys());
    return (hostsIn(tx, content) ?? []).filter((_, at) => isIn[at] === 0);
  }
  if (!byName.has(group)) return undefined;
  take([group]);
  return (hostsIn(tx, content) ?? []).filter((_, at) => isIn[at] === 1);
}

/** Groups and variables of one host: one piece of hosts is read; undefined: it is not in the inventory. */
export function hostIn(tx: ReadTx, content: string, name: string): HostFacts | undefined {
  const head = headOf(tx, content);
  const hash = head && pieceOfHost(head, name);
  if (head === undefined || hash === undefined) return undefined;
  let piece = piecesRead.get(hash);
  if (piece === undefined) {
    piece = pieceText(tx, hash);
    if (piece === undefined) return undefined;
    piecesRead.set(hash, piece);
  }
  const line = hostLineIn(piece, name);
  if (line === undefined) return undefined;
  const { byName, parents } = groupsIn(tx, content, head);
  return factsOf(line[1], line[2], parents, (group) => byName.get(group)?.[3]);
}

/** What several inventories say of a host together: a later one wins. Undefined: none knows it. */
export function hostInAll(tx: ReadTx, contents: readonly string[], name: string): HostFacts | undefined {
  let merged: HostFacts | undefined;
  for (const content of contents) {
    const found = hostIn(tx, content, name);
    if (found === undefined) continue;
    if (merged === undefined) merged = found;
    else {
      const vars: Vars = { ...merged.vars, ...found.vars };
      merged = { groups: [...new Set([...merged.groups, ...found.groups])].toSorted(), vars };
    }
  }
  return merged;
}
