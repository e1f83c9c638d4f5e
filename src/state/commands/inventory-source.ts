import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { parseSelector } from "../../lib/selector.ts";
import { formatDuration } from "../../lib/units.ts";
import { command } from "../command.ts";
import type { InventorySource } from "../refreshing.ts";
import { countInventories, inventoryByName, writeInventory } from "../tables/inventory.ts";
import { duration } from "./duration-schema.ts";
import { inventoryName } from "./inventory-schema.ts";
import { isNormalised, specSchema } from "./spec-schema.ts";

interface SourceSet {
  readonly name: string;
  /** An {@link InventorySource}, as JSON; null: nothing sets it any more. */
  readonly source: string | null;
}

const words = z.union([z.string().min(1, "must not be empty"), z.array(z.string()).min(1, "must not be empty")], {
  error: "must be text, which a shell runs, or a list of words",
});

const isSource = (text: string): boolean => {
  try {
    const { command, everyMs, spec } = JSON.parse(text) as InventorySource;
    const isCommand = typeof command === "string" || Array.isArray(command);
    return (
      isCommand && Number.isInteger(everyMs) && everyMs >= limits.inventoryEveryMinMs && isNormalised(JSON.parse(spec))
    );
  } catch {
    return false;
  }
};

export const inventorySource = command<SourceSet>()({
  name: "inventory.source",
  tag: 103,
  since: 3,
  right: "jobs:write",
  doc: "Has an inventory set by what a command prints, run every so often as an ordinary job; command null: no more.",
  input: z.strictObject({
    inventory: inventoryName,
    command: words.nullable(),
    every: duration({ positive: true })
      .refine(
        (ms) => ms >= limits.inventoryEveryMinMs,
        `must be ${formatDuration(limits.inventoryEveryMinMs)} at least`,
      )
      .optional(),
    format: z.enum(["json", "ini", "list"], { error: `must be "json", "ini" or "list"` }).optional(),
    on: z
      .string()
      .superRefine((text, context) => {
        const terms = parseSelector(text);
        if (typeof terms === "string") context.addIssue({ code: "custom", message: terms });
      })
      .optional(),
    timeout: duration({ positive: true }).optional(),
  }),
  payload: z.strictObject({
    name: inventoryName,
    source: z.string().max(limits.inventoryCommandLength).refine(isSource).nullable(),
  }),
  route: { method: "POST", path: "/v1/inventories/:inventory/source", status: 200 },
  answer: z.object({ name: z.string() }),
  prepare({ inventory, command: written, every, on, timeout, format = "json" }) {
    if (written === null) return { name: inventory, source: null };
    const timeoutMs = timeout ?? limits.inventoryTimeoutMs;
    const spec = specSchema.parse({
      name: `inventory ${inventory}`,
      run: written,
      ...(on === undefined || on === "" ? {} : { on }),
      timeout: formatDuration(timeoutMs),
      labels: { inventory },
      output: { keep: `${limits.inventoryOutputBytes + 1024 * 1024}B` },
      ttl: "1d",
    });
    const source: InventorySource = {
      command: written,
      everyMs: every ?? 600_000,
      ...(format === "json" ? {} : { format }),
      spec: JSON.stringify(spec),
    };
    return { name: inventory, source: JSON.stringify(source) };
  },
  apply(tx, { name, source }, context) {
    const before = inventoryByName(tx, name);
    if (before === undefined && source === null) return refuse("not-found", `there is no inventory ${name}`);
    if (before === undefined && countInventories(tx) >= limits.inventories)
      return refuse("conflict", `there are ${limits.inventories} inventories already: remove some first`);
    const { at } = context;
    const by = context.by.name;
    const none = { name, version: 0, content: null, hosts: 0, groups: 0, set_at: at, set_by: by };
    const fine = { good_at: null, failed_at: null, failures: 0, failure: null };
    writeInventory(tx, {
      ...(before ?? { ...none, ...fine }),
      ...(source === null ? fine : {}),
      source,
      source_by: source === null ? null : by,
      due_at: source === null ? null : at,
      // What runs for the command of before is not waited for.
      job: null,
    });
    context.changed({ topic: "inventory", kind: "source", name });
    return accept({ name });
  },
  audit: ({ name, source }) => `inventory ${name} ${source === null ? "by no command" : "by a command"}`,
});
