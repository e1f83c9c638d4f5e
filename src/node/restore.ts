import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { backupHeadBytesMax, type BackupManifest, parseBackupHead } from "../lib/backup-file.ts";
import { type Epoch, epochOfIndex } from "../lib/epoch.ts";
import { Fault } from "../lib/fault.ts";
import { nodeId } from "../lib/ids.ts";
import { formatSize } from "../lib/units.ts";
import { beginRestored, restoredNodeId } from "../state/generation.ts";
import { ownLevel } from "../state/levels.ts";
import { openDataDir } from "../storage/data-dir.ts";
import { checkState } from "../storage/snapshot-file.ts";
import { StateReader } from "../storage/state-reader.ts";
import type { Identity } from "../storage/types.ts";
import { digest } from "./backup.ts";
import type { BootOptions } from "./boot-options.ts";
import { hashSecret, newApiToken, parseApiToken } from "./credentials.ts";
import { beginEpoch, decideEpoch, finishEpochChange, makeNextEpoch, type Step } from "./epoch-change.ts";
import { foundAuthority, newClusterName } from "./member.ts";
import { operator } from "./recover.ts";
import { hostsOf } from "./requests.ts";

/**
 * A backup becomes a cluster of its own, of one node in a data directory that was empty: another name, another authority and another epoch than the
 * one that it was made of, so that old members can neither talk to it nor be taken for its own. People's API tokens stay good.
 */
export interface RestoreOptions {
  readonly file: string;
  readonly dataDir: string;
  /** undefined: the host's name. */
  readonly name: string | undefined;
  readonly version: string;
  readonly environment: BootOptions["environment"];
  /** Told how far the file is, in bytes: it is read twice. */
  readonly progress: (done: number, total: number) => void;
  readonly step?: Step | undefined;
}

export interface Restored {
  readonly manifest: BackupManifest;
  readonly cluster: string;
  readonly epoch: Epoch;
  readonly node: number;
  readonly name: string;
}

const pieceBytes = 1024 * 1024;

/** Reads the whole file before anything is touched. Throws Fault "data" that says what is wrong with the file or the directory. */
export async function restore(options: RestoreOptions): Promise<Restored> {
  const { file, step = () => {} } = options;
  const handle = openBackup(file);
  try {
    const { manifest, stateFrom } = readHead(handle, file);
    if (manifest.level > ownLevel) {
      throw new Fault(
        "data",
        `${file} is of a cluster at level ${manifest.level}, and this version of skein understands ${ownLevel}: use a newer one`,
        "never",
      );
    }
    // Before a lock or anything else is written into what may be somebody's.
    if (existsSync(options.dataDir)) expectEmpty(options.dataDir);
    const total = 2 * manifest.bytes;
    copyVerified(handle, file, manifest, stateFrom, undefined, (done) => options.progress(done, total));
    const directory = openDataDir(options.dataDir);
    try {
      // What was decided before, by a restore that broke off, is gone on with by `up`; a second one must not begin beside it.
      expectEmpty(directory.path);
      expectRoom(directory.path, manifest.bytes);
      const next = makeNextEpoch(directory.path);
      step("next-epoch/ made");
      const statePath = join(next, "state.db");
      const onCopied = (done: number): void => options.progress(manifest.bytes + done, total);
      copyVerified(handle, file, manifest, stateFrom, statePath, onCopied);
      expectSame(statePath, file, manifest);
      step("state copied");
      return await found(options, directory.path, next, manifest, step);
    } finally {
      directory.close();
    }
  } finally {
    closeSync(handle);
  }
}

async function found(
  { name: wanted, version, environment }: RestoreOptions,
  dataDir: string,
  next: string,
  manifest: BackupManifest,
  step: Step,
): Promise<Restored> {
  const cluster = newClusterName();
  const epoch: Epoch = { number: epochOfIndex(manifest.index) + 1, id: randomBytes(4).toString("hex") };
  const id = readState(join(next, "state.db"), restoredNodeId);
  const name = wanted ?? hostname();
  const node = nodeId(id);
  const secrets = await foundAuthority(cluster, node, hostsOf([]), environment);
  const token = newApiToken();
  const parsed = parseApiToken(token.text)!;
  const announced = { incarnation: "0", api: "", peer: "", labels: {}, slots: 0, ioTasks: 0, level: ownLevel, version };
  beginEpoch(next, ownLevel, [], {
    epochNumber: epoch.number,
    term: manifest.term + 1,
    configuration: { voters: [node], outgoing: [], learners: [], learnersNext: [] },
    rows: (tx, index) => {
      const what = `from a backup of cluster ${manifest.cluster} at entry ${manifest.index}, made ${manifest.made_at}; as cluster ${cluster}`;
      const facts = { index, at: Date.now(), by: operator(), command: "cluster.restore", what } as const;
      const admin = { id: parsed.id, hash: hashSecret(parsed.secret), name: "admin" };
      beginRestored(tx, facts, { id: node, cluster, node: { name, ...announced }, token: admin });
    },
  });
  step("new files made");
  const identity: Identity = { version: 2, cluster, epoch, node, name, starts: 0, api: "", peer: "", peers: [] };
  const context = { addrs: [], token: token.text, cluster, node };
  decideEpoch(dataDir, { identity, hasState: true, founded: { context, ...secrets }, asideAs: undefined });
  step("decided");
  finishEpochChange(dataDir, step);
  return { manifest, cluster, epoch, node, name };
}

