import type { Head } from "../../lib/inventory-pieces.ts";
import { Recent } from "../../lib/memo.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/**
 * Inventories (lib/inventory-pieces.ts):
 *
 *   inventory          a row for each name: which version is in force, and how it is set by itself, if it is (state/refreshing.ts)
 *   inventory_version  the versions that can be put back, the one in force too
 *   inventory_content  what versions and jobs have, by its digest, with how many they are
 *   inventory_piece    the text that it is made of, with how many contents have it
 *   job_inventory      which contents a job's hosts get their variables from
 *
 * What nothing has stays a while, for whoever has just sent or looked it up, and then goes in steps (forgetting.ts). A piece follows from its digest, which therefore stands for it
 * in the rolling hash (S1).
 */
export interface StoredInventory {
  readonly name: string;
  /** 0: none was set yet, its command has to run first. */
  readonly version: number;
  readonly content: string | null;
  readonly hosts: number;
  readonly groups: number;
  /** Epoch ms. */
  readonly set_at: number;
  readonly set_by: string;
  /** What gives it again and again, as JSON; null: nothing. */
  readonly source: string | null;
  readonly source_by: string | null;
  /** When the command is run next. */
  readonly due_at: number | null;
  /** That runs it now, or has, and of which nothing was taken yet. */
  readonly job: number | null;
  /** When it last gave something good. */
  readonly good_at: number | null;
  /** Since when it gives nothing good, how often, and why not. */
  readonly failed_at: number | null;
  readonly failures: number;
  readonly failure: string | null;
}

const columns =
  "name, version, content, hosts, groups, set_at, set_by, source, source_by, due_at, job, good_at, failed_at, failures, failure";
const select = sql(`select ${columns} from inventory where name = ?`);
const selectAfter = sql(`select ${columns} from inventory where name > ? order by name limit ?`);
const selectPressing = sql(
  `select ${columns} from inventory where source is not null and (job is not null or due_at <= ?) order by name`,
);
const countFailed = sql("select count(*) as inventories from inventory where failed_at is not null");
const countAll = sql("select count(*) as inventories from inventory");

/** undefined: there is none of that name. */
export function inventoryByName(tx: ReadTx, name: string): StoredInventory | undefined {
  return tx.get<StoredInventory>(select, name);
}

/** By name, those after `after`. */
export function inventoriesAfter(tx: ReadTx, after: string, rows: number): StoredInventory[] {
  return tx.all<StoredInventory>(selectAfter, after, rows);
}

/** Those that something is to be done about: whose job is not read yet, or whose command is due. */
export function pressingInventories(tx: ReadTx, now: number): StoredInventory[] {
  return tx.all<StoredInventory>(selectPressing, now);
}

/** How many there are that a command gives nothing good for. */
export function countFailing(tx: ReadTx): number {
  return tx.get<{ inventories: number }>(countFailed)?.inventories ?? 0;
}

/** How many there are. */
export function countInventories(tx: ReadTx): number {
  return tx.get<{ inventories: number }>(countAll)?.inventories ?? 0;
}

