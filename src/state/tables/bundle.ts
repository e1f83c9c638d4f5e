import type { NodeId } from "../../lib/ids.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/**
 * Bundles (lib/bundle-manifest.ts) as all nodes know them; what is in them is on the disks of those that hold them.
 *
 *   bundle          a tree, by its digest: once however many names it has. It stays as long as a name or an unfinished job has it, and then until it is swept
 *   bundle_version  what a name stands for, and did before: versions count from 1
 *   bundle_holder   which nodes have all of it, synced
 */
export interface StoredBundle {
  readonly digest: string;
  readonly bytes: number;
  readonly files: number;
  /** On how many nodes it is to be. */
  readonly copies: number;
  /** Versions of names, and unfinished jobs, that have it. */
  readonly names: number;
  readonly jobs: number;
}

/** What a name stands for. */
export interface BundleVersion {
  readonly name: string;
  readonly version: number;
  readonly digest: string;
  /** Epoch ms. */
  readonly set_at: number;
  readonly set_by: string;
  /** Where it comes from, as whoever set it says; null: nobody did. */
  readonly source: string | null;
}

const select = sql("select digest, bytes, files, copies, names, jobs from bundle where digest = ?");
const selectAll = sql("select digest, bytes, files, copies, names, jobs from bundle order by digest");

/** undefined: there is none of that digest. */
export function bundleByDigest(tx: ReadTx, digest: string): StoredBundle | undefined {
  return tx.get<StoredBundle>(select, digest);
}

/** By digest. */
export function allBundles(tx: ReadTx): StoredBundle[] {
  return tx.all<StoredBundle>(selectAll);
}

const insert = change(
  "bundle.add",
  "insert into bundle (digest, bytes, files, copies, names, jobs) values (?, ?, ?, ?, 0, 0)",
);
const setCopies = change("bundle.set-copies", "update bundle set copies = ? where digest = ?");
const countNames = change("bundle.count-names", "update bundle set names = names + ? where digest = ?");
const countJobs = change("bundle.count-jobs", "update bundle set jobs = jobs + ? where digest = ?");

/** A tree that is there from now on, on so many nodes; of one that is there already that alone is changed. */
export function writeBundle(tx: Tx, { digest, bytes, files, copies }: Omit<StoredBundle, "names" | "jobs">): void {
  const before = bundleByDigest(tx, digest);
  if (before === undefined) tx.run(insert, digest, bytes, files, copies);
  else if (before.copies !== copies) tx.run(setCopies, copies, digest);
}

/** An unfinished job uses it; false: it is not there. */
export function useBundle(tx: Tx, digest: string): boolean {
  return tx.run(countJobs, 1, digest) > 0;
}

/** The job has finished. */
export function releaseBundle(tx: Tx, digest: string): void {
  tx.run(countJobs, -1, digest);
}

// ---------------------------------------------------------------------------------------------- versions

const columns = "name, version, digest, set_at, set_by, source";
const selectNewest = sql(`select ${columns} from bundle_version where name = ? order by version desc limit 1`);
const selectVersions = sql(`select ${columns} from bundle_version where name = ? order by version desc`);
const selectNames = sql(`select ${columns} from bundle_version as one where name > ?
  and version = (select max(version) from bundle_version where name = one.name) order by name limit ?`);
const countAll = sql("select count(distinct name) as names from bundle_version");

/** undefined: there is none of that name. */
export function newestVersion(tx: ReadTx, name: string): BundleVersion | undefined {
  return tx.get<BundleVersion>(selectNewest, name);
}

/** Newest first. */
export function versionsOf(tx: ReadTx, name: string): BundleVersion[] {
  return tx.all<BundleVersion>(selectVersions, name);
}

/** The newest of each name after `after`, by name. */
export function newestVersionsAfter(tx: ReadTx, after: string, rows: number): BundleVersion[] {
  return tx.all<BundleVersion>(selectNames, after, rows);
}

/** How many names there are. */
export function countBundleNames(tx: ReadTx): number {
  return tx.get<{ names: number }>(countAll)?.names ?? 0;
}

const addVersion = change(
  "bundle_version.add",
  "insert into bundle_version (name, version, digest, set_at, set_by, source) values (?, ?, ?, ?, ?, ?)",
);
const removeOne = change("bundle_version.remove", "delete from bundle_version where name = ? and version = ?");

/** A version of a tree that is there. */
export function insertVersion(tx: Tx, { name, version, digest, set_at: at, set_by: by, source }: BundleVersion): void {
  tx.run(addVersion, name, version, digest, at, by, source);
  tx.run(countNames, 1, digest);
}

/** Its tree stays while anybody else has it. */
export function removeVersion(tx: Tx, { name, version, digest }: BundleVersion): void {
  tx.run(removeOne, name, version);
  tx.run(countNames, -1, digest);
}

// ----------------------------------------------------------------------------------------------- holders

const selectHolders = sql("select node from bundle_holder where digest = ? order by node");
const selectHeldBy = sql("select digest from bundle_holder where node = ? order by digest");
const isHolder = sql("select 1 as found from bundle_holder where digest = ? and node = ?");
const addOne = change("bundle_holder.add", "insert into bundle_holder (digest, node) values (?, ?)");
const dropOne = change("bundle_holder.remove", "delete from bundle_holder where digest = ? and node = ?");

/** The nodes that have it. */
export function bundleHolders(tx: ReadTx, digest: string): NodeId[] {
  return tx.all<{ node: NodeId }>(selectHolders, digest).map(({ node }) => node);
}

/** The bundles that a node has. */
export function bundlesHeldBy(tx: ReadTx, node: number): string[] {
  return tx.all<{ digest: string }>(selectHeldBy, node).map(({ digest }) => digest);
}

/** The node has it. */
export function addHolder(tx: Tx, digest: string, node: number): void {
  if (tx.get(isHolder, digest, node) === undefined) tx.run(addOne, digest, node);
}

/** The node has it no more. */
export function removeHolder(tx: Tx, digest: string, node: number): void {
  if (tx.get(isHolder, digest, node) !== undefined) tx.run(dropOne, digest, node);
}

/** The node is no member any more. */
export function removeHoldings(tx: Tx, node: number): void {
  for (const digest of bundlesHeldBy(tx, node)) tx.run(dropOne, digest, node);
}

// ------------------------------------------------------------------------------------------------- sweep

const selectUnused = sql("select digest from bundle where names = 0 and jobs = 0 order by digest limit ?");
const remove = change("bundle.remove", "delete from bundle where digest = ?");

/** Trees that neither a name nor an unfinished job has, some of them. */
export function unusedBundles(tx: ReadTx, most: number): string[] {
  return tx.all<{ digest: string }>(selectUnused, most).map(({ digest }) => digest);
}

/** Those that hold it find it gone, and remove what is in no other. */
export function removeBundle(tx: Tx, digest: string): void {
  for (const node of bundleHolders(tx, digest)) tx.run(dropOne, digest, node);
  tx.run(remove, digest);
}
