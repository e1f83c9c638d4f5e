import { z } from "zod";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { inventoryByName, removeInventory } from "../tables/inventory.ts";
import { inventoryName } from "./inventory-schema.ts";

interface InventoryRemoved {
  readonly inventory: string;
}

const shape = z.strictObject({ inventory: inventoryName });

export const inventoryRemove = command<InventoryRemoved>()({
  name: "inventory.remove",
  tag: 102,
  since: 3,
  right: "jobs:write",
  doc: "Forgets an inventory with its history, and what sets it; jobs keep the hosts and variables that they were submitted with.",
  input: shape,
  payload: shape,
  route: { method: "DELETE", path: "/v1/inventories/:inventory", status: 200 },
  answer: z.object({ name: z.string() }),
  prepare: (input) => input,
  audit: ({ inventory }) => `inventory ${inventory}`,
  apply(tx, { inventory }, context) {
    const row = inventoryByName(tx, inventory);
    if (row === undefined) return refuse("not-found", `there is no inventory ${inventory}`);
    removeInventory(tx, row, context.at);
    context.changed({ topic: "inventory", kind: "removed", name: inventory });
    return accept({ name: inventory });
  },
});
