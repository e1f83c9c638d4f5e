import { expect, test } from "bun:test";
import { GuardLease } from "../../src/executor/guard/lease.ts";
import { sinceBootMs } from "../../src/executor/guard/processes.ts";
import { SleepWatch } from "../../src/executor/guard/sleep-watch.ts";
import { monotonicMs } from "../../src/lib/clock.ts";
import { limits } from "../../src/lib/limits.ts";
import { until } from "./rig.ts";

/** A lease on a host that can be put to sleep: the clock since boot goes on, the other one stands still. */
function leaseOnHost(): {
  readonly lease: GuardLease;
  readonly ended: () => number;
  readonly sleep: (forMs: number) => void;
} {
  let sleptMs = 0;
  let ended = 0;
  const watch = new SleepWatch(() => sinceBootMs()! + sleptMs);
  const lease = new GuardLease(() => (ended += 1), watch);
  return { lease, ended: () => ended, sleep: (forMs) => (sleptMs += forMs) };
}

test("a renewal that is older than the present one does not move the deadline back", async () => {
  const { lease, ended } = leaseOnHost();
  const soon = monotonicMs() + 30;
  lease.renew(monotonicMs() + 60_000);
  lease.renew(soon);
  await until("the older deadline", () => monotonicMs() > soon + 10);
  expect([lease.check(), ended()]).toEqual([true, 0]);
  lease.close();
});

test("the lease of a host that slept has ended, without a frame or question that would find out", async () => {
  const { lease, ended, sleep } = leaseOnHost();
  lease.renew(monotonicMs() + 60_000);
  sleep(3_000);
  await until("the end", () => ended() === 1);
  expect(lease.check()).toBe(false);
  expect(ended()).toBe(1);
});

test("a lease that was asked for before the host slept grants nothing, one that was asked for later does", () => {
  const { lease, ended, sleep } = leaseOnHost();
  const now = monotonicMs();
  lease.renew(now - 20 + limits.leaseMs);
  sleep(3_000);
  lease.renew(now - 10 + limits.leaseMs);
  expect([lease.check(), ended()]).toEqual([false, 1]);
  lease.renew(monotonicMs() + limits.leaseMs);
  expect([lease.check(), ended()]).toEqual([true, 1]);
  lease.close();
});

test("the clocks of a host that does not sleep stay together", async () => {
  const watch = new SleepWatch();
  const before = monotonicMs();
  while (monotonicMs() < before + 100) {
    expect(watch.hasSlept()).toBe(false);
    await Bun.sleep(1);
  }
});
