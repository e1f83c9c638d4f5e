import { expect, test } from "bun:test";
import { Fault } from "../../src/lib/fault.ts";
import { limits } from "../../src/lib/limits.ts";
import { CopyBackoff } from "../../src/node/copy-backoff.ts";

function backoffOf() {
  const time = { now: 0 };
  const told: string[] = [];
  const backoff = new CopyBackoff({
    now: () => time.now,
    log: (level, message) => void told.push(`${level} ${message}`),
  });
  let tries = 0;
  const disk: { fault: Fault | undefined } = { fault: undefined };
  const ask = (): Promise<string> =>
    backoff
      .run(() => {
        tries += 1;
        return disk.fault === undefined ? Promise.resolve("made") : Promise.reject(disk.fault);
      })
      .catch((error: unknown) => (error as Error).message);
  return { time, told, backoff, disk, ask, tries: () => tries };
}

test("who asks each second costs a copy at the first and then once a minute, and people are told once; with room again at once", async () => {
  const one = backoffOf();
  one.disk.fault = new Fault("disk-full", "no room", "safe");
  const triedAt: number[] = [];
  for (; one.time.now < 10 * 60_000; one.time.now += 1000) {
    const before = one.tries();
    expect(await one.ask()).toBe("no room");
    if (one.tries() > before) triedAt.push(one.time.now / 1000);
  }
  expect(triedAt.slice(0, 8)).toEqual([0, 1, 3, 7, 15, 31, 63, 123]);
  expect(triedAt.at(-1)! - triedAt.at(-2)!).toBe(limits.copyRetryMostMs / 1000);
  expect(one.told).toEqual([
    expect.stringMatching(/^warn no member can be given the state of this node: no room; it is tried again/),
  ]);
  expect(one.backoff.trouble).toBe("no room");
  one.disk.fault = undefined;
  one.time.now += limits.copyRetryMostMs;
  expect([await one.ask(), await one.ask()]).toEqual(["made", "made"]);
  expect(one.backoff.trouble).toBeUndefined();
  expect(one.told).toHaveLength(2);
  // Another time is news, and begins anew.
  one.disk.fault = new Fault("disk-full", "no room", "safe");
  const before = one.tries();
  await one.ask();
  one.time.now += limits.copyRetryMs;
  await one.ask();
  expect(one.tries()).toBe(before + 2);
  expect(one.told).toHaveLength(3);
});

test("a trouble that nobody asks about any more is shown to nobody", async () => {
  const one = backoffOf();
  one.disk.fault = new Fault("disk-full", "no room", "safe");
  await one.ask();
  expect(one.backoff.trouble).toBe("no room");
  one.time.now += 60_000;
  expect(one.backoff.trouble).toBeUndefined();
});

test("what is not the disk's is tried again whenever somebody asks", async () => {
  const one = backoffOf();
  one.disk.fault = new Fault("data", "the state is not one for others", "safe");
  await one.ask();
  await one.ask();
  expect([one.tries(), one.told, one.backoff.trouble]).toEqual([2, [], undefined]);
});
