import { expect, test } from "bun:test";
import { runSeed } from "./run-seed.ts";

test("whole clusters keep every promise under faults, and work again when a quorum does", async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const { problems, ticks, operations, story } = await runSeed(seed);
    expect({ seed, problems, story: problems.length > 0 ? story.slice(-60) : [] }).toEqual({
      seed,
      problems: [],
      story: [],
    });
    expect(ticks).toBeGreaterThanOrEqual(20_000);
    expect(operations).toBeGreaterThanOrEqual(500);
  }
}, 480_000);
