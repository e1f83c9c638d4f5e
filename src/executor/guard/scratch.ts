import { lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { limits } from "../../lib/limits.ts";

/** An attempt's own directory, `DIR/scratch/JOB.TASK.ATTEMPT`, or a spare one. */
export interface ScratchDirectory {
  readonly path: string;
  /** As it was when the attempt got it, or when it became a spare; undefined: it is never used again (it belongs to another user). */
  readonly stamp: string | undefined;
}

/**
 * The scratch directories of a guard. Most tasks never touch theirs, and to make a directory and remove it again costs ten times as much as to rename one: so one that was
 * not touched becomes a spare and, under another name, the next attempt's. It is used again only after a sweep has found nobody of the attempt before alive,
 * and only while nobody has touched it, so that no attempt sees what another one left. (A process that the sweep cannot find, because it left its group and changed its environment,
 * may still have it as its working directory.)
 */
export class Scratch {
  readonly #parent: string;
  #spares: ScratchDirectory[] = [];
  /** Spares, and those that wait for a sweep. */
  #kept = 0;
  #named = 0;

  constructor(parent: string) {
    this.#parent = parent;
  }

  /** Throws what the file system throws. */
  take(name: string): ScratchDirectory {
    const path = join(this.#parent, name);
    if (!this.#reuse(path)) mkdirSync(path, { recursive: true, mode: 0o700 });
    return { path, stamp: stampOf(path) };
  }

  #reuse(path: string): boolean {
    const spare = this.#spares.pop();
    if (spare === undefined) return false;
    this.#kept -= 1;
    try {
      if (stampOf(spare.path) === spare.stamp && isEmpty(spare.path)) {
        renameSync(spare.path, path);
        return true;
      }
    } catch {
      // Somebody took it away: a new one is made.
    }
    discard(spare.path);
    return false;
  }

  /** After the attempt's end; nothing is at its path then. `swept`: nobody of it is alive. Throws what the file system throws. */
  async giveBack(directory: ScratchDirectory, swept: Promise<void>): Promise<void> {
    const { path, stamp } = directory;
    if (stamp === undefined || this.#kept >= limits.scratchSpares || stampOf(path) !== stamp || !isEmpty(path))
      return remove(path);
    const spare = join(this.#parent, `spare-${++this.#named}`);
    try {
      renameSync(path, spare);
    } catch {
      return remove(path); // somebody has that name
    }
    this.#kept += 1;
    const own = { path: spare, stamp: stampOf(spare) };
    void swept.then(() => this.#spares.push(own));
    return undefined;
  }

  /** Removes what is kept for later. */
  close(): void {
    for (const { path } of this.#spares) discard(path);
    this.#spares = [];
  }
}

/** What differs once something was made, removed, renamed or allowed in the directory; undefined: it is not there, or no directory. */
function stampOf(path: string): string | undefined {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (found === undefined || !found.isDirectory()) return undefined;
  return [found.ino, found.mode, found.uid, found.gid, found.mtimeNs, found.ctimeNs].join(" ");
}

function isEmpty(path: string): boolean {
  return readdirSync(path).length === 0;
}

/** What cannot be removed stays until the next guard starts: it is no other attempt's fault. */
function discard(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // It was made so that it cannot be removed.
  }
}

/** Most are empty: that is one call. */
async function remove(path: string): Promise<void> {
  try {
    rmdirSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  }
}
