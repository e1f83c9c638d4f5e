import { expect, test } from "bun:test";
import { GuardLease } from "../../src/executor/guard/lease.ts";
import { monotonicMs } from "../../src/lib/clock.ts";
import { until } from "./rig.ts";

test("a renewal that is older than the present one does not move the deadline back", async () => {
  let ended = 0;
  const lease = new GuardLease(() => (ended += 1));
  const soon = monotonicMs() + 30;
  lease.renew(monotonicMs() + 60_000);
  lease.renew(soon);
  await until("the older deadline", () => monotonicMs() > soon + 10);
  expect([lease.check(), ended]).toEqual([true, 0]);
  lease.close();
});
