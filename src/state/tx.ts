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

let count = 0;
export function sql(text: string): Statement {
  return { id: count++, text };
}

/** Reads. Rows are objects by column name; BLOBs are fresh Uint8Arrays. */
export interface ReadTx {
  get<Row>(statement: Statement, ...values: readonly SqlValue[]): Row | undefined;
  all<Row>(statement: Statement, ...values: readonly SqlValue[]): Row[];
}

/**
 * The one write transaction of an apply batch. `run` gives the number of rows changed. Everything that changes rows
 * goes through `run`, which feeds statement text, values and that number to the rolling hash (S1).
 */
export interface Tx extends ReadTx {
  run(statement: Statement, ...values: readonly SqlValue[]): number;
}
