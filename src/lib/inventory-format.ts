import { readIni } from "./inventory-ini.ts";
import { readList } from "./inventory-list.ts";
import { readTree } from "./inventory-tree.ts";
import type { InventoryRead } from "./inventory.ts";

/** What an inventory may be written in. YAML is read into a value by whoever has its text, and goes on as JSON. */
export const inventoryFormats = ["json", "yaml", "ini", "list"] as const;
export type InventoryFormat = (typeof inventoryFormats)[number];

/** By the name of the file where that says it, else by how the text looks. */
export function guessFormat(text: string, file = ""): InventoryFormat {
  const ending = /\.(json|ya?ml|ini)$/i.exec(file)?.[1]?.toLowerCase();
  if (ending !== undefined) return ending === "yml" ? "yaml" : (ending as InventoryFormat);
  const lines = text.split(/\r\n|\r|\n/).map((line) => line.trim());
  const said = lines.filter((line) => line !== "" && !line.startsWith("#") && !line.startsWith(";"));
  const [first = ""] = said;
  if (first.startsWith("{") || /^\[\s*(?:["{\]]|$)/.test(first)) return "json";
  if (first === "---" || /^["']?[\w.-]+["']?:(?:\s|$)/.test(first)) return "yaml";
  const isIni = said.some((line) => /^\[[^\s[\]]+\](?:\s*#.*)?$/.test(line) || /^\S+\s+[A-Za-z_]\w*=/.test(line));
  return isIni ? "ini" : "list";
}

/** Reads what is no YAML. Rests now and then. */
export function* readInventory(
  text: string,
  format: Exclude<InventoryFormat, "yaml">,
): Generator<undefined, InventoryRead, undefined> {
  if (format === "ini") return yield* readIni(text);
  if (format === "list") return yield* readList(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const message = `it is not JSON: ${error instanceof Error ? error.message : String(error)}`;
    return { ok: false, problems: [{ path: "", message }] };
  }
  yield;
  return yield* readTree(value);
}
