import { z } from "zod";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { inventoryByName, writeInventory } from "../tables/inventory.ts";
import { inventoryName } from "./inventory-schema.ts";
import { jobIdShape } from "./shapes.ts";

interface Failed {
  readonly name: string;
  readonly job: number;
  readonly failure: string;
}

const shape = z.strictObject({ name: inventoryName, job: jobIdShape, failure: z.string().min(1).max(2_000) });

export const inventoryFail = command<Failed>()({
  name: "inventory.fail",
  tag: 105,
  since: 3,
  right: "internal",
  doc: "Says why a job gave no new version of an inventory: the last good one stays in force.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { name, job, failure }, context) {
    const row = inventoryByName(tx, name);
    if (row?.job !== job) return refuse("conflict", `job ${job} is not what ${name} waits for`);
    const failures = row.failures + 1;
    writeInventory(tx, { ...row, job: null, failed_at: row.failed_at ?? context.at, failures, failure });
    context.changed({ topic: "inventory", kind: "failed", name, job, failures, reason: failure });
    return accept({ name, failures });
  },
});
