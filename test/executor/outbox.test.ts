import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeFrame, FrameDecoder } from "../../src/executor/guard/frames.ts";
import { Outbox } from "../../src/executor/guard/outbox.ts";
import { jobId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import type { Report } from "../../src/state/types.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "skein-outbox-"));
  path = join(directory, "outbox");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const open = (): Outbox => new Outbox(path, "this boot", (message) => expect(message).toBe(""));
const running = (task: number) => ({
  job: jobId(1),
  task,
  attempt: 1,
  pid: 1000 + task,
  startTimes: [4, 5] as const,
  startedAt: 9,
});
const report = (task: number, tailBytes = 3): Report => ({
  job: jobId(1),
  task,
  attempt: 1,
  state: "succeeded",
  exitCode: 0,
  signal: null,
  reason: undefined,
  startedAt: 1,
  finishedAt: 2,
  tail: new Uint8Array(tailBytes),
  log: undefined,
});

test("after a crash: what ran, what ended and was not acknowledged, and nothing else", () => {
  const first = open();
  expect(first.restored).toMatchObject({ running: [], finished: [], exact: true });
  for (const task of [1, 2, 3, 4]) first.addRunning(running(task));
  first.addFinished(report(2));
  first.addFinished(report(3));
  first.forget([report(3), running(4), running(77)]);
  const second = open();
  expect(second.restored.running).toEqual([running(1)]);
  expect(second.restored.finished.map((one) => one.task)).toEqual([2]);
  expect(second.restored).toMatchObject({ boot: "this boot", exact: false });
});

test("only a guard that vouches for its past leaves a file that does", () => {
  open().close(true);
  expect(open().restored.exact).toBe(true); // and crashes
  const third = open();
  expect(third.restored.exact).toBe(false);
  third.close(false);
  expect(open().restored.exact).toBe(false);
});

test("a record cut short by a crash is passed over, those before it count", () => {
  const first = open();
  first.addFinished(report(1));
  first.addFinished(report(2));
  truncateSync(path, statSync(path).size - 5);
  expect(open().restored.finished.map((one) => one.task)).toEqual([1]);
});

test("a damaged file does not keep the guard from starting, and does not vouch", () => {
  open().close(true);
  appendFileSync(path, Buffer.alloc(9000));
  expect(open().restored.exact).toBe(false);
  writeFileSync(path, "");
  expect(open().restored.exact).toBe(false);
});

test("acknowledged results do not make the file grow for ever", () => {
  const outbox = open();
  for (let task = 0; task < 400; task++) {
    outbox.addFinished(report(task, limits.tailMaxBytes));
    if (task > 0) outbox.forget([report(task)]);
  }
  expect(statSync(path).size).toBeLessThanOrEqual(limits.outboxBytes);
  expect(open().restored.finished.map((one) => one.task)).toEqual([0]);
});

test("frames come out whole however the bytes are cut", () => {
  const values = [{ a: 1 }, { text: "x".repeat(5000) }, [1, 2, 3]];
  const bytes = Buffer.concat(values.map((value) => encodeFrame(value)));
  for (const size of [1, 3, 4, 7, 4999, bytes.length]) {
    const decoder = new FrameDecoder();
    const seen: unknown[] = [];
    for (let at = 0; at < bytes.length; at += size) seen.push(...decoder.push(bytes.subarray(at, at + size)));
    expect(seen).toEqual(values);
  }
  expect(() => new FrameDecoder().push(Buffer.from([0xff, 0, 0, 0]))).toThrow("too long");
});
