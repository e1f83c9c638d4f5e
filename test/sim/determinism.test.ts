import { expect, test } from "bun:test";
import path from "node:path";
import { root, tool } from "../../scripts/steps.ts";
import { runSeed } from "./run-seed.ts";

/** Seconds, but for a machine on which others come first. */
const patienceMs = 30 * 60_000;

/** Runs one seed in a process of its own. */
async function inAnotherProcess(seed: number): Promise<unknown> {
  const child = Bun.spawn([tool("bun"), path.join(root, "test/sim/worker.ts")], { stdin: "pipe", stdout: "pipe" });
  await child.stdin.write(`${JSON.stringify({ seed })}\n`);
  await child.stdin.end();
  const result = JSON.parse(await new Response(child.stdout).text()) as { readonly traceHash: number };
  await child.exited;
  return result.traceHash;
}

test(
  "the same seed gives the same trace, in this process again and in two others",
  async () => {
    for (const seed of [3, 8]) {
      const here = (await runSeed(seed)).traceHash;
      expect((await runSeed(seed)).traceHash).toBe(here);
      const others = await Promise.all([inAnotherProcess(seed), inAnotherProcess(seed)]);
      expect(others).toEqual([here, here]);
    }
  },
  patienceMs,
);

test(
  "another seed is another run",
  async () => {
    const hashes = await Promise.all([4, 9].map(async (seed) => (await runSeed(seed)).traceHash));
    expect(new Set(hashes).size).toBe(2);
  },
  patienceMs,
);
