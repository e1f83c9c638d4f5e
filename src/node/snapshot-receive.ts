import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { monotonicMs } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { SnapshotMeta } from "../raft/types.ts";
import { syncDirectory, writeSynced } from "../storage/files.ts";
import { metaOf } from "../storage/snapshot-file.ts";
import type { JudgedState } from "../storage/snapshot-task.ts";
import type { SnapshotChunk, SnapshotOffer } from "./snapshot-send.ts";

/**
 * The side that lacks the state. Chunks are asked for a few at a time, each with its checksum, and written where they belong; what is on disk
 * is not asked for again, neither after a lost connection nor after a restart. A whole file is read once more, page by page, and believed
 * only when its digest and what it says of itself are what was offered.
 *
 *   DATA/snapshots/incoming.part    the file, as long as it has come
 *   DATA/snapshots/incoming.json    the offer that it belongs to
 *   DATA/snapshots/installing.json  from before the file takes state.db's place until the log begins after it
 */
export interface SnapshotReceivePorts {
  readonly dataDir: string;
  readonly cluster: string;
  /** A state of that entry or a later one is of use. */
  oldest(): number;
  /** Reads the file whole, which takes its time. Throws Fault. */
  check(path: string): Promise<JudgedState>;
  chunk(peer: NodeId, id: string, number: number): Promise<SnapshotChunk>;
  done(peer: NodeId, id: string, ok: boolean): Promise<void>;
  /** Gives the verified state to consensus, which may refuse it; resolves with whether it was taken. */
  offerToRaft(snapshot: SnapshotMeta): Promise<void>;
  readonly log: (level: "info" | "warn", message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

const retryMs = 250;

/** Receives one snapshot at a time. */
export class SnapshotReceiver {
  readonly #ports: SnapshotReceivePorts;
  readonly #directory: string;
  #current: string | undefined;
  #closed = false;

  constructor(ports: SnapshotReceivePorts) {
    this.#ports = ports;
    this.#directory = snapshotDirectory(ports.dataDir);
  }

  /** The verified file, for the state writer. */
  get path(): string {
    return join(this.#directory, partName);
  }

  /** A peer offers one. Throws Fault "peer-refused" that says why it is not wanted. */
  offered(peer: NodeId, offer: SnapshotOffer): void {
    if (offer.cluster !== this.#ports.cluster) throw refused("it is of another cluster");
    if (offer.snapshot.index < this.#ports.oldest()) throw refused("it is older than what is here");
    if (this.#current !== undefined) {
      if (this.#current === offer.id) return;
      throw refused(`snapshot ${this.#current} is on its way already`);
    }
    this.#current = offer.id;
    void this.#receive(peer, offer);
  }

  /** One is on its way, or is being judged. */
  get isReceiving(): boolean {
    return this.#current !== undefined;
  }

  async #receive(peer: NodeId, offer: SnapshotOffer): Promise<void> {
    let ok = false;
    try {
      this.#prepare(offer);
      await this.#pull(peer, offer);
      await this.#verify(offer);
      this.#current = undefined;
      writeSynced(join(this.#directory, installingName), JSON.stringify({ index: offer.snapshot.index }));
      syncDirectory(this.#directory);
      await this.#ports.offerToRaft(offer.snapshot);
      ok = true;
    } catch (error) {
      if (!(error instanceof Fault) && (error as { code?: unknown }).code === undefined) throw error;
      this.#ports.log("warn", `a snapshot was not received: ${(error as Error).message}`, { from: peer });
    } finally {
      this.#current = undefined;
    }
    if (!this.#closed) await this.#ports.done(peer, offer.id, ok).catch(() => {}); // its sender notices the silence
  }

  /** What is here of the same file is kept; room is made sure of before the first byte. */
  #prepare(offer: SnapshotOffer): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const label = join(this.#directory, offerName);
    const isSame = existsSync(label) && existsSync(this.path) && readFileSync(label, "utf8") === offer.id;
    if (!isSame) {
      rmSync(this.path, { force: true });
      writeSynced(label, offer.id);
    }
    const { bavail, bsize } = statfsSync(this.#directory);
    const needed = offer.bytes - this.#length(offer);
    if (needed * 1.1 > bavail * bsize) {
      throw new Fault(
        "disk-full",
        `it needs ${needed} bytes, ${bavail * bsize} are free in ${this.#directory}`,
        "safe",
      );
    }
  }

  #length({ chunkBytes }: SnapshotOffer): number {
    const length = existsSync(this.path) ? statSync(this.path).size : 0;
    return length - (length % chunkBytes);
  }

  async #pull(peer: NodeId, offer: SnapshotOffer): Promise<void> {
    const { id, bytes, chunkBytes } = offer;
    const handle = openSync(this.path, existsSync(this.path) ? "r+" : "w", 0o600);
    try {
      let at = this.#length(offer);
      ftruncateSync(handle, at);
      if (at > 0) this.#ports.log("info", "a snapshot is gone on with", { index: offer.snapshot.index, received: at });
      let heardAt = monotonicMs();
      while (at < bytes && !this.#closed) {
        const first = at / chunkBytes;
        const count = Math.min(limits.snapshotChunksInFlight, Math.ceil((bytes - at) / chunkBytes));
        try {
          const asked = Array.from({ length: count }, (_, place) => this.#ports.chunk(peer, id, first + place));
          for (const answer of await Promise.allSettled(asked)) {
            if (answer.status === "rejected") throw answer.reason;
            const { data, crc } = answer.value;
            if (Bun.hash.crc32(data) !== crc) throw new Fault("protocol", "a chunk was damaged", "safe");
            writeSync(handle, data, 0, data.length, at);
            at += data.length;
            heardAt = monotonicMs();
          }
        } catch (error) {
          const gone = error instanceof Fault && error.code === "peer-refused";
          if (!(error instanceof Fault) || gone || monotonicMs() - heardAt > limits.snapshotIdleMs) throw error;
          await new Promise((resolve) => setTimeout(resolve, retryMs));
        }
      }
      // What has come is gone on with after the next start, and is not judged before it is whole.
      if (at < bytes) throw new Fault("peer-unreachable", "this node is stopping", "safe");
    } finally {
      closeSync(handle);
    }
  }

  async #verify({ sha256, snapshot, hash }: SnapshotOffer): Promise<void> {
    const judged = await this.#ports.check(this.path);
    const meta = metaOf(judged.place);
    const isSame = judged.sha256 === sha256 && meta?.index === snapshot.index && meta.term === snapshot.term;
    if (isSame && (hash === undefined || judged.place.hash === hash)) return;
    rmSync(this.path, { force: true });
    throw new Fault("data", "what arrived is not what was offered: it is thrown away", "safe");
  }

  /** The log begins after it, durably: nothing is to be gone on with. */
  installed(): void {
    rmSync(join(this.#directory, installingName), { force: true });
    syncDirectory(this.#directory);
  }

  close(): void {
    this.#closed = true;
  }
}

const partName = "incoming.part";
const offerName = "incoming.id";
const installingName = "installing.json";

function snapshotDirectory(dataDir: string): string {
  return join(dataDir, "snapshots");
}

/** A snapshot was taking the place of state.db when the node ended: where the two differ the state is right, and the log follows. */
export function isInstalling(dataDir: string): boolean {
  return existsSync(join(snapshotDirectory(dataDir), installingName));
}

/** At start, when log and state agree: copies that were made for others go, and so does the mark; what was half received stays. */
export function tidySnapshots(dataDir: string): void {
  const directory = snapshotDirectory(dataDir);
  if (!existsSync(directory)) return;
  for (const name of readdirSync(directory)) {
    if (name !== partName && name !== offerName) rmSync(join(directory, name), { force: true });
  }
}

/** Where a copy for others is made. */
export function newSnapshotPath(dataDir: string, number: number): string {
  mkdirSync(snapshotDirectory(dataDir), { recursive: true, mode: 0o700 });
  return join(snapshotDirectory(dataDir), `made-${number}.db`);
}

function refused(why: string): Fault {
  return new Fault("peer-refused", `the snapshot is not wanted: ${why}`, "never");
}
