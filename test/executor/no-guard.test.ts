import { expect, test } from "bun:test";
import { Fault } from "../../src/lib/fault.ts";
import { plain, rig } from "./told-guard.ts";

test("a guard that cannot be had at the start is looked for until it can, and the node goes on", async () => {
  const logged: string[] = [];
  const full = (): Fault => new Fault("guard", "the guard did not answer; it said nothing", "safe");
  await using own = await rig(
    { finished: [plain(3)] },
    { log: (level, message) => logged.push(`${level}: ${message}`) },
    [full(), full()],
  );
  expect(logged).toEqual(Array.from({ length: 2 }, () => "error: the guard did not answer; it said nothing"));
  // What an earlier guard had to tell is known now.
  expect(own.guard.listing.finished).toHaveLength(1);
});
