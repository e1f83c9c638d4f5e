/**
 * The bound below everything that is acknowledged: how often does this disk sync, and how many rows a second does SQLite commit with
 * `synchronous=FULL`, one and 64 rows to a transaction? SQLite is Bun's, so this file runs its measurement in the `bun` executable.
 *
 * `npm run bench -- commit [--rounds=5] [--seconds=1]`
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { run, tool } from "../scripts/steps.ts";
import { compare, option, printMachine } from "./harness.ts";

const seconds = option("seconds", 1);
const directory = mkdtempSync(path.join(process.env["SKEIN_BENCH_DIR"] ?? tmpdir(), "skein-bench-"));
try {
  await printMachine();
  console.log(`directory ${directory}`);
  await compare(
    [
      { name: "fdatasync of 200 bytes", measure: async () => ({ syncsPerSecond: syncs() }) },
      { name: "SQLite FULL, 1 row", measure: async () => ({ rowsPerSecond: await rows(1) }) },
      { name: "SQLite FULL, 64 rows", measure: async () => ({ rowsPerSecond: await rows(64) }) },
    ],
    option("rounds", 5),
  );
} finally {
  rmSync(directory, { recursive: true, force: true });
}

function syncs(): number {
  const file = openSync(path.join(directory, "append"), "a");
  const bytes = new Uint8Array(200);
  const began = performance.now();
  let count = 0;
  for (; performance.now() - began < seconds * 1000; count++) {
    writeSync(file, bytes);
    fdatasyncSync(file);
  }
  closeSync(file);
  return count / ((performance.now() - began) / 1000);
}

async function rows(perTransaction: number): Promise<number> {
  const program = `
    const { Database } = require("bun:sqlite");
    const db = new Database(${JSON.stringify(path.join(directory, "rows.db"))});
    db.run("pragma journal_mode = wal"); db.run("pragma synchronous = full");
    db.run("create table if not exists entry (id integer primary key, body blob)");
    const insert = db.prepare("insert into entry (body) values (?)");
    const bytes = new Uint8Array(200);
    const commit = db.transaction(() => { for (let row = 0; row < ${perTransaction}; row++) insert.run(bytes); });
    const began = performance.now();
    let count = 0;
    for (; performance.now() - began < ${seconds * 1000}; count += ${perTransaction}) commit();
    console.log(count / ((performance.now() - began) / 1000));`;
  const ended = await run(tool("bun"), ["-e", program], { timeoutMs: 60_000 });
  if (ended.code !== 0) throw new Error(ended.output);
  return Number(ended.output);
}
