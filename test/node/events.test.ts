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
    events.publish([event(5001, 1, limits.eventsKeptMs + 5000)], limits.eventsKeptMs + 3001);
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

  test("a waiter wakes for its job and not for another", async () => {
    const events = new Events(0);
    let woken = false;
    const waiting = events.jobChanged([7, 8], 60_000).then(() => {
      woken = true;
    });
    events.publish([event(1, 9)], 1);
    await Promise.resolve();
    expect(woken).toBe(false);
    events.publish([event(2, 8)], 2);
    await waiting;
    expect(woken).toBe(true);
  });

  test("a waiter ends when its caller goes away", async () => {
    const events = new Events(0);
    const gone = new AbortController();
    const waiting = events.jobChanged([1], 60_000, gone.signal);
    gone.abort();
    await waiting;
  });
});
