import { expect, test } from "bun:test";
import { type FaultEvent, type Plan, planOf } from "./plan.ts";
import { runPlan } from "./run-seed.ts";

/** Every host, as long as one is up: within less than any of them is down, so that none can tell another. */
function allMove(hosts: number): FaultEvent[] {
  const anyButLeaders = [0, 0, 1, 0, 0, 0];
  return Array.from({ length: hosts }, (_, place) => ({
    at: 20_000_000 + place * 1000,
    kind: "move" as const,
    lasts: 0,
    draws: anyButLeaders,
  }));
}

/** A cluster with nothing else to trouble it, from so many seconds on without troubles. */
function planWith(hosts: number, votersWanted: number): Plan {
  const drawn = planOf(1, { hosts, seconds: 60, operations: 50, calm: true });
  return { ...drawn, votersWanted, growsSlowly: false, oldHosts: 0, faults: allMove(hosts) };
}

test.each([
  ["one voter and the learner that it feeds", 2, 1],
  ["three voters", 3, 3],
])(
  "%s that all got other addresses before any could tell another: they ask where they were told to, and go on",
  async (_, hosts, voters) => {
    const { problems, counters, story } = await runPlan(planWith(hosts, voters), true);
    expect(problems, story.join("\n")).toEqual([]);
    expect(counters["fault:move"]).toBe(hosts);
    expect(counters["sought"]).toBeGreaterThan(0);
  },
  120_000,
);
