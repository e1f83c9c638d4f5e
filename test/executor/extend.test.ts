import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { Rig, until } from "./rig.ts";

/** More time for what runs: a short timeout passes while the task waits for a file that is written after it has passed. */

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});
afterEach(() => rig.close());

const waits = (name: string): string =>
  `touch ${rig.path("began")}; until [ -e ${rig.path(name)} ]; do sleep 0.02; done`;

test("a task that was given more time outlives its timeout; one that was not ends at it", async () => {
  await rig.open();
  const extended = rig.assignment({ run: waits("go"), timeoutMs: 3_000 }, { task: 1 });
  const other = rig.assignment({ run: "sleep 600", timeoutMs: 3_000 }, { task: 2 });
  rig.executor.assign([extended, other]);
  await until("the start", () => existsSync(rig.path("began")));
  rig.executor.extend([{ ...extended, ms: 600_000 }]);
  rig.executor.extend([{ ...extended, ms: 600_000 }]); // said twice
  expect((await rig.reportOf(other)).state).toBe("timeout");
  await Bun.write(rig.path("go"), "");
  expect((await rig.reportOf(extended)).state).toBe("succeeded");
});

test("the reason tells the timeout as it was extended", async () => {
  await rig.open();
  const assignment = rig.assignment({ run: "sleep 600", timeoutMs: 60_000 });
  rig.executor.assign([assignment]);
  await until("the start", () => rig.marked().length > 0);
  // Counted from the start: less than what has gone by ends it now, which an extension never does, but shows what is counted.
  rig.executor.extend([{ ...assignment, ms: 1 - 60_000 + 500 }]);
  expect(await rig.reportOf(assignment)).toMatchObject({
    state: "timeout",
    reason: "ran longer than its timeout of 501ms",
  });
});

test("one that was given more time while its node was away has it when the node is back", async () => {
  const held = rig.assignment({ run: waits("go"), timeoutMs: 3_000 });
  const short = rig.assignment({ run: "sleep 600", timeoutMs: 3_000 }, { task: 1 });
  const node = await rig.otherNode([held, short]);
  await until("the start", () => existsSync(rig.path("began")));
  await node.crash();
  await rig.open({ held: [{ ...held, extendedMs: 600_000 }, short] });
  expect((await rig.reportOf(short)).state).toBe("timeout");
  await Bun.write(rig.path("go"), "");
  expect((await rig.reportOf(held)).state).toBe("succeeded");
});

test("one that waits for its lease begins with it, and a noop task has it too", async () => {
  await rig.open({ leaseMs: 0 });
  const waiting = rig.assignment({ run: "sleep 0.5", timeoutMs: 1 }, { task: 1 });
  const noop = rig.assignment({ driver: "noop", noop: { forMs: 400 }, timeoutMs: 100 }, { task: 2 });
  rig.executor.assign([waiting, noop]);
  rig.executor.extend([{ ...waiting, ms: 600_000 }]);
  rig.executor.lease(performance.now() + 60_000, 1_000_000);
  rig.executor.extend([{ ...noop, ms: 600_000 }]);
  expect((await rig.reportOf(noop)).state).toBe("succeeded");
  expect((await rig.reportOf(waiting)).state).toBe("succeeded");
});
