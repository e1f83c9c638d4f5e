import type { Database, Statement as Prepared } from "bun:sqlite";
import { assert } from "../lib/assert.ts";

/** The state's port to SQLite, by structure: storage knows nothing of the state that it holds. */
export type SqlValue = null | number | string | Uint8Array;

export interface Statement {
  readonly id: number;
  readonly text: string;
}

/** What stands for the statement in the rolling hash is its name. */
export interface ChangeStatement extends Statement {
  readonly name: string;
}

/** Prepared statements of one connection, by statement id: a lookup in an array on the hot path. */
export class StatementCache {
  readonly #database: Database;
  readonly #prepared: (Prepared<unknown, SqlValue[]> | undefined)[] = [];
  readonly #texts: string[] = [];
  readonly #control = new Map<string, Prepared>();

  constructor(database: Database) {
    this.#database = database;
  }

  prepared(statement: Statement): Prepared<unknown, SqlValue[]> {
    const known = this.#prepared[statement.id];
    if (known !== undefined) {
      assert(this.#texts[statement.id] === statement.text, `two statements have the id ${statement.id}`);
      return known;
    }
    const prepared = this.#database.prepare<unknown, SqlValue[]>(statement.text);
    this.#prepared[statement.id] = prepared;
    this.#texts[statement.id] = statement.text;
    return prepared;
  }

  /** begin, commit and the like. */
  control(text: string): Prepared {
    let prepared = this.#control.get(text);
    if (prepared === undefined) {
      prepared = this.#database.prepare(text);
      this.#control.set(text, prepared);
    }
    return prepared;
  }

  /** Before the connection is closed: SQLite keeps one open, files and locks and all, for as long as it has statements. */
  finalize(): void {
    for (const statement of this.#prepared) statement?.finalize();
    for (const statement of this.#control.values()) statement.finalize();
    this.#prepared.length = 0;
    this.#control.clear();
  }
}
