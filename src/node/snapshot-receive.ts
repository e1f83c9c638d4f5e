import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
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
 *   DATA/snapshots/incoming.id      the offer that it belongs to
 *   DATA/snapshots/verified.db      the whole file, believed: nothing is written to it any more
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
  /** Gives the verified state to consensus, which may refuse it. */
  offerToRaft(snapshot: SnapshotMeta): Promise<Verdict>;
  readonly log: (level: "info" | "warn", message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/**
 * What became of a verified state: "later", there is no leader to hear of it from; "installing", it takes the present one's place, and `installed()`
 * is called once the log begins after it; "ended", it has done so already, or is of no use.
 */
export type Verdict = "later" | "installing" | "ended";

const retryMs = 250;
/** Between two looks for a leader. */
const leaderMs = 50;

/** Receives one snapshot at a time: the next one is not taken before this one is installed or declined. */
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
    return join(this.#directory, verifiedName);
  }

  get #part(): string {
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

  /** One is on its way, is being judged, or takes the state's place. */
  get isReceiving(): boolean {
    return this.#current !== undefined;
  }

  async #receive(peer: NodeId, offer: SnapshotOffer): Promise<void> {
    let ok = false;
    try {
      this.#prepare(offer);
      await this.#pull(peer, offer);
      await this.#verify(offer);
      // Under a name of its own from here on: whatever is received next, this file stays as it was believed.
      renameSync(this.#part, this.path);
      writeSynced(join(this.#directory, installingName), JSON.stringify({ index: offer.snapshot.index }));
      syncDirectory(this.#directory);
      if ((await this.#decided(offer.snapshot)) === "ended") this.installed();
      ok = true;
    } catch (error) {
      if (!(error instanceof Fault) && (error as { code?: unknown }).code === undefined) throw error;
      this.#ports.log("warn", `a snapshot was not received: ${(error as Error).message}`, { from: peer });
      this.#current = undefined;
    }
    if (!this.#closed) await this.#ports.done(peer, offer.id, ok).catch(() => {}); // its sender notices the silence
  }

  /** Waits for a leader, but not for ever: the same file is gone on with, whole as it is, when it is offered again. Throws Fault. */
  async #decided(snapshot: SnapshotMeta): Promise<Verdict> {
    const since = monotonicMs();
    for (;;) {
      if (this.#closed) throw new Fault("peer-unreachable", "this node is stopping", "safe");
      const verdict = await this.#ports.offerToRaft(snapshot);
      if (verdict !== "later") return verdict;
      if (monotonicMs() - since > limits.snapshotIdleMs) {
        rmSync(join(this.#directory, installingName), { force: true });
        renameSync(this.path, this.#part);
        syncDirectory(this.#directory);
        throw new Fault("peer-unreachable", "no leader was heard that it could be taken from", "safe");
      }
      await new Promise((resolve) => setTimeout(resolve, leaderMs));
    }
  }

  /** What is here of the same file is kept; room is made sure of before the first byte. */
  #prepare(offer: SnapshotOffer): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const label = join(this.#directory, offerName);
    rmSync(this.path, { force: true }); // of one that consensus was not given
    const isSame = existsSync(label) && existsSync(this.#part) && readFileSync(label, "utf8") === offer.id;
    if (!isSame) {
      rmSync(this.#part, { force: true });
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
    const length = existsSync(this.#part) ? statSync(this.#part).size : 0;
    return length - (length % chunkBytes);
  }

  async #pull(peer: NodeId, offer: SnapshotOffer): Promise<void> {
    const { id, bytes, chunkBytes } = offer;
    const handle = openSync(this.#part, existsSync(this.#part) ? "r+" : "w", 0o600);
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
            const isFit = data.length > 0 && data.length <= Math.min(chunkBytes, bytes - at);
            if (!isFit || Bun.hash.crc32(data) !== crc) throw new Fault("protocol", "a chunk was damaged", "safe");
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
    const judged = await this.#ports.check(this.#part);
    const meta = metaOf(judged.place);
    const isSame = judged.sha256 === sha256 && meta?.index === snapshot.index && meta.term === snapshot.term;
    if (isSame && (hash === undefined || judged.place.hash === hash)) return;
    rmSync(this.#part, { force: true });
    throw new Fault("data", "what arrived is not what was offered: it is thrown away", "safe");
  }

  /** The log begins after it, durably, or it is of no use: nothing is to be gone on with, and the next one may come. */
  installed(): void {
    rmSync(this.path, { force: true });
    rmSync(join(this.#directory, installingName), { force: true });
    syncDirectory(this.#directory);
    this.#current = undefined;
  }

  close(): void {
    this.#closed = true;
  }
}

const partName = "incoming.part";
const offerName = "incoming.id";
const verifiedName = "verified.db";
const installingName = "installing.json";

function snapshotDirectory(dataDir: string): string {
  return join(dataDir, "snapshots");
}

/**
 * A snapshot of that entry was taking the place of state.db when the node ended: where log and state differ there, the state is right, and the log
 * follows. Throws Fault "data" when the mark cannot be read, for then nobody knows which of the two is.
 */
export function installingIndex(dataDir: string): number | undefined {
  const path = join(snapshotDirectory(dataDir), installingName);
  if (!existsSync(path)) return undefined;
  try {
    const { index } = JSON.parse(readFileSync(path, "utf8")) as { readonly index?: unknown };
    if (typeof index === "number") return index;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  const what = "remove this node's data directory and join again as a new node; the other members have it";
  throw new Fault("data", `${path} is damaged: ${what}`, "never");
}

/** At start, when log and state agree: copies that were made for others go, and so does the mark; what was received stays, half or whole. */
export function tidySnapshots(dataDir: string): void {
  const directory = snapshotDirectory(dataDir);
  if (!existsSync(directory)) return;
  const [verified, part] = [join(directory, verifiedName), join(directory, partName)];
  if (existsSync(verified) && !existsSync(part)) renameSync(verified, part);
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
