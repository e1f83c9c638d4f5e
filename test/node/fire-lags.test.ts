import { expect, test } from "bun:test";
import { FireLags } from "../../src/node/fire-lags.ts";

test("how late schedules fire is counted in buckets, each with those of the smaller ones", () => {
  const lags = new FireLags();
  const fired = (lagMs: number) => ({ topic: "schedule", kind: "fired", name: "s", at: 0, job: 1, lagMs }) as const;
  const skipped = {
    topic: "schedule",
    kind: "skipped",
    name: "s",
    at: 0,
    until: 0,
    count: 1,
    reason: "missed",
  } as const;
  lags.onApplied([
    { index: 1, at: 0, changes: [fired(0), skipped, fired(25)] },
    { index: 2, at: 0, changes: [fired(26), fired(1_000), fired(7_200_000)] },
  ]);
  const { buckets, sum, count } = lags.counts;
  const below = new Map(buckets);
  expect([0.025, 0.05, 0.5, 1, 3600].map((bound) => below.get(bound))).toEqual([2, 3, 3, 4, 4]);
  expect(count).toBe(5);
  expect(sum).toBeCloseTo(7_201.051, 6);
});
