import { isUtf8 } from "node:buffer";
import { lstat, open, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { abreast } from "../lib/abreast.ts";
import { type BundleEntry, type Manifest, manifestOf } from "../lib/bundle-manifest.ts";
import { limits } from "../lib/limits.ts";
import type { Problem } from "../lib/outcome.ts";
import { CheckoutFailure } from "./failure.ts";

/** A tree that is to be pushed, and where its files are on this host, by their SHA-256. */
export interface LocalTree {
  readonly manifest: Manifest;
  readonly places: ReadonlyMap<string, string>;
}

/** Files that are read at once. */
const readAtOnce = 8;
const pieceBytes = 1024 * 1024;

/**
 * Reads a directory whole: what is in it, and the SHA-256 of every file. Owners and times are left out, so that the same files give the same bundle wherever they were checked out.
 * Throws CheckoutFailure with every problem: what is neither a file, a directory nor a link, what cannot be read, and all that a bundle cannot hold.
 */
export async function scanDirectory(
  root: string,
  isLeftOut: (path: string) => boolean = () => false,
): Promise<LocalTree> {
  const entries: BundleEntry[] = [];
  const problems: Problem[] = [];
  const files: { readonly path: string; readonly mode: number }[] = [];
  /** undefined: it could not be read, which is one problem of the tree's. */
  const read = async <Value>(path: string, how: (place: string) => Promise<Value>): Promise<Value | undefined> => {
    try {
      return await how(join(root, path));
    } catch (error) {
      const message = unreadable(error);
      if (path === "" || message === undefined) throw error;
      problems.push({ path, message });
      return undefined;
    }
  };
  const walk = async (directory: string): Promise<void> => {
    // As bytes: of a name that is not UTF-8 nothing else would be left to find it by.
    const names = (await read(directory, (place) => readdir(place, { encoding: "buffer" }))) ?? [];
    for (const bytes of names.toSorted((a, b) => Buffer.compare(a, b))) {
      const name = bytes.toString("utf8");
      const path = directory === "" ? name : `${directory}/${name}`;
      if (isLeftOut(path)) continue;
      if (!isUtf8(bytes)) {
        problems.push({ path: pathOfBytes(directory, bytes), message: "has a name that is not text in UTF-8" });
        continue;
      }
      const found = await read(path, (place) => lstat(place));
      if (found === undefined) continue;
      const mode = found.mode & 0o7777;
      if (found.isSymbolicLink()) {
        const target = await read(path, (place) => readlink(place));
        if (target !== undefined) entries.push({ kind: "link", path, target });
      } else if (found.isFile()) files.push({ path, mode });
      else if (found.isDirectory()) {
        const before = entries.length + files.length;
        await walk(path);
        // Others follow from the paths of what is in them.
        if (entries.length + files.length === before || (mode & 0o777) !== usualMode)
          entries.push({ kind: "directory", path, mode: mode & 0o777 });
      } else
        problems.push({
          path,
          message: `is ${found.isSocket() ? "a socket" : found.isFIFO() ? "a pipe" : "a device"}: a bundle has files, directories and links`,
        });
      if (entries.length + files.length > limits.bundleEntries)
        throw new CheckoutFailure(
          "invalid",
          `${root} has more than ${limits.bundleEntries} files: name a smaller directory`,
        );
    }
  };
  try {
    await walk("");
    const places = new Map<string, string>();
    await abreast(files, readAtOnce, async ({ path, mode }) => {
      const hashed = await read(path, hashFile);
      if (hashed === undefined) return;
      const { sha256, size } = hashed;
      entries.push({ kind: "file", path, mode, size, sha256 });
      places.set(sha256, join(root, path));
    });
    return { manifest: checked(entries, problems, root), places };
  } catch (error) {
    if (error instanceof CheckoutFailure || (error as NodeJS.ErrnoException).code === undefined) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new CheckoutFailure("invalid", `${root} is not there: name a directory`);
    if (code === "ENOTDIR") throw new CheckoutFailure("invalid", `${root} is no directory`);
    const why = unreadable(error);
    if (why !== undefined) throw new CheckoutFailure("invalid", `${root} ${why}`);
    throw new CheckoutFailure("host", `${root} cannot be read: ${message}`);
  }
}

/** What is wrong with one path; undefined: it is this host, of which the next path would say the same. */
function unreadable(error: unknown): string | undefined {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined || ["EMFILE", "ENFILE", "ENOMEM"].includes(code)) return undefined;
  if (code === "EACCES" || code === "EPERM") return "cannot be read: you have no permission for it";
  if (code === "ENOENT") return "went away while it was read: push again when nobody changes the tree";
  return `cannot be read: ${message}`;
}

/** For people: bytes that are no text as \xe9. */
function pathOfBytes(directory: string, name: Buffer): string {
  const shown = name.toString("latin1").replace(/[\x80-\xff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`);
  return directory === "" ? shown : `${directory}/${shown}`;
}

const usualMode = 0o755;

/** The manifest of what was found. Throws CheckoutFailure with every problem. */
export function checked(entries: readonly BundleEntry[], problems: readonly Problem[], what: string): Manifest {
  const read = manifestOf(entries);
  const all = [...problems, ...(read.ok ? [] : read.problems)];
  if (read.ok && all.length === 0) return read.manifest;
  throw new CheckoutFailure(
    "invalid",
    `${what} cannot be a bundle: ${all.length === 1 ? "of one thing in it" : `of ${all.length} things in it`}`,
    all,
  );
}

async function hashFile(path: string): Promise<{ readonly sha256: string; readonly size: number }> {
  const hasher = new Bun.CryptoHasher("sha256");
  const file = await open(path, "r");
  try {
    let size = 0;
    const piece = new Uint8Array(pieceBytes);
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, piece.length, size);
      if (bytesRead === 0) return { sha256: hasher.digest("hex"), size };
      hasher.update(piece.subarray(0, bytesRead));
      size += bytesRead;
    }
  } finally {
    await file.close();
  }
}
