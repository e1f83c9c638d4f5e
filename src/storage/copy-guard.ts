import { statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { Fault } from "../lib/fault.ts";
import { limits } from "../lib/limits.ts";
import { formatSize } from "../lib/units.ts";
import type { CopyGuard } from "./copy-rows.ts";

/** What a file system has. */
export interface FileSystem {
  readonly bytes: number;
  /** To this user. */
  readonly freeBytes: number;
}

/** What copies of the state leave free, so that log and state can go on: a part of the file system within bounds, and of a tiny one not most of it. */
export function reserveOf({ bytes }: Pick<FileSystem, "bytes">): number {
  const { copyReserveBytes, copyReserveMostBytes, copyReservePercent, copyReserveMostPercent } = limits;
  const wanted = Math.min(copyReserveMostBytes, Math.max(copyReserveBytes, (bytes * copyReservePercent) / 100));
  return Math.floor(Math.min(wanted, (bytes * copyReserveMostPercent) / 100));
}

/** That of a directory. */
export function fileSystemOf(directory: string): FileSystem {
  const { bavail, blocks, bsize } = statfsSync(directory);
  return { bytes: blocks * bsize, freeBytes: bavail * bsize };
}

export interface CopyGuardOptions {
  /** The state that is read. */
  readonly from: string;
  readonly to: string;
  /** What the file system has now; absent: as it says. */
  readonly fileSystem?: () => FileSystem;
  /** The WAL of `from` may be so large while the copy's view holds it back; absent: limits.copyWalBytes, or the size of a larger state. */
  readonly walBytes?: number;
}

/**
 * A copy that would leave log and state too little room is not begun, and one that comes to do so, or whose view makes the WAL too large, is ended: nobody
 * needs a copy as much as the node that makes it needs to go on. What it throws may be tried again later.
 */
export function guardCopy({ from, to, ...options }: CopyGuardOptions): CopyGuard {
  const directory = dirname(to);
  const fileSystem = options.fileSystem ?? (() => fileSystemOf(directory));
  let needed = 0;
  const expect = (wanted: number, doing: string): void => {
    const now = fileSystem();
    const reserve = reserveOf(now);
    if (now.freeBytes - wanted >= reserve) return;
    const [copy, free, kept] = [needed, now.freeBytes, reserve].map(formatSize);
    throw new Fault(
      "disk-full",
      `${doing}: the copy takes ${copy}, ${free} are free in ${directory}, and ${kept} are left for log and state to go on: free some space on its file system, or make it larger`,
      "safe",
    );
  };
  return {
    begin: (bytes) => {
      needed = bytes;
      expect(bytes, "no room for a copy of the state");
    },
    goOn: () => {
      // Part of what is copied is still in memory.
      expect(Math.max(0, needed - sizeOf(to)), "a copy of the state was ended");
      const most = options.walBytes ?? Math.max(limits.copyWalBytes, needed);
      const wal = sizeOf(`${from}-wal`);
      if (wal > most)
        throw new Fault(
          "disk",
          `a copy of the state was ended: its WAL had grown to ${formatSize(wal)} meanwhile, more than ${formatSize(most)}`,
          "safe",
        );
    },
  };
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
