import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/**
 * Shares of whoever submits jobs, by the name of their tokens. By the name and not by the token: tokens end and are made anew, and who has two would have two
 * shares. Only who may make tokens gives names, so nobody takes another's; and the name stands in every job's row already.
 */
export interface SubmitterRow {
  readonly name: string;
  /** Of the slots that are contended for: who has 2 gets twice as many as who has 1. */
  readonly weight: number;
}

/** The name of who has no row of their own. */
export const anySubmitter = "*";

const selectAll = sql("select name, weight from submitter order by name");
const selectOne = sql("select name, weight from submitter where name = ?");

/** By name. */
export function submitters(tx: ReadTx): SubmitterRow[] {
  return tx.all<SubmitterRow>(selectAll);
}

/** undefined: what holds for everybody holds for them. */
export function submitterByName(tx: ReadTx, name: string): SubmitterRow | undefined {
  return tx.get<SubmitterRow>(selectOne, name);
}

const write = change("submitter.set", "insert or replace into submitter (name, weight) values (?, ?)");
const remove = change("submitter.remove", "delete from submitter where name = ?");

/** A row that says nothing but what holds without it. */
export function writeSubmitter(tx: Tx, { name, weight }: SubmitterRow): void {
  tx.run(write, name, weight);
}

/** What holds for everybody holds for them again. */
export function removeSubmitter(tx: Tx, name: string): void {
  tx.run(remove, name);
}
