import { formatInstant } from "../lib/calendar.ts";
import { formatDuration } from "../lib/units.ts";
import type {
  InventoryDetailView,
  InventoryHostView,
  InventorySourceView,
  InventoryVersionView,
  InventoryView,
} from "./answers.ts";
import { groupLinesIn, hostIn, hostsIn, membersOf } from "./inventories.ts";
import type { Page } from "./queries.ts";
import { sourceOf } from "./refreshing.ts";
import { readSpec } from "./spec.ts";
import {
  inventoriesAfter,
  inventoryByName,
  inventoryVersion,
  type StoredInventory,
  versionsOf,
} from "./tables/inventory.ts";
import type { ReadTx } from "./tx.ts";

/** Inventories as the API shows them. */

/** By name. */
export function listInventories(
  tx: ReadTx,
  { limit, next }: { readonly limit: number; readonly next?: string | undefined },
): Page<InventoryView> {
  const rows = inventoriesAfter(tx, next ?? "", limit + 1);
  const items = rows.slice(0, limit).map(inventoryView);
  return rows.length > limit ? { items, next: items.at(-1)!.name } : { items };
}

function inventoryView(row: StoredInventory): InventoryView {
  const { name, version, hosts, groups, set_at: at, set_by: by } = row;
  const source = sourceView(row);
  return { name, version, hosts, groups, set_at: formatInstant(at), set_by: by, ...(source && { source }) };
}

function sourceView(row: StoredInventory): InventorySourceView | undefined {
  const source = sourceOf(row);
  if (source === undefined) return undefined;
  const { on, timeoutMs } = readSpec(source.spec);
  const { due_at: due, good_at: good, failed_at: since, failures, failure, job } = row;
  return {
    command: source.command,
    every: formatDuration(source.everyMs),
    format: source.format ?? "json",
    ...(on === undefined ? {} : { on }),
    ...(timeoutMs === undefined ? {} : { timeout: formatDuration(timeoutMs) }),
    by: row.source_by ?? "",
    next_at: due === null ? null : formatInstant(due),
    ...(job === null ? {} : { job }),
    good_at: good === null ? null : formatInstant(good),
    ...(since === null ? {} : { failing: { since: formatInstant(since), times: failures, reason: failure ?? "" } }),
  };
}

/** What of an inventory is not there. */
export type NotThere = "inventory" | "version" | "host" | "group";

interface Found {
  readonly row: StoredInventory;
  readonly version: number;
  readonly content: string | null;
}

function find(tx: ReadTx, name: string, version: number | undefined): Found | NotThere {
  const row = inventoryByName(tx, name);
  if (row === undefined) return "inventory";
  if (version === undefined) return { row, version: row.version, content: row.content };
  const kept = inventoryVersion(tx, name, version);
  return kept === undefined ? "version" : { row, version, content: kept.content };
}

/** With its groups, of the version in force or another one. */
export function findInventory(tx: ReadTx, name: string, version?: number): InventoryDetailView | NotThere {
  const found = find(tx, name, version);
  if (typeof found === "string") return found;
  const { row, content } = found;
  const lines = content === null ? [] : groupLinesIn(tx, content);
  const list = lines.map(([group, , children, vars]) => ({
    name: group,
    hosts: membersOf(tx, content!, group)?.length ?? 0,
    children,
    vars,
  }));
  return { ...inventoryView(row), shown: found.version, group_list: list };
}

/** The versions that are kept, newest first; undefined: there is no such inventory. */
export function inventoryHistory(tx: ReadTx, name: string): readonly InventoryVersionView[] | undefined {
  if (inventoryByName(tx, name) === undefined) return undefined;
  return versionsOf(tx, name).map(({ inventory: _inventory, content: _content, at, ...rest }) => ({
    ...rest,
    at: formatInstant(at),
  }));
}

/** What it says of one host. */
export function findInventoryHost(
  tx: ReadTx,
  name: string,
  host: string,
  version?: number,
): InventoryHostView | NotThere {
  const found = find(tx, name, version);
  if (typeof found === "string") return found;
  const facts = found.content === null ? undefined : hostIn(tx, found.content, host);
  return facts === undefined ? "host" : { host, version: found.version, ...facts };
}

/** Names of hosts, of a group or all, in the order of the file. */
export function inventoryHosts(
  tx: ReadTx,
  name: string,
  query: {
    readonly group?: string | undefined;
    readonly version?: number | undefined;
    readonly limit: number;
    readonly next?: string | undefined;
  },
): Page<string> | NotThere {
  const found = find(tx, name, query.version);
  if (typeof found === "string") return found;
  if (found.content === null) return { items: [] };
  const names = query.group === undefined ? hostsIn(tx, found.content) : membersOf(tx, found.content, query.group);
  if (names === undefined) return "group";
  const from = Number(query.next ?? 0);
  const items = names.slice(from, from + query.limit);
  return from + query.limit < names.length ? { items, next: String(from + query.limit) } : { items };
}
