/** A file system of few bytes, for the data of one node: what is really full, and says so. Needs root on Linux. */
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const mib = 1024 * 1024;

/** Why there can be none here, for people; undefined: there can. */
export function noSmallDisks(): string | undefined {
  if (process.platform !== "linux") return "a file system in memory is mounted on Linux only";
  if (process.getuid?.() !== 0) return "mounting a file system needs root";
  const directory = mkdtempSync(path.join(tmpdir(), "skein-small-"));
  try {
    new SmallDisk(directory, mib).close();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Mounted at `directory` until it is closed, which nobody may use then. */
export class SmallDisk {
  readonly #directory: string;

  constructor(directory: string, bytes: number) {
    mkdirSync(directory, { recursive: true });
    run("mount", "-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", directory);
    this.#directory = directory;
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#directory);
    return bavail * bsize;
  }

  /** Something else takes all but this. */
  fill(freeBytes: number): void {
    const piece = Buffer.alloc(mib / 4);
    const handle = openSync(this.#ballast, "a");
    try {
      while (this.freeBytes - piece.length >= freeBytes) writeSync(handle, piece);
    } finally {
      closeSync(handle);
    }
  }

  /** What {@link fill} took is free again. */
  empty(): void {
    rmSync(this.#ballast, { force: true });
  }

  get #ballast(): string {
    return path.join(this.#directory, "ballast");
  }

  close(): void {
    // At once for all who look it up by name; for those who use it still, when they are done.
    run("umount", "--lazy", this.#directory);
  }
}

function run(command: string, ...words: readonly string[]): void {
  const ended = spawnSync(command, words, { encoding: "utf8" });
  if (ended.status !== 0)
    throw new Error(`${command} ${words.join(" ")}: ${ended.error?.message ?? ended.stderr.trim()}`);
}
