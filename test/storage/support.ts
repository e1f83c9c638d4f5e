import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encode } from "../../src/lib/codec.ts";
import { index, nobody, term } from "../../src/lib/ids.ts";
import type { Append, Configuration, Entry, EntryKind, HardState } from "../../src/raft/types.ts";
import { SqliteLogStore } from "../../src/storage/log-store.ts";

/** The language of the storage tests: temporary directories, entries, and a log store whose news can be awaited. */

export class Directory {
  readonly path = mkdtempSync(join(tmpdir(), "skein-storage-"));

  file(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export function entry(
  at: number,
  inTerm: number,
  data: Uint8Array | string = `entry ${at}`,
  kind: EntryKind = "command",
): Entry {
  return {
    index: index(at),
    term: term(inTerm),
    kind,
    data: typeof data === "string" ? new TextEncoder().encode(data) : data,
  };
}

export function configurationEntry(at: number, inTerm: number, configuration: Configuration): Entry {
  return entry(at, inTerm, encode(configuration), "configuration");
}

export function run(from: number, to: number, inTerm: number): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, offset) => entry(from + offset, inTerm));
}

export function hardState(inTerm: number, commit = 0): HardState {
  return { term: term(inTerm), vote: nobody, commit: index(commit) };
}

export function texts(entries: readonly Entry[]): string[] {
  return entries.map((one) => `${one.index}/${one.term} ${new TextDecoder().decode(one.data)}`);
}

/** A log store with its callbacks turned into things to wait for. */
export class Log {
  readonly store: SqliteLogStore;
  readonly tokens: number[] = [];
  readonly faults: { code: string; message: string }[] = [];
  readonly damaged: number[] = [];
  #token = 0;
  #waiting: { readonly done: () => boolean; readonly resolve: () => void }[] = [];

  constructor(path: string) {
    this.store = new SqliteLogStore({
      path,
      onDurable: (token) => {
        this.tokens.push(token);
        this.#settle();
      },
      onDamagedEntry: (at) => this.damaged.push(at),
      onFault: (code, message) => {
        this.faults.push({ code, message });
        this.#settle();
      },
    });
  }

  append(entries: readonly Entry[], hard?: HardState): number {
    const append: Append = { token: ++this.#token, hardState: hard, snapshot: undefined, entries };
    this.store.append(append);
    return append.token;
  }

  async write(entries: readonly Entry[], hard?: HardState): Promise<void> {
    const token = this.append(entries, hard);
    await this.until(() => (this.tokens.at(-1) ?? 0) >= token);
  }

  until(done: () => boolean): Promise<void> {
    if (done()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ done, resolve }));
  }

  #settle(): void {
    const waiting = this.#waiting;
    this.#waiting = waiting.filter((one) => !one.done());
    for (const one of waiting) if (one.done()) one.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
  }
}
