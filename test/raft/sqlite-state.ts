import type { Random } from "../../src/lib/prng.ts";
import type { Entry } from "../../src/raft/types.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";
import type { ChangeStatement } from "../../src/storage/statements.ts";
import { SqliteFiles } from "./sqlite-files.ts";
import { check } from "./violation.ts";

const schema = ["create table effect (idx integer primary key, term integer not null, data blob not null) strict"];
const insert: ChangeStatement = { id: 0, name: "effect.insert", text: "insert into effect values (?, ?, ?)" };
const select = { id: 1, text: "select idx, term, data from effect order by idx" };

/**
 * The production state file under a state that is a list of what was applied: whatever a crash leaves, the file must have the effects of exactly the
 * entries up to the index that it says is applied (D2).
 */
export class SqliteState {
  readonly #files: SqliteFiles;
  readonly #random: Random;
  #database: StateDatabase;

  constructor(directory: string, random: Random) {
    this.#files = new SqliteFiles(directory, "state.db", random);
    this.#random = random;
    this.#database = this.#open();
  }

  #open(): StateDatabase {
    return new StateDatabase({ path: this.#files.path, schema });
  }

  /** `during` happens when all rows are written and the transaction is not at its end. */
  apply(entries: readonly Entry[], during: () => void = () => {}): void {
    const last = entries.at(-1)!.index;
    this.#database.transaction(entries[0]!.index - 1, last, () => {
      for (const entry of entries) this.#database.run(insert, entry.index, entry.term, entry.data);
      during();
    });
  }

  /** Everything that is applied survives from now on. */
  checkpoint(): void {
    // synchronous=NORMAL: nothing of the WAL is synced before this.
    this.#database.checkpoint();
    this.#files.synced();
  }

  /** The power goes, maybe while these entries are being applied. Gives how far the state is. */
  crash(entries: readonly Entry[], committed: readonly Entry[]): number {
    const cut = (): void => this.#files.cut(false);
    const isDuring = entries.length > 0 && this.#random() < 0.7;
    if (isDuring) this.apply(entries, cut);
    else cut();
    this.#database.close();
    this.#files.begin();
    this.#database = this.#open();
    const { applied } = this.#database;
    const rows = this.#database.all<{ idx: number; term: number; data: Uint8Array }>(select);
    check(
      "state-effects",
      rows.length === applied,
      `the state says ${applied}, and has the effects of ${rows.length} entries`,
    );
    for (const [at, row] of rows.entries()) {
      const entry = committed[at]!;
      const isSame = row.idx === at + 1 && row.term === entry.term && Buffer.compare(row.data, entry.data) === 0;
      check("state-effects", isSame, `the state has another effect at ${at + 1} than entry ${at + 1}`);
    }
    return applied;
  }

  /** A snapshot with these entries in it takes its place, durably. */
  install(entries: readonly Entry[]): void {
    this.#database.close();
    this.#files.begin();
    this.#database = this.#open();
    if (entries.length > 0) this.apply(entries);
    this.checkpoint();
  }

  close(): void {
    this.#database.close();
  }
}
