import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { limits } from "../../src/lib/limits.ts";
import { monotonicMs } from "../../src/lib/clock.ts";
import { openExecutor } from "../../src/executor/run.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { accept } from "../../src/lib/outcome.ts";
import { Rig, until } from "./rig.ts";

let rig: Rig;
beforeEach(() => {
  rig = new Rig();
});
afterEach(() => rig.close());

test("nothing starts without a lease that covers its fence; the node is asked for one", async () => {
  await rig.open({ leaseMs: 0 });
  const first = rig.assignment({ run: "true" }, { task: 1 });
  const second = rig.assignment({ driver: "noop" }, { task: 2 });
  rig.executor.assign([first, second]);
  expect(rig.leasesWanted).toBe(1);
  rig.executor.lease(monotonicMs() - 1, first.fence); // over before it came
  expect(rig.executor.running()).toBe(0);
  rig.executor.lease(monotonicMs() + 60_000, first.fence);
  expect(rig.executor.running()).toBe(1);
  expect(rig.leasesWanted).toBe(3);
  await rig.reportOf(first);
  rig.executor.lease(monotonicMs() + 60_000, second.fence);
  await rig.reportOf(second);
  expect(rig.reports.map((report) => report.task)).toEqual([1, 2]);
});

test("what a lease covers beside begins by it, and ends with it", async () => {
  await rig.open({ leaseMs: 0 });
  const first = rig.assignment({ driver: "noop" }, { task: 1 });
  const second = rig.assignment({ driver: "noop" }, { task: 2 });
  rig.executor.assign([first, second]);
  rig.executor.lease(monotonicMs() - 1, first.fence - 1);
  rig.executor.covers(first.fence); // of a lease that is over
  expect(rig.executor.running()).toBe(0);
  rig.executor.lease(monotonicMs() + 60_000, first.fence - 1);
  await rig.reportOf(first);
  expect(rig.reports.map((report) => report.task)).toEqual([1]);
  rig.executor.covers(second.fence);
  await rig.reportOf(second);
});

test("cancelled while it waits: told as cancelled, never run", async () => {
  await rig.open({ leaseMs: 0 });
  const assignment = rig.assignment({ run: `touch ${rig.path("ran")}` });
  rig.executor.assign([assignment]);
  rig.executor.stop([assignment]);
  expect(await rig.reportOf(assignment)).toMatchObject({ state: "cancelled", exitCode: null });
  rig.executor.lease(monotonicMs() + 60_000, 1_000_000);
  await rig.run({ run: "true" }, { task: 1 });
  expect(existsSync(rig.path("ran"))).toBe(false);
});

test("given twice, run once", async () => {
  await rig.open();
  const assignment = rig.assignment({ run: `echo x >> ${rig.path("ran")}` });
  rig.executor.assign([assignment]);
  rig.executor.assign([assignment]);
  await rig.reportOf(assignment);
  await rig.run({ run: "true" }, { task: 1 });
  expect(await Bun.file(rig.path("ran")).text()).toBe("x\n");
  expect(rig.reports.filter((report) => report.task === 0)).toHaveLength(1);
});

test("stop and drop of attempts that nobody knows are ignored", async () => {
  await rig.open();
  const stranger = rig.assignment({ run: "true" }, { job: 99 });
  rig.executor.stop([stranger]);
  rig.executor.drop([stranger]);
  await rig.run({ run: "true" });
  expect(rig.reports).toHaveLength(1);
});

test("only attempts that last are announced as started, once, shell and noop alike", async () => {
  await rig.open();
  const long = rig.assignment({ run: `while [ ! -e ${rig.path("go")} ]; do sleep 0.02; done` }, { task: 1 });
  const noop = rig.assignment({ driver: "noop", noop: { forMs: 1_000 } }, { task: 2 });
  rig.executor.assign([rig.assignment({ run: "true" }, { task: 3 }), long, noop]);
  await until("both announced", () => rig.started.length >= 2);
  writeFileSync(rig.path("go"), "");
  const report = await rig.reportOf(long);
  await rig.reportOf(noop);
  expect(rig.started.map((attempt) => attempt.task).toSorted((a, b) => a - b)).toEqual([1, 2]);
  expect(rig.started.find((attempt) => attempt.task === 1)?.startedAt).toBe(report.startedAt);
});

test("an attempt that ran already when the node came back is announced again", async () => {
  const assignment = rig.assignment({
    run: `echo $$ > ${rig.path("pid")}; while [ ! -e ${rig.path("go")} ]; do sleep 0.02; done`,
  });
  const node = await rig.otherNode([assignment]);
  await rig.pidIn(rig.path("pid"));
  await node.crash();
  await rig.open({ held: [assignment] });
  await until("the announcement", () => rig.started.length === 1);
  writeFileSync(rig.path("go"), "");
  await rig.reportOf(assignment);
});

