import { InventoryBuilder, type InventoryRead } from "./inventory.ts";
import { limits } from "./limits.ts";
import { expandNodeSet, shownMistake } from "./node-set.ts";

/** The plainest inventory: names or node sets (node-set.ts), one a line; # begins a comment. Rests now and then. */
export function* readList(text: string): Generator<undefined, InventoryRead, undefined> {
  const builder = new InventoryBuilder();
  let number = 0;
  for (const raw of text.split(/\r\n|\r|\n/)) {
    number += 1;
    if (number % linesAtOnce === 0) yield;
    if (builder.isFull) break;
    const line = raw.replace(/#.*$/, "").trim();
    if (line === "") continue;
    const path = `line ${number}`;
    const set = expandNodeSet(line, { most: limits.inventoryHosts });
    if (!set.ok) builder.refuse(path, shownMistake(line, set.mistake));
    else
      for (const name of set.names) {
        builder.host(name, "ungrouped", path);
        if (builder.isFull) break;
      }
  }
  return builder.close();
}

const linesAtOnce = 500;
