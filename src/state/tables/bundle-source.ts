import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/** The repositories that bundles are pinned from by themselves, by the bundle's name: on a schedule, when a push is told of, or both (node/bundle-source-duty.ts). */
export interface StoredBundleSource {
  readonly name: string;
  readonly url: string;
  /** null: what the repository has as its own branch. */
  readonly ref: string | null;
  readonly subdir: string | null;
  /** The secret with the private key for ssh; null: none. */
  readonly key: string | null;
  readonly copies: number;
  readonly timeout_ms: number;
  /** null: only when a push is told of. */
  readonly every_ms: number | null;
  /** The secret that pushes are signed with; null: nobody tells of any. */
  readonly webhook: string | null;
  /** Index of the entry that set it: what was fetched for another one pins nothing. */
  readonly revision: number;
  /** Epoch ms. */
  readonly set_at: number;
  readonly set_by: string;
  /** When it is fetched next; null: when somebody asks for it. */
  readonly due_at: number | null;
  /** Index of the entry that asked for it last, and who that was; null: the schedule. Whoever asks while it is fetched has it fetched again. */
  readonly asked: number;
  readonly asked_by: string | null;
  /** What the ref stood for when it was last seen, and the version that this became; null: never seen. */
  readonly commit_id: string | null;
  readonly version: number | null;
  /** When it was fetched last, for whom (null: the schedule), and when that last went well. */
  readonly tried_at: number | null;
  readonly tried_by: string | null;
  readonly good_at: number | null;
  /** Since when it cannot be had, how often, and why. */
  readonly failed_at: number | null;
  readonly failures: number;
  readonly failure: string | null;
}

const columns =
  "name, url, ref, subdir, key, copies, timeout_ms, every_ms, webhook, revision, set_at, set_by, due_at, asked, asked_by, commit_id, version, tried_at, tried_by, good_at, failed_at, failures, failure";
const select = sql(`select ${columns} from bundle_source where name = ?`);
const selectAfter = sql(`select ${columns} from bundle_source where name > ? order by name limit ?`);
const selectDue = sql(`select ${columns} from bundle_source where due_at <= ? order by due_at, name`);
const selectUsing = sql("select name from bundle_source where key = ? or webhook = ? order by name limit ?");
const countAll = sql("select count(*) as sources from bundle_source");
const countFailed = sql("select count(*) as sources from bundle_source where failed_at is not null");

/** undefined: that bundle has none. */
export function bundleSource(tx: ReadTx, name: string): StoredBundleSource | undefined {
  return tx.get<StoredBundleSource>(select, name);
}

/** By name, those after `after`. */
export function bundleSourcesAfter(tx: ReadTx, after: string, rows: number): StoredBundleSource[] {
  return tx.all<StoredBundleSource>(selectAfter, after, rows);
}

/** Those that are to be fetched by now, what has waited longest first. */
export function dueBundleSources(tx: ReadTx, now: number): StoredBundleSource[] {
  return tx.all<StoredBundleSource>(selectDue, now);
}

/** The bundles whose source is fetched with that secret or told of by it, some of them. */
export function sourcesUsing(tx: ReadTx, secret: string, most: number): string[] {
  return tx.all<{ name: string }>(selectUsing, secret, secret, most).map(({ name }) => name);
}

/** How many there are. */
export function countBundleSources(tx: ReadTx): number {
  return tx.get<{ sources: number }>(countAll)?.sources ?? 0;
}

/** How many cannot be had. */
export function countFailingSources(tx: ReadTx): number {
  return tx.get<{ sources: number }>(countFailed)?.sources ?? 0;
}

const write = change(
  "bundle_source.set",
  `insert or replace into bundle_source (${columns}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
);
const hasten = change("bundle_source.hasten", "update bundle_source set due_at = ?");
const remove = change("bundle_source.remove", "delete from bundle_source where name = ?");

/** A new one, or what is other about one. Why it fails is in no hash: other releases may say it in other words (S1). */
export function writeBundleSource(tx: Tx, row: StoredBundleSource): void {
  const { name, url, ref, subdir, key, copies, timeout_ms: timeoutMs, every_ms: everyMs, webhook, revision } = row;
  const { set_at: at, set_by: by, due_at: due, asked, asked_by: askedBy, commit_id: commit, version } = row;
  const { tried_at: tried, tried_by: triedBy, good_at: good, failed_at: failed, failures, failure } = row;
  const given = [name, url, ref, subdir, key, copies, timeoutMs, everyMs, webhook, revision, at, by];
  const values = [...given, due, asked, askedBy, commit, version, tried, triedBy, good, failed, failures];
  tx.runAs(write, values, [...values, failure]);
}

/** All of them are to be fetched at that time. */
export function hastenSources(tx: Tx, at: number): void {
  tx.run(hasten, at);
}

/** Nothing pins that bundle by itself any more; its versions stay. False: nothing did. */
export function removeBundleSource(tx: Tx, name: string): boolean {
  return tx.run(remove, name) > 0;
}
