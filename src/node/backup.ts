import { createHash } from "node:crypto";
import { closeSync, openSync, readSync, rmSync } from "node:fs";
import { type BackupManifest, encodeBackupHead } from "../lib/backup-file.ts";
import { formatInstant } from "../lib/calendar.ts";
import { type Epoch, formatEpoch } from "../lib/epoch.ts";
import { Fault } from "../lib/fault.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { clusterRow, stateHash } from "../state/queries.ts";
import { StateReader } from "../storage/state-reader.ts";
import type { MadeSnapshot } from "./snapshot-send.ts";

/** A backup that is being handed out: pieces of it in order; `remove` in any case. */
export interface Backup {
  readonly manifest: BackupManifest;
  pieces(): Generator<Uint8Array, void, undefined>;
  remove(): void;
}

export interface BackupPorts {
  readonly cluster: string;
  readonly epoch: Epoch;
  readonly node: number;
  readonly name: string;
  readonly version: string;
  /** Resolves when the state here has everything that was acknowledged before. */
  catchUp(): Promise<Outcome<unknown>>;
  /** Copies the state into a file, without what a backup must not hold (K1). Throws Fault. */
  copy(): Promise<MadeSnapshot>;
  now(): number;
}

const pieceBytes = 256 * 1024;

/** Makes one backup at a time: each costs the disk a copy of the state. */
export class Backups {
  readonly #ports: BackupPorts;
  #running = false;

  constructor(ports: BackupPorts) {
    this.#ports = ports;
  }

  /** Of the state as it is on this node now, after it has caught up unless `stale` is asked for. */
  async make(stale: boolean): Promise<Outcome<Backup>> {
    if (this.#running)
      return refuse("busy", "this node makes a backup already: wait for it, or ask another node", {
        retryAfterMs: 5000,
        retry: "safe",
      });
    this.#running = true;
    try {
      const caught = stale ? accept(undefined) : await this.#ports.catchUp();
      if (!caught.ok) {
        this.#running = false;
        return caught;
      }
      return accept(this.#backupOf(await this.#ports.copy()));
    } catch (error) {
      this.#running = false;
      if (!(error instanceof Fault)) throw error;
      if (error.code === "disk-full")
        return refuse("no-room", `this node can make no backup: ${error.message}`, { retry: "safe" });
      return refuse("unavailable", `no backup can be made here: ${error.message}`, {
        retryAfterMs: 10_000,
        retry: "safe",
      });
    }
  }

  #backupOf({ path, snapshot, bytes, sha256 }: MadeSnapshot): Backup {
    const { cluster, epoch, node, name, version } = this.#ports;
    const { voters, outgoing, learners } = snapshot.configuration;
    const manifest: BackupManifest = {
      format: 1,
      cluster,
      epoch: formatEpoch(epoch),
      index: snapshot.index,
      term: snapshot.term,
      ...stateIn(path),
      configuration: { voters, outgoing, learners },
      made_at: formatInstant(this.#ports.now()),
      made_by: { node, name, version },
      bytes,
      sha256,
    };
    let isRemoved = false;
    return {
      manifest,
      *pieces() {
        yield encodeBackupHead(manifest, digest);
        yield* piecesOf(path, bytes);
      },
      remove: () => {
        if (isRemoved) return;
        isRemoved = true;
        rmSync(path, { force: true });
        this.#running = false;
      },
    };
  }
}

/** What the copy says of itself: the state goes on changing. */
function stateIn(path: string): { readonly level: number; readonly hash: string } {
  const reader = new StateReader(path);
  try {
    return reader.snapshot(() => ({ level: clusterRow(reader)?.level ?? 0, hash: stateHash(reader) }));
  } finally {
    reader.close();
  }
}

/** SHA-256 in hexadecimal digits. */
export function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function* piecesOf(path: string, bytes: number): Generator<Uint8Array, void, undefined> {
  const handle = openSync(path, "r");
  try {
    for (let at = 0; at < bytes;) {
      const piece = new Uint8Array(Math.min(pieceBytes, bytes - at));
      const read = readSync(handle, piece, 0, piece.length, at);
      if (read === 0) throw new Fault("disk", `${path} ended before its end`, "safe");
      at += read;
      yield piece.subarray(0, read);
    }
  } finally {
    closeSync(handle);
  }
}
