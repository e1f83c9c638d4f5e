import type { Blob, BlobStore } from "../executor/blob-store.ts";
import { monotonicMs } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";

/** What giving files to members needs of its surroundings. */
export interface BundleServePorts {
  readonly store: Pick<BlobStore, "read" | "piece" | "check" | "lacking" | "manifest">;
  isLeading(): boolean;
  /** A file that this node had is not here, or was not right. */
  onDamaged(sha256: string): void;
}

/** What a member says that has no place free for one who asks for files. */
export const noPlaceFree = "gives files of bundles to others now: ask another member, or once more";

/**
 * Gives files of bundles to other members, few of them at once: who finds no place free asks another holder or waits, and by then there are more holders. So a bundle that all want at
 * once goes from one to a few and from each of these to a few more, and no node is sunk, the leader least of all.
 */
export class BundleServer {
  readonly #ports: BundleServePorts;
  /** Members that are given files: when each asked last, and how many of its questions are under way. */
  readonly #readers = new Map<NodeId, { askedAt: number; open: number }>();
  /** Bytes of files that others were given by this process. */
  sent = 0;

  constructor(ports: BundleServePorts) {
    this.#ports = ports;
  }

  /** null: this node does not have it. */
  async manifest(digest: string): Promise<string | null> {
    return (await this.#ports.store.manifest(digest))?.text ?? null;
  }

  /** Which of the files are here. */
  async have(files: readonly Blob[]): Promise<boolean[]> {
    const lacking = new Set((await this.#ports.store.lacking(files)).map(({ sha256 }) => sha256));
    return files.map(({ sha256 }) => !lacking.has(sha256));
  }

  /** Small files, checked; null for each that is not here. Throws Fault. */
  files(peer: NodeId, files: readonly Blob[]): Promise<(Uint8Array | null)[]> {
    return this.#serve(peer, async () => {
      const found: (Uint8Array | null)[] = [];
      for (const file of files) {
        const bytes = await this.#ports.store.read(file);
        if (bytes === undefined) this.#ports.onDamaged(file.sha256);
        this.sent += bytes?.length ?? 0;
        found.push(bytes ?? null);
      }
      return found;
    });
  }

  /** A piece of a larger file; null: it is not here. Throws Fault. */
  piece(peer: NodeId, sha256: string, offset: number): Promise<Uint8Array | null> {
    return this.#serve(peer, async () => {
      const bytes = await this.#ports.store.piece(sha256, offset);
      if (bytes === undefined) this.#ports.onDamaged(sha256);
      this.sent += bytes?.length ?? 0;
      return bytes ?? null;
    });
  }

  /** Somebody got from here what is not that file: it is read whole, and removed when it is wrong. */
  async suspect(sha256: string): Promise<null> {
    if (!(await this.#ports.store.check(sha256))) this.#ports.onDamaged(sha256);
    return null;
  }

  async #serve<Value>(peer: NodeId, serve: () => Promise<Value>): Promise<Value> {
    const reader = this.#readerOf(peer);
    if (reader === undefined) throw new Fault("peer-refused", noPlaceFree, "safe");
    reader.open += 1;
    try {
      return await serve();
    } finally {
      reader.open -= 1;
      reader.askedAt = monotonicMs();
    }
  }

  /** Its place; undefined: none is free. */
  #readerOf(peer: NodeId): { askedAt: number; open: number } | undefined {
    const now = monotonicMs();
    for (const [other, { askedAt, open }] of this.#readers)
      if (open === 0 && now - askedAt > limits.bundleReaderMs) this.#readers.delete(other);
    let reader = this.#readers.get(peer);
    const places = this.#ports.isLeading() ? 1 : limits.bundleReaders;
    if (reader === undefined && this.#readers.size < places) {
      reader = { askedAt: now, open: 0 };
      this.#readers.set(peer, reader);
    }
    return reader;
  }
}
