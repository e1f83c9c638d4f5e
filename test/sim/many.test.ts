import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type ManyOptions, runMany } from "./seeds.ts";

/** Answers every seed but the third, which ends it. */
const worker = `for await (const line of console) {
  if (line === "") continue;
  const { seed } = JSON.parse(line);
  if (seed === 3) process.exit(7);
  process.stdout.write(JSON.stringify({ seed }) + "\\n");
}`;

test("a worker that dies of a seed ends a run of many, unless somebody is told of it: then the others are run", async () => {
  const directory = mkdtempSync(path.join(tmpdir(), "skein-many-"));
  try {
    const file = path.join(directory, "worker.ts");
    writeFileSync(file, worker);
    const told: number[] = [];
    const died: string[] = [];
    const options = (): ManyOptions => {
      let seed = 0;
      const next = () => (seed < 6 ? { seed: ++seed } : undefined);
      return { bun: process.execPath, worker: file, processes: 1, next, onReport: (one) => void told.push(one.seed) };
    };
    const ended = await runMany(options()).catch((error: unknown) => String(error));
    expect(ended).toContain("seed 3 ended with exit code 7");
    expect(told.splice(0)).toEqual([1, 2]);
    await runMany({ ...options(), onDied: (seed, words) => void died.push(`${seed}: ${words}`) });
    expect(told).toEqual([1, 2, 4, 5, 6]);
    expect(died).toEqual(["3: the worker with seed 3 ended with exit code 7"]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
