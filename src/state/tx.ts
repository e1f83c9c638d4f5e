import { assert } from "../lib/assert.ts";

/**
 * How the pure state reaches SQLite: a small synchronous port. Production: storage/state-db.ts over bun:sqlite;
 * tests may bring their own. Statements are prepared once, by identity of the Statement object.
 */
export type SqlValue = null | number | string | Uint8Array;

/** One SQL text, made once at module level with {@link sql}; the implementation keeps its prepared form. */
export interface Statement {
  readonly id: number;
  readonly text: string;
}

/** A statement that changes rows of one table. Its name and the values stand for it in the rolling hash, whatever its text is (S1). */
export interface ChangeStatement extends Statement {
  /** "table.operation" */
  readonly name: string;
}

let count = 0;

/** A statement that reads. */
export function sql(text: string): Statement {
  return { id: count++, text };
}

const names = new Set<string>();

/**
 * A statement that changes rows. The name stays for ever: nodes of two releases compare hashes, so what the same values are to do is never
 * changed under the same name, and a name that is no longer used is given to nothing else.
 */
export function change(name: `${string}.${string}`, text: string): ChangeStatement {
  assert(!names.has(name), `two statements have the name ${name}`);
  const table = /^(?:insert into|insert or replace into|update|delete from) (\w+)/.exec(text)?.[1];
  assert(table === name.slice(0, name.indexOf(".")), `${name} is named after another table than it changes`);
  names.add(name);
  return { id: count++, text, name };
}

/** Reads. Rows are objects by column name; BLOBs are fresh Uint8Arrays. */
export interface ReadTx {
  get<Row>(statement: Statement, ...values: readonly SqlValue[]): Row | undefined;
  all<Row>(statement: Statement, ...values: readonly SqlValue[]): Row[];
}

/**
 * The one write transaction of an apply batch. `run` gives the number of rows changed. Everything that changes rows
 * goes through `run`, which feeds the statement's name, the values and that number to the rolling hash (S1).
 */
export interface Tx extends ReadTx {
  run(statement: ChangeStatement, ...values: readonly SqlValue[]): number;
  /** The same, where `hashed` stands for the values in the hash: rows may hold words for people, which change from release to release. */
  runAs(statement: ChangeStatement, hashed: readonly SqlValue[], values: readonly SqlValue[]): number;
}
