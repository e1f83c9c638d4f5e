import { describe, expect, test } from "bun:test";
import { Compaction } from "../../src/node/compaction.ts";

const budget = {
  trailingEntries: 100,
  trailingBytes: 10_000,
  heldEntries: 500,
  heldBytes: 50_000,
  snapshotEntries: 800,
  snapshotBytes: 80_000,
};

/** `count` entries of so many bytes were committed, applied and synced. */
function after(count: number, bytes: number): Compaction {
  const compaction = new Compaction(budget);
  for (let index = 1; index <= count; index++) compaction.committed(index, bytes);
  compaction.durable(count);
  return compaction;
}

describe("how much of the log is kept", () => {
  test("so many entries behind the last, while nobody needs more", () => {
    expect(after(1000, 1).target(0, 1000, Infinity, Infinity)).toBe(900);
  });

  test("never past what the state has durably (D3)", () => {
    const compaction = new Compaction(budget);
    for (let index = 1; index <= 1000; index++) compaction.committed(index, 1);
    expect(compaction.target(0, 1000, Infinity, Infinity)).toBeUndefined();
    compaction.durable(300);
    expect(compaction.target(0, 1000, Infinity, Infinity)).toBe(300);
  });

  test("large entries count by their bytes", () => {
    const target = after(200, 1000).target(0, 200, Infinity, Infinity)!;
    expect(target).toBeGreaterThan(180);
    expect(target).toBeLessThanOrEqual(190);
  });

  test("for a follower that is behind, as far as the larger budget goes", () => {
    expect(after(1000, 1).target(0, 1000, 700, Infinity)).toBe(700);
    expect(after(1000, 1).target(0, 1000, 0, Infinity)).toBe(500);
  });

  test("what follows on from a snapshot that is being given, past what a slow follower is waited for, but not for ever", () => {
    expect(after(1000, 1).target(0, 1000, 0, 300)).toBe(300);
    expect(after(1000, 1).target(0, 1000, Infinity, 300)).toBe(300);
    expect(after(1000, 1).target(0, 1000, Infinity, 950)).toBe(900);
    expect(after(1000, 1).target(0, 1000, 0, 100)).toBe(200);
    const target = after(200, 1000).target(0, 200, Infinity, 0)!;
    expect(target).toBeGreaterThan(110);
    expect(target).toBeLessThanOrEqual(120);
  });

  test("up to a damaged entry at once, whoever needs it, but never before the state has it durably (D3)", () => {
    const compaction = after(1000, 1);
    compaction.damaged(950);
    expect(compaction.target(949, 1000, 3, Infinity)).toBe(950);
    compaction.damaged(1001);
    expect(compaction.target(950, 1000, 950, Infinity)).toBeUndefined();
    compaction.durable(1001);
    expect(compaction.target(950, 1001, 950, Infinity)).toBe(1001);
    expect(compaction.target(1001, 1001, 1001, Infinity)).toBeUndefined();
  });

  test("a base is not moved for a handful of entries", () => {
    expect(after(1000, 1).target(895, 1000, Infinity, Infinity)).toBeUndefined();
    expect(after(1000, 1).target(880, 1000, Infinity, Infinity)).toBe(900);
  });
});
