import type { StoredInventory } from "./tables/inventory.ts";

/** How an inventory is set by a command that is run again and again: by ordinary jobs, one at a time, which the leader submits and reads (node/inventory-duty.ts). */
export interface InventorySource {
  /** As it was written: text for a shell, or words. */
  readonly command: string | readonly string[];
  readonly everyMs: number;
  /** What it prints; absent: JSON. */
  readonly format?: "ini" | "list";
  /** The spec of its jobs, as JSON. */
  readonly spec: string;
}

/** What gives it; undefined: nothing does. */
export function sourceOf({ source }: Pick<StoredInventory, "source">): InventorySource | undefined {
  return source === null ? undefined : (JSON.parse(source) as InventorySource);
}

/** The job has given something good. */
export function settledWell(at: number): Partial<StoredInventory> {
  return { job: null, good_at: at, failed_at: null, failures: 0, failure: null };
}
