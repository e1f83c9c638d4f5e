import { Database } from "bun:sqlite";
import { Fault } from "../../lib/fault.ts";
import { makePrivateFile } from "../../lib/files.ts";

/**
 * At most one guard owns a data directory. The lock is SQLite's on a file of its own: the kernel takes it back when the
 * process ends, however it ends, so that nothing stale is ever left to judge.
 */
export class Lock {
  readonly #database: Database;

  private constructor(database: Database) {
    this.#database = database;
  }

  /** undefined: another process holds it. Throws Fault "data" when the file cannot be opened. */
  static take(path: string): Lock | undefined {
    try {
      makePrivateFile(path);
      const database = new Database(path, { create: true, readwrite: true });
      try {
        database.run("BEGIN EXCLUSIVE");
        return new Lock(database);
      } catch (error) {
        database.close();
        if ((error as { code?: string }).code === "SQLITE_BUSY") return undefined;
        throw error;
      }
    } catch (error) {
      throw new Fault(
        "data",
        `cannot lock ${path}: ${error instanceof Error ? error.message : String(error)}`,
        "never",
        error,
      );
    }
  }

  release(): void {
    this.#database.close();
  }
}