test("results that the log does not take are kept, and given again", async () => {
  await rig.open();
  rig.logDown = true;
  const assignments = [1, 2, 3].map((task) => rig.assignment({ run: `echo ${task}` }, { task }));
  rig.executor.assign(assignments);
  await until("a refused report", () => rig.messages.some((message) => message.includes("no leader")));
  expect(rig.executor.running()).toBe(3);
  rig.logDown = false;
  for (const assignment of assignments) expect(await rig.reportOf(assignment)).toMatchObject({ state: "succeeded" });
  await until("all settled", () => rig.executor.running() === 0);
  expect(rig.reports).toHaveLength(3);
});

test("thousands of no-ops of no duration end in a few batches, none larger than an entry may hold", async () => {
  await rig.open();
  const count = 20_000;
  rig.executor.assign(Array.from({ length: count }, (_, task) => rig.assignment({ driver: "noop" }, { task })));
  await until("all reports", () => rig.reports.length === count);
  expect(rig.batches.length).toBeLessThan(20);
  expect(Math.max(...rig.batches) * 100).toBeLessThan(limits.reportBytes);
  expect(new Set(rig.reports.map((report) => report.task)).size).toBe(count);
});

test("noop takes its time, its exit code, its timeout; it can be cancelled and dropped", async () => {
  await rig.open();
  const [exits, slow, stopped, dropped, brief] = [
    rig.assignment({ driver: "noop", noop: { exit: 4 } }, { task: 1 }),
    rig.assignment({ driver: "noop", noop: { forMs: 60_000 }, timeoutMs: 20 }, { task: 2 }),
    rig.assignment({ driver: "noop", noop: { forMs: 60_000 } }, { task: 3 }),
    rig.assignment({ driver: "noop", noop: { forMs: 30 } }, { task: 4 }),
    rig.assignment({ driver: "noop", noop: { forMs: 40 } }, { task: 5 }),
  ] as const;
  rig.executor.assign([exits, slow, stopped, dropped, brief]);
  rig.executor.stop([stopped]);
  rig.executor.drop([dropped]);
  expect(await rig.reportOf(exits)).toMatchObject({ state: "failed", exitCode: 4 });
  expect(await rig.reportOf(slow)).toMatchObject({ state: "timeout", exitCode: null });
  expect(await rig.reportOf(stopped)).toMatchObject({ state: "cancelled" });
  const ended = await rig.reportOf(brief);
  expect(ended.state).toBe("succeeded");
  expect(rig.reports.some((report) => report.task === 4)).toBe(false);
});

test("noop writes the output that it was told to, as a log like any other", async () => {
  await rig.open();
  const assignment = rig.assignment({ driver: "noop", noop: { outputBytes: 100_000 } });
  rig.executor.assign([assignment]);
  const report = await rig.reportOf(assignment);
  const text = await rig.logText(report);
  expect(text).toHaveLength(100_000);
  expect(report.log).toEqual({ bytes: 100_000, sha256: new Bun.CryptoHasher("sha256").update(text).digest("hex") });
  expect(Buffer.from(report.tail).toString()).toBe(text.slice(-limits.tailDefaultBytes));
});

test("its own result, applied before its report is settled, is no reason to delete the log", async () => {
  await rig.open();
  rig.logDown = true;
  const assignment = rig.assignment({ run: "echo words" });
  rig.executor.assign([assignment]);
  await until("a refused report", () => rig.messages.length > 0);
  rig.executor.drop([assignment]);
  await until("settled", () => rig.executor.running() === 0);
  rig.logDown = false;
  await rig.run({ run: "true" }, { task: 1 }); // the guard has heard of the drop by now
  expect(rig.reports.map((report) => report.task)).toEqual([1]);
  expect(await rig.logText(assignment)).toBe("words\n");
});

test("with output.sync a result is told when the log is on a second disk, not before; others do not wait for it", async () => {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  rig.copied = () => promise;
  await rig.open();
  const synced = rig.assignment({ run: "echo words", output: { copies: 2, sync: true } });
  rig.executor.assign([synced]);
  await until("the end of the task", async () => (await rig.logText(synced)) === "words\n");
  await rig.run({ run: "echo others" }, { task: 1 });
  await rig.run({ run: "true", output: { copies: 2, sync: true } }, { task: 2 }); // it said nothing: there is nothing to copy
  expect(rig.reports.map((report) => report.task)).toEqual([1, 2]);
  resolve(true);
  expect(await rig.reportOf(synced)).toMatchObject({ state: "succeeded", reason: undefined });
});

