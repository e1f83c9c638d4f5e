import { mkdirSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import type { PackShelf } from "../executor/pack-shelf.ts";
import { Fault } from "../lib/fault.ts";
import { syncDirectory } from "../lib/files.ts";
import type { NodeId } from "../lib/ids.ts";

/** What a node sends of a pack to the one that keeps its copy. */
export interface PackAppend {
  readonly pack: string;
  /** Where `bytes` stand in the pack. */
  readonly from: number;
  readonly bytes: Uint8Array;
  /** The answer is to come when all of the copy is on the disk, synced. */
  readonly sync: boolean;
}

/** How long the copy is now: where the next piece is to begin. */
export interface PackHeld {
  readonly end: number;
}

/**
 * Keeps copies of other nodes' packs (N1): whatever a member sends is appended to the file of that name in a directory of that member's own. A piece that does not follow
 * what is here is not taken, and the answer says where to go on; one that comes again changes nothing.
 */
export class PackHolder {
  readonly #shelf: Pick<PackShelf, "directoryOf">;
  /** One piece of a pack after the other. */
  readonly #busy = new Map<string, Promise<unknown>>();

  constructor(shelf: Pick<PackShelf, "directoryOf">) {
    this.#shelf = shelf;
  }

  /** Throws Fault "data" when the disk does not take it. */
  async append(peer: NodeId, piece: PackAppend): Promise<PackHeld> {
    const path = join(this.#shelf.directoryOf(peer), piece.pack);
    const before = this.#busy.get(path) ?? Promise.resolve();
    const mine = before.catch(() => {}).then(() => this.#append(path, peer, piece));
    this.#busy.set(path, mine);
    try {
      return await mine;
    } catch (error) {
      if (error instanceof Fault) throw error;
      const message = error instanceof Error ? error.message : String(error);
      throw new Fault("data", `the copy cannot be kept: ${message}`, "safe", error);
    } finally {
      if (this.#busy.get(path) === mine) this.#busy.delete(path);
    }
  }

  async #append(path: string, peer: NodeId, { from, bytes, sync }: PackAppend): Promise<PackHeld> {
    const file = await this.#open(path, peer);
    try {
      const { size } = await file.stat();
      if (from > size) return { end: size };
      // A repetition: what is here is not written again, for it may be read right now.
      const known = size - from;
      if (known < bytes.length) await writeAll(file, bytes.subarray(known), size);
      if (sync) await file.sync();
      return { end: Math.max(size, from + bytes.length) };
    } finally {
      await file.close();
    }
  }

  async #open(path: string, peer: NodeId): Promise<FileHandle> {
    try {
      return await open(path, "r+");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    const directory = this.#shelf.directoryOf(peer);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const file = await open(path, "wx+", 0o600);
    syncDirectory(directory); // rare; a synced file without a name would be none
    return file;
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at);
    at += bytesWritten;
  }
}
