import { describe, expect, test } from "bun:test";
import { jobId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import type { AppliedEvent } from "../../src/node/api.ts";
import { Events } from "../../src/node/events.ts";

/** An event at log index `index` in which a job changed its state. */
function event(index: number, job = 1, at = index): AppliedEvent {
  return {
    index,
    at,
    changes: [{ topic: "job", kind: "state", job: jobId(job), state: "running", cancelling: false }],
  };
}

/** An event in which a job ended. */
function ended(index: number, job: number): AppliedEvent {
  return {
    index,
    at: index,
    changes: [{ topic: "job", kind: "state", job: jobId(job), state: "succeeded", cancelling: false }],
  };
}

describe("events a node keeps", () => {
  test("a watcher resumes after an index without a gap and without a repeat", () => {
    const events = new Events(10);
    events.publish([event(11), event(12), event(15)], 20);
    expect(events.after(10)?.map((one) => one.index)).toEqual([11, 12, 15]);
    expect(events.after(12)?.map((one) => one.index)).toEqual([15]);
    expect(events.after(15)).toEqual([]);
  });

  test("what was applied before this start is gone, and said to be", () => {
    const events = new Events(10);
    expect(events.after(9)).toBeUndefined();
    expect(events.oldest()).toBe(10);
  });

  test("events older than the limit are dropped, and resuming from before them is refused", () => {
    const events = new Events(0);
    for (let index = 1; index <= 5000; index++) events.publish([event(index)], index);
    events.publish([event(5001, 1, limits.eventsInMemoryMs + 5000)], limits.eventsInMemoryMs + 3001);
    expect(events.oldest()).toBe(3000);
    expect(events.after(2999)).toBeUndefined();
    expect(events.after(3000)?.length).toBe(2001);
    expect(events.after(4999)?.map((one) => one.index)).toEqual([5000, 5001]);
  });

  test("entries that changed nothing are not kept", () => {
    const events = new Events(0);
    events.publish([{ index: 1, at: 1, changes: [] }], 1);
    expect(events.after(0)).toEqual([]);
  });

  test("a listener hears each event once until it stops listening", () => {
    const events = new Events(0);
    const heard: number[] = [];
    const stop = events.watch((one) => heard.push(one.index));
    events.publish([event(1), event(2)], 2);
    stop();
    events.publish([event(3)], 3);
    expect(heard).toEqual([1, 2]);
  });

  test("a waiter hears how its job ends, and nothing of before or of others", async () => {
    const events = new Events(0);
    let heard: string | undefined;
    const waiting = events.jobEnded(8, 60_000).then((state) => {
      heard = state;
    });
    const batch = { topic: "job", kind: "batch", job: jobId(8), batch: 2, first: 1, count: 3 } as const;
    events.publish([ended(1, 9), event(2, 8), { index: 2, at: 2, changes: [batch] }], 2);
    await Promise.resolve();
    expect(heard).toBeUndefined();
    events.publish([ended(3, 8)], 3);
    await waiting;
    expect(heard).toBe("succeeded");
  });

  test("a waiter looks again when its job is forgotten, and when the state jumps", async () => {
    const events = new Events(0);
    const forgotten = events.jobEnded(1, 60_000);
    events.publish([{ index: 1, at: 1, changes: [{ topic: "job", kind: "removed", job: jobId(1) }] }], 1);
    expect(await forgotten).toBeUndefined();
    const jumped = events.jobEnded(2, 60_000);
    events.reset(7);
    expect(await jumped).toBeUndefined();
  });

  test("a listener is told when the state jumps: what it misses nobody here knows", () => {
    const events = new Events(0);
    let jumps = 0;
    const stop = events.watch(
      () => {},
      () => (jumps += 1),
    );
    events.reset(5);
    stop();
    events.reset(9);
    expect(jumps).toBe(1);
  });

  test("a waiter ends when its caller goes away", async () => {
    const events = new Events(0);
    const gone = new AbortController();
    const waiting = events.jobEnded(1, 60_000, gone.signal);
    gone.abort();
    await waiting;
  });
});
