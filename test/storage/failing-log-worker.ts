import { Database } from "bun:sqlite";

/**
 * The log's worker on a disk that fails once: its last argument is the statement that fails, the first time (or, as `commit#3`, the third) after
 * an append has begun.
 */
const [failing, times = "1"] = process.argv.at(-1)!.split("#") as [string, string?];
let left = Number(times);
let state: "opening" | "armed" | "failed" = "opening";
const { run } = Object.getOwnPropertyDescriptors(Database.prototype);
Database.prototype.run = function (this: Database, ...call: Parameters<Database["run"]>) {
  if (state === "opening" && call[0].startsWith("begin")) state = "armed";
  if (state === "armed" && call[0].includes(failing) && --left === 0) {
    state = "failed";
    throw Object.assign(new Error("disk I/O error"), { code: "SQLITE_IOERR_FSYNC" });
  }
  return run.value!.apply(this, call);
};
await import("../../src/storage/log-worker.ts");
postMessage({ kind: "loaded" });
