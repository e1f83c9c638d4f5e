import { secretsOf } from "../secrets.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";
import type { Spec } from "../types.ts";

/** A secret as everybody may know it. */
export interface SecretFacts {
  readonly name: string;
  /** How often it was set. */
  readonly revision: number;
  /** The authority with whose key the value is encrypted, by its fingerprint. */
  readonly key: string;
  /** Epoch ms. */
  readonly setAt: number;
  readonly setBy: string;
}

/** With what only a voter can read: nonce, ciphertext and tag. */
export interface SecretRow extends SecretFacts {
  readonly sealed: Uint8Array;
}

const facts = "name, revision, key, set_at as setAt, set_by as setBy";
const select = sql(`select ${facts}, sealed from secret where name = ?`);
const exists = sql("select 1 as found from secret where name = ?");
const selectAfter = sql(`select ${facts} from secret where name > ? order by name limit ?`);
const selectUnder = sql(`select ${facts}, sealed from secret where key = ? and name > ? order by name limit ?`);
const count = sql("select count(*) as secrets from secret");
const countUnder = sql("select count(*) as secrets from secret where key = ?");

/** undefined: there is none of that name. */
export function secretByName(tx: ReadTx, name: string): SecretRow | undefined {
  return tx.get<SecretRow>(select, name);
}

/** Whether there is one of that name. */
export function hasSecret(tx: ReadTx, name: string): boolean {
  return tx.get(exists, name) !== undefined;
}

/** By name, those after `after`. */
export function secretsAfter(tx: ReadTx, after: string, rows: number): SecretFacts[] {
  return tx.all<SecretFacts>(selectAfter, after, rows);
}

/** Those that are encrypted with that authority's key, by name, after `after`. */
export function secretsUnder(tx: ReadTx, key: string, after: string, rows: number): SecretRow[] {
  return tx.all<SecretRow>(selectUnder, key, after, rows);
}

/** How many there are. */
export function countSecrets(tx: ReadTx): number {
  return tx.get<{ secrets: number }>(count)?.secrets ?? 0;
}

/** How many are encrypted with that key. */
export function countSecretsUnder(tx: ReadTx, key: string): number {
  return tx.get<{ secrets: number }>(countUnder, key)?.secrets ?? 0;
}

const write = change(
  "secret.set",
  "insert or replace into secret (name, revision, key, sealed, set_at, set_by) values (?, ?, ?, ?, ?, ?)",
);
const reseal = change("secret.reseal", "update secret set key = ?, sealed = ? where name = ?");
const remove = change("secret.remove", "delete from secret where name = ?");

/** A new one, or a new value of one. */
export function setSecret(tx: Tx, { name, revision, key, sealed, setAt, setBy }: SecretRow): void {
  tx.run(write, name, revision, key, sealed, setAt, setBy);
}

/** The same value under another key. */
export function resealSecret(tx: Tx, name: string, key: string, sealed: Uint8Array): void {
  tx.run(reseal, key, sealed, name);
}

/** Its value is gone with it. */
export function removeSecret(tx: Tx, name: string): void {
  tx.run(remove, name);
}

const insertUse = change("secret_use.insert", "insert into secret_use (secret, job) values (?, ?)");
const deleteUse = change("secret_use.delete", "delete from secret_use where secret = ? and job = ?");
const selectUses = sql("select job from secret_use where secret = ? order by job limit ?");
const countUses = sql("select count(*) as jobs from secret_use where secret = ?");

/** The job, which has just come, uses the secrets of its spec until it has finished. */
export function noteUses(tx: Tx, job: number, spec: Spec): void {
  for (const name of secretsOf(spec)) tx.run(insertUse, name, job);
}

/** The job has finished. */
export function forgetUses(tx: Tx, job: number, spec: Spec): void {
  for (const name of secretsOf(spec)) tx.run(deleteUse, name, job);
}

/** Unfinished jobs that use it: how many, and the first of them. */
export function usesOf(tx: ReadTx, name: string, named: number): { readonly count: number; readonly jobs: number[] } {
  const jobs = tx.all<{ job: number }>(selectUses, name, named).map(({ job }) => job);
  return { count: jobs.length < named ? jobs.length : tx.get<{ jobs: number }>(countUses, name)!.jobs, jobs };
}