function openBackup(file: string): number {
  try {
    return openSync(file, "r");
  } catch (error) {
    throw new Fault("data", `${file} cannot be read: ${(error as Error).message}`, "never", error);
  }
}

function readHead(handle: number, file: string): { readonly manifest: BackupManifest; readonly stateFrom: number } {
  const about = fstatSync(handle);
  if (!about.isFile()) {
    const what = about.isDirectory() ? "is a directory" : "is no file that can be read twice";
    throw new Fault("data", `${file} ${what}: name the file that 'skein backup' wrote`, "never");
  }
  const { size } = about;
  const start = new Uint8Array(Math.min(backupHeadBytesMax, size));
  const read = start.length === 0 ? 0 : readSync(handle, start, 0, start.length, 0);
  const head = parseBackupHead(start.subarray(0, read), digest);
  if ("problem" in head) throw new Fault("data", `${file} ${head.problem}`, "never");
  const whole = head.stateFrom + head.manifest.bytes;
  if (size < whole)
    throw new Fault(
      "data",
      `${file} is cut short: it has ${size} of ${whole} bytes; fetch it again from where it is whole`,
      "never",
    );
  if (size > whole)
    throw new Fault("data", `${file} is damaged: it has ${size} bytes, and should have ${whole}`, "never");
  return head;
}

/** Reads the state out of the file, into `to` if that is given, and believes it only with the right checksum. */
function copyVerified(
  handle: number,
  file: string,
  { bytes, sha256 }: BackupManifest,
  from: number,
  to: string | undefined,
  progress: (done: number) => void,
): void {
  const hasher = createHash("sha256");
  const piece = new Uint8Array(pieceBytes);
  const target = to === undefined ? undefined : openSync(to, "wx", 0o600);
  try {
    for (let at = 0; at < bytes;) {
      const read = readSync(handle, piece, 0, Math.min(piece.length, bytes - at), from + at);
      if (read === 0) throw new Fault("data", `${file} was cut short while it was read`, "never");
      hasher.update(piece.subarray(0, read));
      if (target !== undefined) writeWhole(target, piece.subarray(0, read));
      at += read;
      progress(at);
    }
    if (target !== undefined) fsyncSync(target);
  } finally {
    if (target !== undefined) closeSync(target);
  }
  if (hasher.digest("hex") !== sha256)
    throw new Fault(
      "data",
      `${file} is damaged: its state is not what was written; fetch it again from where it is whole`,
      "never",
    );
}

function writeWhole(target: number, piece: Uint8Array): void {
  for (let at = 0; at < piece.length;) at += writeSync(target, piece, at, piece.length - at);
}

/** Of a file that is what was written, this can only fail when it was made wrong. */
function expectSame(path: string, file: string, manifest: BackupManifest): void {
  const place = checkState(path);
  if (place.applied !== manifest.index || place.term !== manifest.term || place.hash !== manifest.hash)
    throw new Fault("data", `${file} holds another state than its manifest says`, "never");
}

function readState<Value>(path: string, query: (reader: StateReader) => Value): Value {
  const reader = new StateReader(path);
  try {
    return reader.snapshot(() => query(reader));
  } finally {
    reader.close();
  }
}

/** What an `up` or a restore that broke off leaves in a directory that has no node yet. */
const ownLeftovers = /^(lost\+found|lock|lock\.pid|lock-journal|next-epoch)$/;

function expectEmpty(dataDir: string): void {
  const strange = readdirSync(dataDir).filter((name) => !ownLeftovers.test(name));
  const isDecided = existsSync(join(dataDir, "next-epoch", "ready.json"));
  if (strange.length === 0 && !isDecided) return;
  const found = isDecided
    ? "holds a restored cluster already: start it with 'skein up', or name an empty directory with --data"
    : `is not empty (${strange.slice(0, 3).join(", ")}), and nothing is restored over what is there: name an empty directory with --data`;
  throw new Fault("data", `${dataDir} ${found}`, "never");
}

function expectRoom(dataDir: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(dataDir);
  if (bytes * 1.1 > bavail * bsize)
    throw new Fault(
      "data",
      `${dataDir} has ${formatSize(bavail * bsize)} free, and the state needs ${formatSize(bytes)}`,
      "never",
    );
}