test("with output.sync and nobody to take the copy a task fails after its timeout, and says why", async () => {
  const waited: number[] = [];
  rig.copied = (_attempt, _bytes, withinMs) => {
    waited.push(withinMs);
    return Promise.resolve(false);
  };
  await rig.open();
  const report = await rig.run({ run: "echo words", timeoutMs: 60_000, output: { copies: 2, sync: true } });
  expect(report).toMatchObject({ state: "failed", exitCode: 0, log: { bytes: 6 } });
  expect(report.reason).toBe("its output was not copied to a second node within 1m (output.sync)");
  await rig.run({ run: "echo words; exit 3", output: { copies: 2, sync: true } }, { task: 1 });
  expect(waited).toEqual([60_000, limits.packSyncMs]);
});

test("with output.sync a result that waits for its copy is waited for again by the node that comes next", async () => {
  rig.copied = () => new Promise(() => {});
  await rig.open();
  const synced = rig.assignment({ run: "echo words", output: { copies: 2, sync: true } });
  rig.executor.assign([synced]);
  await until("the end of the task", async () => (await rig.logText(synced)) === "words\n");
  await rig.executor.close();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  rig.copied = () => promise;
  rig.executor = rig.newExecutor();
  await rig.open({ held: [synced] });
  expect(rig.reports).toEqual([]);
  resolve(true);
  expect(await rig.reportOf(synced)).toMatchObject({ state: "succeeded" });
});

test("of a guard that cannot be started it is told what it said, and the executor goes on looking for one", async () => {
  const said = Promise.withResolvers<string>();
  const broken = openExecutor({
    node: nodeId(7),
    cluster: "c1",
    dataDir: rig.dataDir,
    capacity: { slots: 64, ioTasks: 64 },
    guardCommand: ["/bin/sh", "-c", "echo no room here >&2; exit 7"],
    report: () => Promise.resolve(),
    started: () => {},
    secrets: () => new Promise(() => {}),
    bundle: () => new Promise(() => {}),
    mayGiveBack: () => false,
    giveBack: () => Promise.resolve(),
    unwanted: () => new Set(),
    copied: () => Promise.resolve(true),
    log: (_level, message) => said.resolve(message),
  });
  const opening = broken.open();
  expect(await said.promise).toContain("no room here");
  await broken.close();
  await opening;
});

test("a job that is held while its bundle is laid out is given back, and begins here no more", async () => {
  await rig.open();
  const laying = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  rig.bundle = async () => {
    asked.resolve();
    await laying.promise;
    return accept({ path: rig.dataDir, isOwn: false });
  };
  const ran = rig.path("ran");
  const assignment = rig.assignment({ run: `touch ${ran}`, bundle: { name: "site", digest: "d" } });
  rig.executor.assign([assignment]);
  await asked.promise;
  rig.unwanted = new Set([assignment.job]);
  rig.executor.review([assignment.job]);
  laying.resolve();
  await until("it is given back", () => rig.givenBack.length > 0);
  expect(rig.givenBack[0]).toMatchObject({ job: assignment.job, task: assignment.task });
  // What is taken back is forgotten here; another one begins after it.
  rig.executor.drop([assignment]);
  rig.unwanted = new Set();
  await rig.run({ run: "true" }, { task: 77 });
  expect(existsSync(ran)).toBe(false);
});

test("a tree that is laid out when the lease is over is there when it begins, and is not made again", async () => {
  await rig.open({ leaseMs: 0 });
  const tree = rig.path("tree");
  const laying = Promise.withResolvers<void>();
  let made = 0;
  rig.bundle = async () => {
    made += 1;
    mkdirSync(tree, { recursive: true });
    await laying.promise;
    return accept({ path: tree, isOwn: true });
  };
  const assignment = rig.assignment({ run: "pwd", bundle: { name: "site", digest: "d" } });
  rig.executor.assign([assignment]);
  rig.executor.lease(monotonicMs() + 300, assignment.fence);
  await until("it is laid out", () => made === 1);
  await Bun.sleep(320); // the lease is over
  const wanted = rig.leasesWanted;
  laying.resolve();
  await until("a lease is wanted again", () => rig.leasesWanted > wanted);
  rig.executor.lease(monotonicMs() + 60_000, assignment.fence);
  const report = await rig.reportOf(assignment);
  expect(report.state).toBe("succeeded");
  expect(new TextDecoder().decode(report.tail).trim()).toBe(tree);
  expect(made).toBe(1);
  await until("it goes with its attempt", () => !existsSync(tree));
});
