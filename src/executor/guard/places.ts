import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readFileSync, realpathSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "../../lib/fault.ts";

/** Where the guard of a data directory keeps its things. */
export interface Places {
  /** Absolute, symbolic links resolved: the same directory has the same marker however it was named. */
  readonly dataDir: string;
  /** Tells this data directory's processes from those of others on the host. */
  readonly marker: string;
  readonly lock: string;
  readonly outbox: string;
  /** Which process owns the guard's place, and its socket: see {@link GuardFile}. */
  readonly file: string;
  readonly scratch: string;
  /** The same of tasks that run as another user, who may not look into the data directory. */
  readonly userScratch: string;
  readonly log: string;
}

export interface GuardFile {
  readonly version: 1;
  /** Of the directory it was written for: a copied or moved data directory must not reach the guard of the first one. */
  readonly marker: string;
  readonly pid: number;
  readonly socket: string;
}

/** The places of an existing data directory. Throws Fault "data" when it is not there. */
export function placesOf(dataDir: string): Places {
  const real = realDirectory(dataDir);
  const marker = createHash("sha256").update(real).digest("hex").slice(0, 16);
  return {
    dataDir: real,
    marker,
    lock: join(real, "guard.lock"),
    outbox: join(real, "guard.outbox"),
    file: join(real, "guard.json"),
    scratch: join(real, "scratch"),
    userScratch: join("/tmp", `skein-scratch-${marker}`),
    log: join(real, "guard.log"),
  };
}

function realDirectory(dataDir: string): string {
  try {
    return realpathSync(dataDir);
  } catch (error) {
    throw new Fault("data", `the data directory ${dataDir} cannot be used: ${String(error)}`, "never", error);
  }
}

/** The path of a unix socket ends at 107 bytes in Linux, at 103 elsewhere. */
const socketPathBytesMax = 100;

/**
 * DIR/guard.sock, or a short place for it when the data directory's path is too long: a directory of this user's alone, named by
 * the marker. Throws Fault "data" when that directory is somebody else's.
 */
export function chooseSocket(places: Places): string {
  const near = join(places.dataDir, "guard.sock");
  if (Buffer.byteLength(near) <= socketPathBytesMax) return near;
  const user = process.getuid?.() ?? 0;
  const directory = join(process.env["XDG_RUNTIME_DIR"] ?? tmpdir(), `skein-${user}`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const found = lstatSync(directory);
  if (!found.isDirectory() || found.uid !== user || (found.mode & 0o077) !== 0) {
    throw new Fault(
      "data",
      `${directory} must be a directory of this user's alone (mode 0700): remove it or set XDG_RUNTIME_DIR`,
      "never",
    );
  }
  return join(directory, `${places.marker}.sock`);
}

/** What the guard said of itself, or undefined when there is nothing readable. */
export function readGuardFile(places: Places): GuardFile | undefined {
  try {
    const read = JSON.parse(readFileSync(places.file, "utf8")) as GuardFile;
    const isOurs = read.version === 1 && read.marker === places.marker;
    return isOurs && typeof read.socket === "string" ? read : undefined;
  } catch {
    return undefined; // absent, or cut short by a crash: there is no guard to find through it
  }
}

/** Puts the file in place in one step: a reader sees the old one or the new one. */
export function writeGuardFile(places: Places, content: GuardFile): void {
  const draft = `${places.file}.new`;
  writeFileSync(draft, `${JSON.stringify(content)}\n`, { mode: 0o600 });
  renameSync(draft, places.file);
}
