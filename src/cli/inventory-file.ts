import { isMap, isScalar, LineCounter, type Node, parseDocument } from "yaml";
import { guessFormat, type InventoryFormat, readInventory } from "../lib/inventory-format.ts";
import { readTree } from "../lib/inventory-tree.ts";
import type { InventoryRead } from "../lib/inventory.ts";
import type { Problem } from "../lib/outcome.ts";
import { atOnce } from "../lib/turns.ts";
import { CliError, exit } from "./exit.ts";

/** An inventory as it goes to the API. */
export type InventoryText =
  | { readonly text: string; readonly format: "json" | "ini" | "list" }
  | { readonly inventory: object };

/**
 * Reads an inventory as it was written. All that is wrong with it is found here, where its lines are known: throws CliError with every problem and its place.
 * `name` is the file's, `format` undefined: guessed.
 */
export function readInventoryFile(text: string, name: string, format: InventoryFormat | undefined): InventoryText {
  const form = format ?? guessFormat(text, name);
  if (form === "yaml") return yamlOf(text, name);
  const read = atOnce(readInventory(text, form));
  if (!read.ok) refuseAll(read, name, form, (path) => path.replace(/^line /, ""));
  return { text, format: form };
}

function yamlOf(text: string, name: string): InventoryText {
  const lineCounter = new LineCounter();
  // As Ansible reads it: YAML 1.1, in which yes is true; what its vault has encrypted stays what it is for it.
  const document = parseDocument(text, {
    version: "1.1",
    merge: true,
    lineCounter,
    prettyErrors: false,
    customTags: (tags) => [
      ...tags,
      { tag: "!vault", resolve: (value: string) => ({ __ansible_vault: value }) },
      { tag: "!unsafe", resolve: (value: string) => ({ __ansible_unsafe: value }) },
    ],
  });
  const lineOf = (offset: number): string => String(lineCounter.linePos(offset).line);
  if (document.errors.length > 0) {
    const problems = document.errors.map(({ pos, message }) => ({ path: `${name}:${lineOf(pos[0])}`, message }));
    throw new CliError(exit.usage, `${name} is not YAML`, problems);
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw new CliError(exit.usage, `${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const read = atOnce(readTree(value));
  if (!read.ok) refuseAll(read, name, "yaml", (path) => lineOf(offsetOf(document.contents, path)));
  return { inventory: value as object };
}

function refuseAll(
  read: Extract<InventoryRead, { readonly ok: false }>,
  name: string,
  format: InventoryFormat,
  lineOf: (path: string) => string,
): never {
  const problems = read.problems.map(({ path, message }): Problem => {
    if (path === "") return { path: name, message };
    const line = lineOf(path);
    return { path: /^\d+$/.test(line) ? `${name}:${line}` : `${name}: ${path}`, message };
  });
  throw new CliError(exit.usage, `${name} is no inventory that could be set (read as ${format})`, problems);
}

/** Where the innermost key of a path ("all.hosts.\"web1.lan\"[3]") stands. */
function offsetOf(root: Node | null, path: string): number {
  let node: unknown = root;
  let offset = 0;
  for (const [, quoted, plain] of path.matchAll(/("(?:[^"\\]|\\.)*")|([^.[\]"]+)/g)) {
    const key = quoted === undefined ? plain : (JSON.parse(quoted) as string);
    if (!isMap(node)) break;
    const pair = node.items.find((one) => isScalar(one.key) && String(one.key.value) === key);
    if (pair === undefined) break;
    offset = (pair.key as Node).range?.[0] ?? offset;
    node = pair.value;
  }
  return offset;
}
