import { z } from "zod";
import { jobId } from "../../lib/ids.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { sourceOf } from "../refreshing.ts";
import { readSpec } from "../spec.ts";
import { countSubmitted, readCounter } from "../tables/counter.ts";
import { insertJob, jobById, noteOrigin } from "../tables/job.ts";
import { inventoryByName, writeInventory } from "../tables/inventory.ts";
import { inventoryName } from "./inventory-schema.ts";

interface Refreshed {
  readonly inventory: string;
}

const shape = z.strictObject({ inventory: inventoryName });

export const inventoryRefresh = command<Refreshed>()({
  name: "inventory.refresh",
  tag: 104,
  since: 3,
  right: "jobs:write",
  doc: "Runs the command that gives an inventory now, as a job; gives that job, or the one that runs it already.",
  input: shape,
  payload: shape,
  route: { method: "POST", path: "/v1/inventories/:inventory/refresh", status: 202 },
  answer: z.object({ name: z.string(), job: z.int() }),
  prepare: (input) => input,
  adds: () => 1,
  apply(tx, { inventory: name }, context) {
    const row = inventoryByName(tx, name);
    if (row === undefined) return refuse("not-found", `there is no inventory ${name}`);
    const source = sourceOf(row);
    if (source === undefined) return refuse("conflict", `no command gives inventory ${name}: it was set from a file`);
    const open = row.job === null ? undefined : jobById(tx, row.job);
    if (open !== undefined && open.finished_at === null) return accept({ name, job: open.id });
    const id = readCounter(tx).next_job;
    const { at } = context;
    // Whoever set the command has it run, unless somebody asks for it now.
    const by = context.by.role === "node" ? (row.source_by ?? context.by.name) : context.by.name;
    const spec = readSpec(source.spec);
    insertJob(tx, id, spec.name ?? name, 1, at, by, source.spec);
    noteOrigin(tx, id, { inventory: name });
    countSubmitted(tx, by, 1, 1);
    context.changed({ topic: "job", kind: "added", first: jobId(id), count: 1 });
    writeInventory(tx, { ...row, job: id, due_at: at + source.everyMs });
    return accept({ name, job: id });
  },
  audit: ({ inventory }, outcome) => `inventory ${inventory}${outcome.ok ? `: job ${outcome.value.job}` : ""}`,
});
