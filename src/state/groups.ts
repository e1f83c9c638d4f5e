import { distance } from "../lib/distance.ts";
import { limits } from "../lib/limits.ts";
import { groupNamesIn, hostsIn, membersOf } from "./inventories.ts";
import { inventoriesAfter, inventoryByName, type StoredInventory } from "./tables/inventory.ts";
import { targetsByFact } from "./tables/fact.ts";
import { allNodes } from "./tables/node.ts";
import { targetsIn } from "./tables/target.ts";
import type { ReadTx } from "./tx.ts";

/** What terms of node sets stand for, as the state had it when it was asked: `@inventory`, `@inventory:group`, `@*`, `*`, `@list:DIGEST`. */
export interface Groups {
  /** By the term as it is written. */
  readonly names: ReadonlyMap<string, readonly string[]>;
  /** The contents of inventories that a term reads: whose variables its hosts have. */
  readonly contents: ReadonlyMap<string, readonly string[]>;
  /** Of terms that stand for nobody: what may have been meant. */
  readonly hints: ReadonlyMap<string, string>;
}

/** As a job's own list is called where the expressions were too long to be kept: the same targets again. */
export const listGroup = "@list:";

/** What each of these terms stands for. */
export function readGroups(tx: ReadTx, terms: readonly string[]): Groups {
  const names = new Map<string, readonly string[]>();
  const contents = new Map<string, readonly string[]>();
  const hints = new Map<string, string>();
  for (const term of terms) {
    if (term.startsWith(listGroup)) {
      const list = targetsIn(tx, term.slice(listGroup.length));
      if (list !== undefined) names.set(term, list);
    } else if (term === "*" || term === "@*") {
      const all = everyInventory(tx);
      const found = new Set(all.flatMap(({ content }) => (content === null ? [] : (hostsIn(tx, content) ?? []))));
      if (found.size > 0) names.set(term, [...found]);
      contents.set(
        term,
        all.flatMap(({ content }) => content ?? []),
      );
      hints.set(term, "no inventory is set ('skein inventory set')");
    } else if (term.startsWith("@")) {
      const [inventory, group] = partsOf(term);
      const content = inventoryByName(tx, inventory)?.content ?? undefined;
      const found = content === undefined ? undefined : membersOf(tx, content, group ?? "all");
      if (found !== undefined) names.set(term, found);
      if (content !== undefined) contents.set(term, [content]);
      if (found === undefined || found.length === 0) hints.set(term, hintFor(tx, inventory, group));
    } else {
      const found = byLabelOrFact(tx, term);
      names.set(term, found);
      if (found.length === 0)
        hints.set(term, "no node has such a label, and of no host it is known ('skein facts gather')");
    }
  }
  return { names, contents, hints };
}

/** Contents of the inventories that some terms name, in their order: of a variable that several have, what was named last is in force. */
export function contentsOf(terms: readonly string[], { contents }: Groups): readonly string[] {
  return [...new Set(terms.flatMap((term) => contents.get(term) ?? []))];
}

/** `key=value` and `key!=value`: nodes of the mesh by their labels, then hosts by their facts. Who has no such label or fact is in neither. */
function byLabelOrFact(tx: ReadTx, term: string): string[] {
  const [, key = "", operator, value = ""] = /^([^=!]+)(!?=)(.*)$/.exec(term) ?? [];
  const isSame = operator === "=";
  const nodes = allNodes(tx).filter(
    ({ labels: { [key]: label } }) => label !== undefined && (label === value) === isSame,
  );
  return [...new Set([...nodes.map(({ name }) => name), ...targetsByFact(tx, key, isSame, value)])];
}

/** "@name:group" */
function partsOf(term: string): [inventory: string, group: string | undefined] {
  const at = term.indexOf(":");
  return at === -1 ? [term.slice(1), undefined] : [term.slice(1, at), term.slice(at + 1)];
}

function everyInventory(tx: ReadTx): StoredInventory[] {
  return inventoriesAfter(tx, "", limits.inventories);
}

function hintFor(tx: ReadTx, inventory: string, group: string | undefined): string {
  const all = everyInventory(tx);
  const row = all.find(({ name }) => name === inventory);
  if (row === undefined) {
    const holders = all.filter(({ content }) => content !== null && groupNamesIn(tx, content).includes(inventory));
    const [holder] = holders;
    if (group === undefined && holder !== undefined) return `a group of that name is @${holder.name}:${inventory}`;
    return all.length === 0
      ? "no inventory is set ('skein inventory set')"
      : `there ${listOf(
          inventory,
          all.map(({ name }) => name),
          "inventory",
          "inventories",
        )}`;
  }
  if (row.content === null) return `the command that gives inventory ${inventory} has not given anything yet`;
  if (group === undefined) return "it is empty";
  const groups = groupNamesIn(tx, row.content);
  if (groups.includes(group) || group === "ungrouped") return "the group has no host";
  return groups.length === 0
    ? `inventory ${inventory} has no groups`
    : `in ${inventory} there ${listOf(group, groups, "group", "groups")}`;
}

/** A few names, those that are most like the one that was written first. */
function listOf(written: string, names: readonly string[], one: string, many: string): string {
  const near = names.map((name): [number, string] => [distance(written, name), name]).toSorted(([a], [b]) => a - b);
  const shown = near.slice(0, namesShown).map(([, name]) => name);
  const more = names.length > shown.length ? ` and ${names.length - shown.length} more` : "";
  return `${names.length === 1 ? `is the ${one}` : `are the ${many}`} ${shown.join(", ")}${more}`;
}

const namesShown = 8;
