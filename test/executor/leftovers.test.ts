import { expect, test } from "bun:test";
import { clearLeftovers } from "../../src/executor/guard/leftovers.ts";
import { placesOf } from "../../src/executor/guard/places.ts";
import { bootId, bootTicks } from "../../src/executor/guard/processes.ts";
import { jobId } from "../../src/lib/ids.ts";
import { Directory } from "../storage/support.ts";

test.skipIf(bootTicks() === undefined)(
  "what an earlier guard left running is known by its number and the time of its start, and a process that has its number now is not touched",
  async () => {
    using directory = new Directory();
    const spawned = () => {
      const before = bootTicks()!;
      const child = Bun.spawn(["/bin/sleep", "600"], { detached: true, stdio: ["ignore", "ignore", "ignore"] });
      return { child, startTimes: [before, bootTicks()!] as const };
    };
    const [left, other] = [spawned(), spawned()];
    const running = (task: number, pid: number, startTimes: readonly [number, number]) => ({
      job: jobId(1),
      task,
      attempt: 1,
      startedAt: 0,
      pid,
      startTimes,
    });
    const restored = {
      running: [
        running(0, left.child.pid, left.startTimes),
        running(1, other.child.pid, [other.startTimes[0] - 200, other.startTimes[0] - 100]),
      ],
      finished: [],
      boot: bootId(),
      exact: true,
    };
    await clearLeftovers({ ...restored, boot: "another boot" }, placesOf(directory.path));
    expect([left.child.exitCode, left.child.signalCode]).toEqual([null, null]);
    await clearLeftovers(restored, placesOf(directory.path));
    await left.child.exited;
    expect([left.child.signalCode, other.child.exitCode, other.child.signalCode]).toEqual(["SIGKILL", null, null]);
    other.child.kill("SIGKILL");
    await other.child.exited;
  },
);
