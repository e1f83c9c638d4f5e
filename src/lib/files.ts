import { chmodSync, closeSync, fsyncSync, openSync, statSync } from "node:fs";

/** Makes new and renamed names in a directory durable. Throws what the file system throws. */
export function syncDirectory(path: string): void {
  const handle = openSync(path, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/**
 * Makes an empty file for this user alone (mode 0600), or takes what others may do from one that is there: before SQLite opens it,
 * which gives its -wal, -shm and -journal the same mode. A file that is there is not opened: closing it would drop the locks that this process
 * holds on it (POSIX). Throws what the file system throws.
 */
export function makePrivateFile(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
  }
}