const write = change(
  "inventory.set",
  `insert or replace into inventory (${columns}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
);
const remove = change("inventory.remove", "delete from inventory where name = ?");
const selectFloor = sql("select version from inventory_floor");
const raise = change("inventory_floor.set", "insert or replace into inventory_floor (id, version) values (1, ?)");

/** A new one, or what is other about one. */
export function writeInventory(tx: Tx, row: StoredInventory): void {
  const { name, version, content, hosts, groups, set_at: at, set_by: by, source, source_by: sourceBy } = row;
  const { due_at: due, job, good_at: good, failed_at: failed, failures, failure } = row;
  const words = [failed, failures];
  const values = [name, version, content, hosts, groups, at, by, source, sourceBy, due, job, good, ...words];
  tx.runAs(write, values, [...values, failure]);
}

/** The version that an inventory begins with: none is ever given twice to a name, whatever was removed in between. */
export function firstVersion(tx: ReadTx): number {
  return (tx.get<{ version: number }>(selectFloor)?.version ?? 0) + 1;
}

/** A version of the past or the present. */
export interface StoredVersion {
  readonly inventory: string;
  readonly version: number;
  readonly content: string;
  readonly hosts: number;
  readonly groups: number;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  readonly changed_groups: number;
  /** Epoch ms. */
  readonly at: number;
  readonly by: string;
  /** Where it comes from: "file", "version 3", "job 17". */
  readonly origin: string;
}

const versionColumns =
  "inventory, version, content, hosts, groups, added, removed, changed, changed_groups, at, by, origin";
const selectVersion = sql(`select ${versionColumns} from inventory_version where inventory = ? and version = ?`);
const selectVersions = sql(`select ${versionColumns} from inventory_version where inventory = ? order by version desc`);
const addVersion = change(
  "inventory_version.add",
  `insert into inventory_version (${versionColumns}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
);
const dropVersion = change(
  "inventory_version.remove",
  "delete from inventory_version where inventory = ? and version = ?",
);

/** undefined: it is not kept, or there was none. */
export function inventoryVersion(tx: ReadTx, name: string, version: number): StoredVersion | undefined {
  return tx.get<StoredVersion>(selectVersion, name, version);
}

/** The newest first. */
export function versionsOf(tx: ReadTx, name: string): StoredVersion[] {
  return tx.all<StoredVersion>(selectVersions, name);
}

/** It is kept, and so is its content. */
export function insertVersion(tx: Tx, row: StoredVersion, at: number): void {
  const { inventory, version, content, hosts, groups, added, removed, changed, changed_groups: ofGroups } = row;
  tx.run(
    addVersion,
    inventory,
    version,
    content,
    hosts,
    groups,
    added,
    removed,
    changed,
    ofGroups,
    row.at,
    row.by,
    row.origin,
  );
  useContent(tx, content, at);
}

/** It cannot be put back any more. */
export function removeVersion(tx: Tx, { inventory, version, content }: StoredVersion, at: number): void {
  tx.run(dropVersion, inventory, version);
  leaveContent(tx, content, at);
}

/** With all of its versions. */
export function removeInventory(tx: Tx, { name, version }: StoredInventory, at: number): void {
  for (const row of versionsOf(tx, name)) removeVersion(tx, row, at);
  tx.run(remove, name);
  if (version >= firstVersion(tx)) tx.run(raise, version);
}

const selectContent = sql("select uses from inventory_content where content = ?");
const addContent = change(
  "inventory_content.add",
  "insert into inventory_content (content, uses, at) values (?, ?, ?)",
);
const countContent = change(
  "inventory_content.count",
  "update inventory_content set uses = uses + ?, at = ? where content = ?",
);
const dropContent = change("inventory_content.remove", "delete from inventory_content where content = ?");
const selectUnusedContent = sql(
  "select content from inventory_content where uses = 0 and at < ? order by content limit 1",
);

/** Whether it is there, for a job to have. */
export function hasContent(tx: ReadTx, content: string): boolean {
  return tx.get(selectContent, content) !== undefined;
}

/** One more has it. Its pieces are there. */
function useContent(tx: Tx, content: string, at: number): void {
  if (hasContent(tx, content)) {
    tx.run(countContent, 1, at, content);
    return;
  }
  tx.run(addContent, content, 1, at);
  for (const hash of piecesOf(tx, content)) tx.run(countPiece, 1, at, hash);
}

function leaveContent(tx: Tx, content: string, at: number): void {
  tx.run(countContent, -1, at, content);
}

const addJob = change("job_inventory.add", "insert into job_inventory (job, content) values (?, ?)");
const dropJob = change("job_inventory.remove", "delete from job_inventory where job = ? and content = ?");

/** The job has variables of it. */
export function addContentOf(tx: Tx, content: string, job: number, at: number): void {
  tx.run(addJob, job, content);
  useContent(tx, content, at);
}

/** The job is gone. */
export function removeContentOf(tx: Tx, content: string, job: number, at: number): void {
  tx.run(dropJob, job, content);
  leaveContent(tx, content, at);
}

const selectPiece = sql("select text from inventory_piece where hash = ?");
const selectPieceExists = sql("select 1 as found from inventory_piece where hash = ?");
const addPiece = change(
  "inventory_piece.add",
  "insert into inventory_piece (hash, uses, at, text) values (?, 0, ?, ?)",
);
const touchPiece = change("inventory_piece.touch", "update inventory_piece set at = ? where hash = ?");
const countPiece = change("inventory_piece.count", "update inventory_piece set uses = uses + ?, at = ? where hash = ?");
const sweepPieces = change(
  "inventory_piece.sweep",
  "delete from inventory_piece where hash in (select hash from inventory_piece where uses = 0 and at < ? order by hash limit ?)",
);
const selectUnusedPiece = sql("select 1 as found from inventory_piece where uses = 0 and at < ? limit 1");

/** Whether the piece is there. */
export function hasPiece(tx: ReadTx, hash: string): boolean {
  return tx.get(selectPieceExists, hash) !== undefined;
}

/** A piece that somebody will name soon. */
export function putPiece(tx: Tx, hash: string, text: string, at: number): void {
  if (hasPiece(tx, hash)) tx.run(touchPiece, at, hash);
  else tx.runAs(addPiece, [hash, at], [hash, at, text]);
}

/** undefined: it is not there. */
export function pieceText(tx: ReadTx, hash: string): string | undefined {
  return tx.get<{ text: string }>(selectPiece, hash)?.text;
}

const heads = new Recent<Head>(64);

/** undefined: it is not there. */
export function headOf(tx: ReadTx, content: string): Head | undefined {
  const known = heads.get(content);
  if (known !== undefined && hasPiece(tx, content)) return known;
  const text = pieceText(tx, content);
  if (text === undefined) return undefined;
  const head = JSON.parse(text) as Head;
  heads.set(content, head);
  return head;
}

/** Each once, its head too. */
export function piecesOf(tx: ReadTx, content: string): ReadonlySet<string> {
  const head = headOf(tx, content);
  if (head === undefined) return new Set();
  return new Set([content, ...head.names, ...head.groups, ...head.hosts.map(([, hash]) => hash)]);
}

/** There is something that nothing has since before then. */
export function hasUnusedInventory(tx: ReadTx, before: number): boolean {
  return tx.get(selectUnusedContent, before) !== undefined || tx.get(selectUnusedPiece, before) !== undefined;
}

/** It goes: a content, or so many pieces at most. Gives how many rows that were. */
export function sweepInventories(tx: Tx, before: number, at: number, rows: number): number {
  const content = tx.get<{ content: string }>(selectUnusedContent, before)?.content;
  if (content === undefined) return tx.run(sweepPieces, before, rows);
  const pieces = piecesOf(tx, content);
  // What they were touched with stays: they have waited with it.
  for (const hash of pieces) tx.run(countPiece, -1, at, hash);
  tx.run(dropContent, content);
  return pieces.size + 1;
}
