import { expect, test } from "bun:test";
import { limits } from "../../src/lib/limits.ts";
import { monotonicMs } from "../../src/lib/clock.ts";
import { inTurns } from "../../src/lib/turns.ts";

/** Keeps the thread busy for a part of a turn. */
function work(ms: number): void {
  const until = monotonicMs() + ms;
  while (monotonicMs() < until);
}

test("what is long lets others have their turn in between, and gives what its last step gives", async () => {
  const seen: string[] = [];
  function* steps(): Generator<undefined, string, undefined> {
    for (let step = 0; step < 4; step++) {
      work(limits.turnMs);
      seen.push("step");
      yield;
    }
    return "done";
  }
  const others = setInterval(() => seen.push("other"), 0);
  const value = await inTurns(steps());
  clearInterval(others);
  expect(value).toBe("done");
  expect(seen.indexOf("other")).toBeGreaterThan(-1);
  expect(seen.indexOf("other")).toBeLessThan(seen.lastIndexOf("step"));
});

test("many that are long at once have one turn in each round, and all of them come to their end", async () => {
  let atOnce = 0;
  let most = 0;
  function* steps(): Generator<undefined, number, undefined> {
    for (let step = 0; step < 3; step++) {
      work(limits.turnMs);
      most = Math.max(most, ++atOnce);
      yield;
    }
    return 3;
  }
  const others = setInterval(() => (atOnce = 0), 0);
  const values = await Promise.all(Array.from({ length: 12 }, () => inTurns(steps())));
  clearInterval(others);
  expect(values).toEqual(Array(12).fill(3));
  expect(most).toBeLessThan(6);
});
