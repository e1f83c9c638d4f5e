import { randomBytes } from "node:crypto";
import { constants, statSync } from "node:fs";
import {
  copyFile,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { abreast } from "../lib/abreast.ts";
import { type BundleFile, type Manifest, parseManifest } from "../lib/bundle-manifest.ts";
import { wallMs } from "../lib/clock.ts";
import { sha256Form, sha256Of } from "../lib/digest.ts";
import { Fault } from "../lib/fault.ts";
import { limits } from "../lib/limits.ts";

/** A file by its content. */
export type Blob = Pick<BundleFile, "sha256" | "size">;

/**
 * Files by the SHA-256 of what is in them, and the bundles that they are of, in a node's data directory:
 *
 *   blobs/ab/cdef…        a file, once however many bundles have it
 *   blobs/new/SHA.RANDOM  one that is here and not synced yet
 *   blobs/new/SHA.part    of a large file what has come so far: it goes on there, in another process too
 *   blobs/bundles/DIGEST  the manifest of a bundle of which every file is here and synced
 *
 * A file is checked before it is taken, and whenever it is read: what is wrong is removed, and is then as if it had never been here. Files are synced many at a time, by
 * {@link settle}, which whoever promises anything waits for: one by one they would take longer than all the rest. What was not synced when a process ended is checked again by the next.
 */
export class BlobStore {
  readonly #blobs: string;
  readonly #new: string;
  readonly #bundles: string;
  /** Files that are not synced yet: where they are. */
  readonly #staged = new Map<string, string>();
  /** Appends to one file come one after the other. */
  readonly #appending = new Map<string, Promise<unknown>>();
  /** Manifests that are being written: who brings the same bundle meanwhile waits for that. */
  readonly #holding = new Map<string, Promise<void>>();
  readonly #manifests = new Map<string, Manifest>();
  /** What is being swept: whoever looks for it now is told that it is not here. */
  #sweeping: string | undefined;
  #opened: Promise<void> | undefined;
  #settling: Promise<void> = Promise.resolve();

  constructor(dataDir: string) {
    this.#blobs = join(dataDir, "blobs");
    this.#new = join(this.#blobs, "new");
    this.#bundles = join(this.#blobs, "bundles");
  }

  /** Makes its directories, and looks at what an earlier process left unsynced; before anybody uses it nothing is done. */
  #open(): Promise<void> {
    this.#opened ??= this.#within(async () => {
      for (const directory of [this.#new, this.#bundles]) await mkdir(directory, { recursive: true, mode: 0o700 });
      await abreast(await listed(this.#new), limits.blobsAbreast, async (name) => {
        const [, sha256] = stagedName.exec(name) ?? [];
        const path = join(this.#new, name);
        if (sha256 === undefined) return;
        if (await isRight(path, sha256)) this.#staged.set(sha256, path);
        else await rm(path, { force: true }); // half of one, or what a power cut made of it
      });
    });
    this.#opened.catch(() => (this.#opened = undefined)); // the next one who needs it tries again
    return this.#opened;
  }

  #pathOf(sha256: string): string {
    return this.#staged.get(sha256) ?? join(this.#blobs, sha256.slice(0, 2), sha256.slice(2));
  }

  #newPath(sha256: string): string {
    return join(this.#new, `${sha256}.${randomBytes(6).toString("hex")}`);
  }

  // ------------------------------------------------------------------------------------------------- files

  /** Those of the files that are not here, each once. */
  async lacking(files: Iterable<Blob>): Promise<Blob[]> {
    await this.#open();
    const once = new Map<string, Blob>();
    for (const { sha256, size } of files) once.set(sha256, { sha256, size });
    const lacking: Blob[] = [];
    await abreast(once.values(), limits.blobsAbreast, async (file) => {
      if (!(await this.#has(file))) lacking.push(file);
    });
    return lacking;
  }

  async #has({ sha256, size }: Blob): Promise<boolean> {
    if (this.#sweeping === sha256) return false;
    for (let path: string | undefined = this.#pathOf(sha256); path !== undefined;) {
      try {
        const found = await stat(path);
        return found.isFile() && found.size === size;
      } catch (error) {
        if (!isMissing(error)) throw diskFault(error);
        const now = this.#pathOf(sha256);
        path = now === path ? undefined : now; // it got its place meanwhile
      }
    }
    return false;
  }

  /** Keeps a file of at most a piece. Throws Fault "data" when it is not what it is called. */
  async add(sha256: string, bytes: Uint8Array): Promise<void> {
    if (sha256Of(bytes) !== sha256) throw notWhatItIsCalled(sha256);
    await this.#within(async () => {
      await this.#open();
      if (await this.#has({ sha256, size: bytes.length })) return;
      const path = this.#newPath(sha256);
      try {
        await writeFile(path, bytes, { flag: "wx", mode: fileMode });
      } catch (error) {
        await rm(path, { force: true });
        throw error;
      }
      // Two may have come at once.
      if (this.#staged.has(sha256)) await rm(path, { force: true });
      else this.#staged.set(sha256, path);
    });
  }

  /**
   * Adds to a file of which a part may be here, from an earlier process too. Gives where to go on: its size when it is whole. What does not follow what is here is not taken.
   * Throws Fault "data" when it is whole and not what it is called; it begins anew then.
   */
  async append({ sha256, size }: Blob, offset: number, bytes: Uint8Array): Promise<number> {
    const before = this.#appending.get(sha256) ?? Promise.resolve();
    const mine = before.catch(() => {}).then(() => this.#append({ sha256, size }, offset, bytes));
    this.#appending.set(sha256, mine);
    try {
      return await mine;
    } finally {
      if (this.#appending.get(sha256) === mine) this.#appending.delete(sha256);
    }
  }

  #append(blob: Blob, offset: number, bytes: Uint8Array): Promise<number> {
    const { sha256, size } = blob;
    return this.#within(async () => {
      await this.#open();
      if (await this.#has(blob)) return size;
      const part = join(this.#new, `${sha256}.part`);
      const file = await open(part, constants.O_RDWR | constants.O_CREAT, fileMode);
      let isWhole = true;
      try {
        const { size: here } = await file.stat();
        if (here > size) await file.truncate(0);
        else if (offset !== here || here + bytes.length > size) return here;
        else await writeAll(file, bytes, offset);
        if (here > size || here + bytes.length < size) return here > size ? 0 : here + bytes.length;
        isWhole = (await hashOf(file, size)) === sha256;
      } finally {
        await file.close();
      }
      if (!isWhole) {
        await rm(part, { force: true });
        throw notWhatItIsCalled(sha256);
      }
      const path = this.#newPath(sha256);
      await rename(part, path);
      this.#staged.set(sha256, path);
      return size;
    });
  }

  /** How much there is of a file that is being put together here. */
  async partOf(sha256: string): Promise<number> {
    try {
      return (await stat(join(this.#new, `${sha256}.part`))).size;
    } catch (error) {
      if (isMissing(error)) return 0;
      throw diskFault(error);
    }
  }

  /** A file of at most a piece; undefined: it is not here, or was not what it is called and is removed. */
  async read({ sha256, size }: Blob): Promise<Uint8Array | undefined> {
    await this.#open();
    return await this.#reading(sha256, async (path) => {
      const bytes = await readFile(path);
      return bytes.length === size && sha256Of(bytes) === sha256 ? bytes : undefined;
    });
  }

  /** A piece of a larger file, unchecked: who puts them together checks the whole. undefined: it is not here. */
  async piece(sha256: string, offset: number): Promise<Uint8Array | undefined> {
    await this.#open();
    return await this.#reading(sha256, async (path) => {
      const file = await open(path, "r");
      try {
        return await readPiece(file, offset, limits.blobPieceBytes);
      } finally {
        await file.close();
      }
    });
  }

  /** Reads all of it: true when it is here and right. What is wrong is removed. */
  async check(sha256: string): Promise<boolean> {
    await this.#open();
    const right = await this.#reading(sha256, async (path) => ((await isRight(path, sha256)) ? true : undefined));
    return right === true;
  }

  /** Puts a copy there that shares nothing with the file here but, where the file system can, blocks until one is written to. False: it is not here, or was not right. */
  async copyTo({ sha256, size }: Blob, to: string, mode: number): Promise<boolean> {
    if (size > limits.blobPieceBytes) {
      await this.#open();
      const copied = await this.#reading(sha256, async (path) => {
        if (!(await isRight(path, sha256))) return undefined;
        await copyFile(path, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
        const file = await open(to, "r");
        try {
          await file.chmod(mode);
        } finally {
          await file.close();
        }
        return true;
      });
      return copied === true;
    }
    const bytes = await this.read({ sha256, size });
    if (bytes === undefined) return false;
    await this.#within(async () => {
      const file = await open(to, "wx", 0o600);
      try {
        if (bytes.length > 0) await file.writeFile(bytes);
        await file.chmod(mode);
      } finally {
        await file.close();
      }
    });
    return true;
  }

  async #reading<Value>(
    sha256: string,
    read: (path: string) => Promise<Value | undefined>,
  ): Promise<Value | undefined> {
    for (let path: string | undefined = this.#pathOf(sha256); path !== undefined;) {
      try {
        const value = await read(path);
        if (value === undefined) await this.#remove(sha256, path);
        return value;
      } catch (error) {
        // A block that cannot be read is not coming back by itself.
        if ((error as NodeJS.ErrnoException).code === "EIO") await this.#remove(sha256, path);
        else if (!isMissing(error)) throw diskFault(error);
        const now = this.#pathOf(sha256);
        path = now === path ? undefined : now; // it got its place meanwhile
      }
    }
    this.#staged.delete(sha256);
    return undefined;
  }

  async #remove(sha256: string, path: string): Promise<void> {
    this.#staged.delete(sha256);
    await rm(path, { force: true });
  }

  /** All that was kept before is synced, with its name, when this resolves. */
  settle(): Promise<void> {
    this.#settling = this.#settling.catch(() => {}).then(() => this.#within(() => this.#settle()));
    return this.#settling;
  }

  async #settle(): Promise<void> {
    await this.#open();
    const staged = [...this.#staged];
    if (staged.length === 0) return;
    await syncAll(
      staged.map(([, path]) => path),
      this.#new,
    );
    const prefixes = new Set(staged.map(([sha256]) => join(this.#blobs, sha256.slice(0, 2))));
    for (const directory of prefixes) await mkdir(directory, { recursive: true, mode: 0o700 });
    await abreast(staged, limits.blobsAbreast, async ([sha256, path]) => {
      try {
        await rename(path, join(this.#blobs, sha256.slice(0, 2), sha256.slice(2)));
      } catch (error) {
        if (!isMissing(error)) throw error; // it was found damaged, and removed
      }
      if (this.#staged.get(sha256) === path) this.#staged.delete(sha256);
    });
    await syncAll([...prefixes, this.#blobs], this.#new);
  }

  // ----------------------------------------------------------------------------------------------- bundles

  /** Every file of the bundle is here, synced: from now on this node has it. */
  hold(manifest: Manifest): Promise<void> {
    const { digest } = manifest;
    const begun = this.#holding.get(digest);
    if (begun !== undefined) return begun;
    const holding = this.#hold(manifest).finally(() => this.#holding.delete(digest));
    this.#holding.set(digest, holding);
    return holding;
  }

  async #hold({ text, digest }: Manifest): Promise<void> {
    await this.#within(async () => {
      await this.#open();
      const draft = join(this.#new, `${digest}.manifest`);
      const file = await open(draft, "w", fileMode);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(draft, join(this.#bundles, digest));
      await syncOf(this.#bundles);
    });
  }

  /** The manifest of a bundle that this node has; undefined: it has none of that digest, or it was damaged and is removed. */
  async manifest(digest: string): Promise<Manifest | undefined> {
    const path = join(this.#bundles, digest);
    const known = this.#manifests.get(digest);
    try {
      if (known !== undefined) {
        await stat(path);
        return known;
      }
      const manifest = parseManifest(await readFile(path, "utf8"), digest);
      if (manifest === undefined) await rm(path, { force: true });
      else this.#remember(manifest);
      return manifest;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw diskFault(error);
    }
  }

  #remember(manifest: Manifest): void {
    this.#manifests.set(manifest.digest, manifest);
    const [oldest] = this.#manifests.keys();
    if (this.#manifests.size > manifestsKept && oldest !== undefined) this.#manifests.delete(oldest);
  }

  /** This node does not have all of it any more, or is not to: its files stay until they are swept. */
  async drop(digest: string): Promise<void> {
    this.#manifests.delete(digest);
    await this.#within(() => rm(join(this.#bundles, digest), { force: true }));
  }

  /** Somebody counts on it from now on: it is not older than that. */
  async touch(digest: string): Promise<void> {
    try {
      await utimes(join(this.#bundles, digest), wallMs() / 1000, wallMs() / 1000);
    } catch (error) {
      if (!isMissing(error)) throw diskFault(error); // it went just now, and is fetched again
    }
  }

  /** The bundles that are here, and since when, or when somebody counted on them last (epoch ms). */
  async held(): Promise<ReadonlyMap<string, number>> {
    const held = new Map<string, number>();
    try {
      for (const name of await readdir(this.#bundles))
        if (sha256Form.test(name)) held.set(name, statSync(join(this.#bundles, name)).mtimeMs);
    } catch (error) {
      if (!isMissing(error)) throw diskFault(error);
    }
    return held;
  }

  /** Removes files that nobody wants and that were last written before `before` (epoch ms), so many at most; gives how many they were. */
  async sweep(isWanted: (sha256: string) => boolean, before: number, most: number): Promise<number> {
    let removed = 0;
    const prefixes = await listed(this.#blobs);
    for (const prefix of prefixes) {
      const directory = join(this.#blobs, prefix);
      const isDraft = prefix === "new";
      if (!isDraft && !/^[0-9a-f]{2}$/.test(prefix)) continue;
      for (const name of await listed(directory)) {
        if (removed >= most) return removed;
        const path = join(directory, name);
        // What waits to be synced is wanted by somebody, or was: an hour ago.
        const sha256 = isDraft ? name.slice(0, 64) : prefix + name;
        if (isWanted(sha256)) continue;
        const found = await stat(path).catch(() => undefined);
        if (found === undefined || found.mtimeMs >= before) continue;
        if (isWanted(sha256)) continue; // since just now
        this.#sweeping = sha256;
        await this.#remove(sha256, path).finally(() => (this.#sweeping = undefined));
        removed += 1;
      }
    }
    return removed;
  }

  async #within<Value>(body: () => Promise<Value>): Promise<Value> {
    try {
      return await body();
    } catch (error) {
      throw diskFault(error);
    }
  }
}

const fileMode = 0o600;
const stagedName = /^([0-9a-f]{64})\.[0-9a-f]{12}$/;
const syncedOneByOne = 8;
/** Of those that were read last: tasks of few bundles run at once. */
const manifestsKept = 16;

function isMissing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes(String((error as NodeJS.ErrnoException).code));
}

async function listed(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw diskFault(error);
  }
}

function notWhatItIsCalled(sha256: string): Fault {
  return new Fault("data", `what came as the file of SHA-256 ${sha256} has another one`, "safe");
}

/** What the file system threw, as who asked for the work is to be told. */
function diskFault(error: unknown): Fault {
  if (error instanceof Fault) return error;
  const { code } = error as NodeJS.ErrnoException;
  const message = error instanceof Error ? error.message : String(error);
  const isFull = code === "ENOSPC" || code === "EDQUOT";
  return new Fault(isFull ? "disk-full" : "data", `files of bundles cannot be kept here: ${message}`, "safe", error);
}

/** Of a whole file system at once where they are many: that takes about as long as for one of them. */
async function syncAll(paths: readonly string[], within: string): Promise<void> {
  if (paths.length > syncedOneByOne && Bun.which("sync") !== null) {
    const child = Bun.spawn(["sync", "-f", within], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
    if ((await child.exited) === 0) return;
  }
  await abreast(paths, limits.blobsAbreast, async (path) => {
    try {
      await syncOf(path);
    } catch (error) {
      if (!isMissing(error)) throw error; // damaged, and removed
    }
  });
}

async function isRight(path: string, sha256: string): Promise<boolean> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    return (await hashOf(file, size)) === sha256;
  } finally {
    await file.close();
  }
}

async function syncOf(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function readPiece(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let end = 0;
  while (end < length) {
    const { bytesRead } = await file.read(bytes, end, length - end, offset + end);
    if (bytesRead === 0) break;
    end += bytesRead;
  }
  return bytes.subarray(0, end);
}

async function hashOf(file: FileHandle, size: number): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  for (let at = 0; at < size;) {
    const piece = await readPiece(file, at, limits.blobPieceBytes);
    if (piece.length === 0) break;
    hasher.update(piece);
    at += piece.length;
  }
  return hasher.digest("hex");
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at);
    at += bytesWritten;
  }
}
