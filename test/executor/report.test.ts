import { describe, expect, test } from "bun:test";
import { Reporter } from "../../src/executor/report.ts";
import { Fault } from "../../src/lib/fault.ts";
import { limits } from "../../src/lib/limits.ts";
import type { Report } from "../../src/state/types.ts";
import type { UnitName } from "../../src/executor/types.ts";
import { jobId } from "../../src/lib/ids.ts";
import { report } from "../state/support.ts";

/** A reporter and a log that refuses what `isBad`; done() resolves when so many were settled. */
function rig(isBad: (report: Report) => boolean, unit?: UnitName) {
  const logged: Report[] = [];
  const settled: number[] = [];
  const messages: string[] = [];
  let failuresLeft = 0;
  const waiters: { count: number; resolve: () => void }[] = [];
  const batches: number[][] = [];
  let hasMore = false;
  const reporter = new Reporter(
    {
      report: async (reports) => {
        await Promise.resolve();
        if (failuresLeft > 0) {
          failuresLeft -= 1;
          throw new Fault("peer-unreachable", "no leader", "safe");
        }
        if (reports.some(isBad)) throw new Fault("peer-refused", "wrong shape", "never");
        logged.push(...reports);
        batches.push(reports.map((one) => one.task));
      },
      log: (_level, message) => messages.push(message),
    },
    {
      onReported: (reports) => {
        settled.push(...reports.map((one) => one.task));
        for (const waiter of waiters) if (settled.length >= waiter.count) waiter.resolve();
      },
      unitOf: () => unit,
      hasMore: () => hasMore,
    },
  );
  const setMore = (more: boolean): void => void (hasMore = more);
  const done = (count: number): Promise<void> => new Promise((resolve) => waiters.push({ count, resolve }));
  return {
    reporter,
    logged,
    settled,
    messages,
    batches,
    setMore,
    done,
    fail: (times: number) => (failuresLeft = times),
  };
}

describe("results on their way to the log", () => {
  test("one that the log does not take holds up no other, and its task ends all the same (J2)", async () => {
    const { reporter, logged, settled, done } = rig((one) => one.signal === "SIGWRONG");
    const ended = done(4);
    reporter.add([
      report(1, 0, 1),
      report(1, 1, 1, "failed", { signal: "SIGWRONG", startedAt: 7 }),
      report(1, 2, 1),
      report(1, 3, 1),
    ]);
    await ended;
    expect(settled.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3]);
    const bare = logged.find((one) => one.task === 1)!;
    expect(bare).toMatchObject({ state: "failed", signal: null, attempt: 1, startedAt: 7 });
    expect(bare.reason).toContain("refused by the log: wrong shape");
    expect(logged.filter((one) => one.task !== 1).map((one) => one.state)).toEqual(Array(3).fill("succeeded"));
  });

  test("what cannot be logged at all is given up, and said so", async () => {
    const { reporter, messages, done } = rig((one) => one.task === 1);
    const ended = done(2);
    reporter.add([report(1, 0, 1), report(1, 1, 1)]);
    await ended;
    expect(messages.filter((message) => message.includes("1.1.1"))).toHaveLength(2);
  });

  test("what the outside keeps from the log is sent again, whole", async () => {
    const { reporter, logged, done, fail } = rig(() => false);
    fail(2);
    const ended = done(2);
    reporter.add([report(1, 0, 1), report(1, 1, 1)]);
    await ended;
    expect(logged.map((one) => one.state)).toEqual(["succeeded", "succeeded"]);
  });

  test("while more is to begin here, results wait for others, and none waits once there is nothing", async () => {
    const { reporter, batches, setMore, done } = rig(() => false);
    setMore(true);
    // A machine that stands still for as long as results wait sees them apart; not every time.
    let isTogether = false;
    let task = 0;
    for (let attempt = 0; attempt < 100 && !isTogether; attempt++) {
      const before = done(task + 1);
      reporter.add([report(1, task++, 1)]);
      await before;
      const both = done(task + 2);
      reporter.add([report(1, task++, 1)]);
      await new Promise((resolve) => setImmediate(resolve));
      reporter.add([report(1, task++, 1)]);
      await both;
      isTogether = batches.at(-1)!.length === 2;
    }
    expect(isTogether).toBe(true);

    const last = done(task + 1);
    reporter.add([report(1, task, 1)]);
    setMore(false);
    reporter.hurry();
    await last;
    expect(batches.at(-1)).toEqual([task]);
  });

  test("where nothing more is to begin, results of long tasks of a unit wait for others for a moment, and none of one that took no time", async () => {
    const { reporter, batches, done } = rig(() => false, { job: jobId(1), first: 0 });
    const ended = (task: number, took: number): Report =>
      report(1, task, 1, "failed", { startedAt: 1_000_000, finishedAt: 1_000_000 + took });
    let isTogether = false;
    let task = 0;
    for (let attempt = 0; attempt < 100 && !isTogether; attempt++) {
      const both = done(task + 2);
      reporter.add([ended(task++, 60_000)]);
      await new Promise((resolve) => setTimeout(resolve, 1));
      reporter.add([ended(task++, 60_000)]);
      await both;
      isTogether = batches.at(-1)!.length === 2;
    }
    expect(isTogether).toBe(true);

    const both = done(task + 2);
    reporter.add([ended(task, 60_000)]);
    await new Promise((resolve) => setImmediate(resolve));
    reporter.add([report(1, task + 1, 1, "cancelled", { startedAt: 0 })]);
    await both;
    expect(batches.at(-1)).toContain(task + 1);
  });

  test("a reason that quotes too much is cut, not refused", async () => {
    const { reporter, logged, done } = rig((one) => (one.reason?.length ?? 0) > limits.reasonLength);
    const ended = done(1);
    reporter.add([report(1, 0, 1, "failed", { reason: `no such command: ${"x".repeat(100_000)}` })]);
    await ended;
    expect(logged[0]!.reason).toStartWith("no such command: xxx");
  });
});
