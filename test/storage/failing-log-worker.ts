import { Database } from "bun:sqlite";

/** The log's worker on a disk that fails once: its last argument is the statement that fails, the first time after an append has begun. */
const failing = process.argv.at(-1)!;
let state: "opening" | "armed" | "failed" = "opening";
const { run } = Object.getOwnPropertyDescriptors(Database.prototype);
Database.prototype.run = function (this: Database, ...call: Parameters<Database["run"]>) {
  if (state === "opening" && call[0].startsWith("begin")) state = "armed";
  if (state === "armed" && call[0].includes(failing)) {
    state = "failed";
    throw Object.assign(new Error("disk I/O error"), { code: "SQLITE_IOERR_FSYNC" });
  }
  return run.value!.apply(this, call);
};
await import("../../src/storage/log-worker.ts");
postMessage({ kind: "loaded" });
