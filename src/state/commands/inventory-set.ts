import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { settledWell } from "../refreshing.ts";
import {
  countInventories,
  firstVersion,
  hasContent,
  hasPiece,
  headOf,
  insertVersion,
  inventoryByName,
  piecesOf,
  removeVersion,
  versionsOf,
  writeInventory,
} from "../tables/inventory.ts";
import { digest, inventoryName } from "./inventory-schema.ts";
import { count, jobIdShape } from "./shapes.ts";

interface InventorySet {
  readonly name: string;
  /** Digest of its head (lib/inventory-pieces.ts), whose pieces have been put. */
  readonly content: string;
  /** What is in force as whoever asks has seen it, which the differences are counted from; null: nothing. */
  readonly base: string | null;
  readonly hosts: number;
  readonly groups: number;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  readonly changedGroups: number;
  readonly origin: string;
  /** The job whose output it is, where a command sets it. */
  readonly job: number | null;
}

const shape = z.strictObject({
  name: inventoryName,
  content: digest,
  base: digest.nullable(),
  hosts: count.max(limits.inventoryHosts),
  groups: count.max(limits.inventoryGroups),
  added: count,
  removed: count,
  changed: count,
  changedGroups: count,
  origin: z.string().max(limits.nameLength),
  job: jobIdShape.nullable(),
});

export const inventorySet = command<InventorySet>()({
  name: "inventory.set",
  tag: 101,
  since: 3,
  right: "jobs:write",
  doc: "Makes pieces that were put a new version of an inventory; the same again changes nothing.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, payload, context) {
    const { name, content, base, hosts, groups, job } = payload;
    const before = inventoryByName(tx, name);
    if (job !== null && before?.job !== job) return refuse("conflict", `job ${job} is not what ${name} waits for`);
    if ((before?.content ?? null) !== base)
      return refuse(
        "conflict",
        `inventory ${name} has been set by somebody else meanwhile: look at it, and set it again`,
      );
    if (before === undefined && countInventories(tx) >= limits.inventories)
      return refuse("conflict", `there are ${limits.inventories} inventories already: remove some first`);
    if (!hasContent(tx, content)) {
      const isWhole =
        headOf(tx, content) !== undefined && [...piecesOf(tx, content)].every((hash) => hasPiece(tx, hash));
      if (!isWhole) return refuse("conflict", "pieces of the inventory are not there: send it again");
    }
    const { at } = context;
    const settled = job === null || before === undefined ? {} : settledWell(at);
    if (before !== undefined && before.content === content) {
      if (job !== null) writeInventory(tx, { ...before, ...settled });
      return accept({ name, version: before.version, changed: false });
    }
    const version = before === undefined || before.version === 0 ? firstVersion(tx) : before.version + 1;
    const by = job === null ? context.by.name : (before?.source_by ?? context.by.name);
    const { added, removed, changed, changedGroups, origin } = payload;
    const counts = { hosts, groups, added, removed, changed, changed_groups: changedGroups };
    insertVersion(tx, { inventory: name, version, content, ...counts, at, by, origin }, at);
    for (const old of versionsOf(tx, name).slice(limits.inventoryVersions)) removeVersion(tx, old, at);
    const nothing = { source: null, source_by: null, due_at: null, job: null, good_at: null };
    const fine = { failed_at: null, failures: 0, failure: null };
    writeInventory(tx, {
      ...(before ?? { ...nothing, ...fine }),
      ...settled,
      name,
      version,
      content,
      hosts,
      groups,
      set_at: at,
      set_by: by,
    });
    context.changed({ topic: "inventory", kind: "set", name, version, hosts });
    return accept({ name, version, changed: true });
  },
  audit: ({ name }, outcome) => `inventory ${name}${outcome.ok ? `@${outcome.value.version}` : ""}`,
});
