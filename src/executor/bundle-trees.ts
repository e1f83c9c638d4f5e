import { chmodSync, lstatSync, mkdirSync, readdirSync } from "node:fs";
import { chmod, lchown, lstat, mkdir, readdir, rename, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { abreast } from "../lib/abreast.ts";
import type { Manifest } from "../lib/bundle-manifest.ts";
import { monotonicMs, wallMs } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { BlobStore } from "./blob-store.ts";
import { placesOf } from "./guard/places.ts";
import { findUser } from "./guard/user.ts";
import { attemptKey } from "./names.ts";
import type { AttemptName } from "./types.ts";

/** A bundle on the disk, as the working directory of attempts. */
export interface BundleTree {
  readonly path: string;
  /** It is one attempt's alone, and goes with it. */
  readonly isOwn: boolean;
}

/**
 * own        a copy for the attempt, which may do with it what it likes
 * read-only  one for all attempts of the node, without permission to write
 * as-is      one for all attempts, with the permissions of the bundle: files are taken out of it by a program of the node's, and nobody else gets to it
 */
type TreeKind = "own" | "read-only" | "as-is";

/** How an attempt wants it. */
export interface TreeWish {
  readonly attempt: AttemptName;
  readonly kind: TreeKind;
  /** Whom the attempt runs as, if it is not who the node is. */
  readonly user?: string | undefined;
}

/** What came of laying it out. */
export type LaidOut =
  | { readonly kind: "done"; readonly tree: BundleTree }
  /** A file was not here, or was not what it is called and is removed: the bundle is to be completed first. */
  | { readonly kind: "incomplete" }
  /** It can never be laid out like this. */
  | { readonly kind: "impossible"; readonly why: string };

/** When so many shared trees of a bundle were changed each attempt gets a copy of its own. */
const treesChanged = 3;

/** A tree that tasks share, as it was when it was found to be right. */
interface Shared {
  readonly path: string;
  readonly stamps: ReadonlyMap<string, string>;
  checkedAt: number;
}

/**
 * Bundles as trees of files:
 *
 *   trees/own/JOB.TASK.ATTEMPT   one attempt's: it may do with it what it likes. The guard removes it after the attempt
 *   trees/shared/DIGEST.N        for all attempts that only read: without permission to write, and looked at before attempts begin in it: each time where the node is root, else every few seconds. One that somebody has changed (root can)
 *                                is left to those that run in it, and another one is made
 *
 * Files are copies of the store's, not links to them: what a task does to one is done to nothing else.
 */
export class BundleTrees {
  readonly #store: BlobStore;
  readonly #dataDir: string;
  readonly #checkMs: number;
  readonly #shared = new Map<string, Shared>();
  /** How many of a bundle's were found changed. */
  readonly #changed = new Map<string, number>();
  /** One tree of a bundle is made or looked at at a time. */
  readonly #busy = new Map<string, Promise<LaidOut>>();
  /** The same of those that are an attempt's own, by their paths. */
  readonly #making = new Map<string, Promise<LaidOut>>();

  /** `checkMs`: how often a shared tree is looked at. Permissions keep root's tasks from nothing: where the node is root it is before each attempt. */
  constructor(dataDir: string, store: BlobStore, checkMs: number = process.getuid?.() === 0 ? 0 : limits.treeCheckMs) {
    this.#dataDir = dataDir;
    this.#checkMs = checkMs;
    this.#store = store;
  }

  get #ownParent(): string {
    return join(this.#dataDir, "trees", "own");
  }

  get #sharedParent(): string {
    return join(this.#dataDir, "trees", "shared");
  }

  /** Throws what the file system throws, and Fault. */
  async layOut(manifest: Manifest, { attempt, kind, user }: TreeWish): Promise<LaidOut> {
    const found = user === undefined ? undefined : findUser(user);
    if (typeof found === "string") return { kind: "impossible", why: found };
    // The data directory is closed to other users.
    if (found?.isOther === true)
      return await this.#own(manifest, this.#openParent(), attempt, kind === "read-only", found);
    if (kind === "own") return await this.#own(manifest, this.#ownParent, attempt, false);
    const name = `${manifest.digest}.${kind === "as-is" ? "as-is-" : ""}`;
    // Tasks that always write, as python does beside what it runs, would leave a tree behind each.
    if (kind === "read-only" && (this.#changed.get(name) ?? 0) >= treesChanged)
      return await this.#own(manifest, this.#ownParent, attempt, true);
    const before = this.#busy.get(name);
    if (before !== undefined) return await before;
    const mine = this.#share(manifest, name, kind === "read-only");
    this.#busy.set(name, mine);
    try {
      return await mine;
    } finally {
      this.#busy.delete(name);
    }
  }

  /** Where other users may pass through, below a directory of the node's alone. */
  #openParent(): string {
    const { userScratch } = placesOf(this.#dataDir);
    mkdirSync(userScratch, { recursive: true, mode: 0o711 });
    const found = lstatSync(userScratch);
    if (!found.isDirectory() || found.uid !== process.getuid?.()) throw new Error(`${userScratch} is somebody else's`);
    chmodSync(userScratch, 0o711);
    return userScratch;
  }

  async #own(
    manifest: Manifest,
    parent: string,
    attempt: AttemptName,
    readOnly: boolean,
    owner?: { readonly uid: number; readonly gid: number },
  ): Promise<LaidOut> {
    const path = join(parent, `tree-${attemptKey(attempt)}`);
    // One that was begun for the same attempt, which this node lost and was given again, is not in the way of this one.
    const making = this.#making.get(path) ?? Promise.resolve();
    const mine = making.catch(() => {}).then(() => this.#makeOwn(manifest, path, readOnly, owner));
    this.#making.set(path, mine);
    try {
      return await mine;
    } finally {
      if (this.#making.get(path) === mine) this.#making.delete(path);
    }
  }

  async #makeOwn(
    manifest: Manifest,
    path: string,
    readOnly: boolean,
    owner?: { readonly uid: number; readonly gid: number },
  ): Promise<LaidOut> {
    await removeTree(path);
    if (!(await this.#make(manifest, path, readOnly))) {
      await removeTree(path);
      return { kind: "incomplete" };
    }
    if (owner !== undefined && !readOnly) {
      // The tree is closed until all in it is theirs: in an open one they could have a link lead this out of it.
      const own = (one: string): Promise<void> => lchown(join(path, one), owner.uid, owner.gid);
      await abreast(pathsOf(manifest), limits.blobsAbreast, own);
      await own("");
    }
    await chmod(path, readOnly ? 0o555 : 0o755);
    return { kind: "done", tree: { path, isOwn: true } };
  }

  /** Its name is this one, and a number. */
  async #share(manifest: Manifest, name: string, readOnly: boolean): Promise<LaidOut> {
    const known = this.#shared.get(name);
    const done = (path: string): LaidOut => ({ kind: "done", tree: { path, isOwn: false } });
    if (known !== undefined) {
      if (monotonicMs() - known.checkedAt < this.#checkMs) return done(known.path);
      if (await isAsStamped(known)) {
        known.checkedAt = monotonicMs();
        return done(known.path);
      }
      this.#shared.delete(name);
      this.#changed.set(name, (this.#changed.get(name) ?? 0) + 1);
    }
    const number = 1 + Math.max(0, ...namesIn(this.#sharedParent).map((other) => numberOf(other, name)));
    const path = join(this.#sharedParent, `${name}${number}`);
    const draft = `${path}.new`;
    await removeTree(draft);
    if (!(await this.#make(manifest, draft, readOnly))) {
      await removeTree(draft);
      return { kind: "incomplete" };
    }
    await chmod(draft, readOnly ? 0o555 : 0o755);
    await rename(draft, path);
    this.#shared.set(name, { path, stamps: await stampsOf(path, pathsOf(manifest)), checkedAt: monotonicMs() });
    return done(path);
  }

  /** False when a file could not be had. Directories get their permissions when all is in them; the whole is closed to others still. */
  async #make(manifest: Manifest, root: string, readOnly: boolean): Promise<boolean> {
    const directories = directoriesOf(manifest);
    await mkdir(root, { recursive: true, mode: 0o700 });
    for (const path of directories.keys()) await mkdir(join(root, path), { mode: 0o700 });
    let isWhole = true;
    await abreast(
      manifest.entries.filter((entry) => entry.kind === "file"),
      limits.blobsAbreast,
      async (file) => {
        const mode = readOnly ? (file.mode & 0o555) | 0o400 : file.mode | 0o600;
        // Goes on after one that is damaged: all of them are to be found at once.
        if (!(await this.#store.copyTo(file, join(root, file.path), mode))) isWhole = false;
      },
    );
    if (!isWhole) return false;
    for (const entry of manifest.entries)
      if (entry.kind === "link") await symlink(entry.target, join(root, entry.path));
    for (const [path, mode] of [...directories].toReversed())
      await chmod(join(root, path), readOnly ? (mode & 0o555) | 0o500 : mode | 0o700);
    return true;
  }

  /** Removes trees of bundles that are wanted no more, and of attempts that this node does not hold; those that are new stay. */
  async sweep(
    isWanted: (digest: string) => boolean,
    isHeld: (attempt: string) => boolean,
    keptMs: number,
  ): Promise<void> {
    const before = wallMs() - keptMs;
    for (const name of namesIn(this.#sharedParent)) {
      const digest = name.slice(0, name.indexOf("."));
      if (isWanted(digest) || !isOlder(join(this.#sharedParent, name), before)) continue;
      for (const known of this.#shared.keys()) if (known.startsWith(`${digest}.`)) this.#shared.delete(known);
      await removeTree(join(this.#sharedParent, name));
    }
    for (const parent of [this.#ownParent, placesOf(this.#dataDir).userScratch]) {
      for (const name of namesIn(parent)) {
        if (!name.startsWith("tree-") || isHeld(name.slice("tree-".length)) || !isOlder(join(parent, name), before))
          continue;
        await removeTree(join(parent, name));
      }
    }
  }
}

/** Every directory that has to be there, those above first, with its permissions. */
function directoriesOf({ entries }: Manifest): Map<string, number> {
  const directories = new Map<string, number>();
  const addAbove = (path: string): void => {
    const parent = dirname(path);
    if (parent === "." || directories.has(parent)) return;
    addAbove(parent);
    directories.set(parent, 0o755);
  };
  for (const { kind, path } of entries) {
    addAbove(path);
    if (kind === "directory" && !directories.has(path)) directories.set(path, 0o755);
  }
  for (const entry of entries) if (entry.kind === "directory") directories.set(entry.path, entry.mode);
  return directories;
}

function pathsOf(manifest: Manifest): string[] {
  return [
    ...directoriesOf(manifest).keys(),
    ...manifest.entries.flatMap(({ kind, path }) => (kind === "directory" ? [] : [path])),
  ];
}

/** The number of a tree of that name; what is being made, or was when its process ended, has one too. */
function numberOf(tree: string, name: string): number {
  return tree.startsWith(name) ? Number.parseInt(tree.slice(name.length), 10) || 0 : 0;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // nothing was laid out yet
  }
}

function isOlder(path: string, before: number): boolean {
  return (lstatSync(path, { throwIfNoEntry: false })?.ctimeMs ?? Infinity) < before;
}

/** What differs once something was written, added, removed, renamed or allowed. */
async function stampsOf(root: string, paths: readonly string[]): Promise<Map<string, string>> {
  const stamps = new Map<string, string>();
  await abreast(["", ...paths], limits.blobsAbreast, async (path) => {
    const { ino, mode, size, mtimeMs, ctimeMs } = await lstat(join(root, path));
    stamps.set(path, [ino, mode, size, mtimeMs, ctimeMs].join(" "));
  });
  return stamps;
}

async function isAsStamped({ path, stamps }: Shared): Promise<boolean> {
  try {
    const now = await stampsOf(
      path,
      [...stamps.keys()].filter((one) => one !== ""),
    );
    return [...stamps].every(([one, stamp]) => now.get(one) === stamp);
  } catch {
    return false; // something is gone
  }
}

/** Directories without permission to write are none that can be emptied, for anybody but root. */
async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch {
    await unlock(path);
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function unlock(directory: string): Promise<void> {
  await chmod(directory, 0o700);
  for (const entry of await readdir(directory, { withFileTypes: true }))
    if (entry.isDirectory()) await unlock(join(directory, entry.name));
}
