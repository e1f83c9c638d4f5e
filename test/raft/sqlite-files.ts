import { Database } from "bun:sqlite";
import {
  closeSync,
  copyFileSync,
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { randomInteger, type Random } from "../../src/lib/prng.ts";

/**
 * One SQLite database over the crashes of its process. At a crash the file and its WAL are taken as a power cut leaves them: what was synced is
 * whole, of the rest any length is there and any bytes of it may be wrong. The old files, whose connections still live, are thrown away.
 */
export class SqliteFiles {
  readonly #directory: string;
  readonly #name: string;
  readonly #random: Random;
  #generation = 1;
  #synced = { bytes: 0, salt: "" };

  constructor(directory: string, name: string, random: Random) {
    this.#directory = directory;
    this.#name = name;
    this.#random = random;
    mkdirSync(dirname(this.path), { recursive: true });
  }

  get path(): string {
    return this.#pathOf(this.#generation);
  }

  /** What the WAL holds now no power cut can take, until the WAL begins anew from its start. */
  synced(): void {
    const path = `${this.path}-wal`;
    if (!existsSync(path)) return;
    const handle = openSync(path, "r");
    const head = Buffer.alloc(24);
    readSync(handle, head, 0, head.length, 0);
    this.#synced = { bytes: fstatSync(handle).size, salt: saltOf(head) };
    closeSync(handle);
  }

  #wal(): Buffer {
    const path = `${this.path}-wal`;
    return existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  }

  /** Puts what a power cut leaves now aside, for begin(). With `lost` all that was not synced is gone. */
  cut(lost: boolean): void {
    const to = this.#pathOf(this.#generation + 1);
    rmSync(dirname(to), { recursive: true, force: true });
    mkdirSync(dirname(to));
    if (existsSync(this.path)) copyFileSync(this.path, to);
    const wal = this.#wal();
    if (wal.length === 0) return;
    const floor = this.#synced.salt === saltOf(wal) ? Math.min(this.#synced.bytes, wal.length) : 0;
    const length = lost ? floor : this.#random() < 0.2 ? wal.length : randomInteger(this.#random, floor, wal.length);
    const kept = wal.subarray(0, length);
    if (length > floor && this.#random() < 0.5) {
      const at = randomInteger(this.#random, floor, length - 1);
      kept[at] = kept[at]! ^ (1 << randomInteger(this.#random, 0, 7));
    }
    writeFileSync(`${to}-wal`, kept);
  }

  #pathOf(generation: number): string {
    return join(this.#directory, `${this.#name}-${generation}`, this.#name);
  }

  /** A process begins with what cut() left. */
  begin(): void {
    rmSync(dirname(this.path), { recursive: true, force: true });
    this.#generation += 1;
    this.#synced = { bytes: 0, salt: "" };
    mkdirSync(dirname(this.path), { recursive: true });
    if (!existsSync(this.path)) return;
    const database = new Database(this.path, { readwrite: true });
    database.run("pragma wal_checkpoint(truncate)");
    database.close();
  }
}

/** A directory for the files of one run: in memory where there is such a place, since syncs are simulated. */
export class Files {
  readonly path = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "skein-files-"));

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Drawn anew whenever the WAL begins from its start. */
function saltOf(wal: Buffer): string {
  return wal.toString("hex", 16, 24);
}
