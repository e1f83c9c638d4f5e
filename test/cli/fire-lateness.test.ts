import { expect, test } from "bun:test";
import { FireLateness, reaches } from "../../src/cli/fire-lateness.ts";
import type { FireView } from "../../src/state/answers.ts";

/** What `bench cron` finds in histories: it must be able to say no. */

const first = Date.parse("2026-12-01T00:00:00Z");
const due = { first, last: first + 2_000, everyMs: 1_000 };
let jobs = 0;

function fired(place: number, lagMs: number, jitterMs = 0): FireView {
  const at = first + place * 1_000;
  return {
    at: new Date(at).toISOString(),
    fired_at: new Date(at + jitterMs + lagMs).toISOString(),
    lag_ms: lagMs,
    job: ++jobs,
  };
}

function countsOf(lines: readonly FireView[]): FireLateness["counts"] {
  const lateness = new FireLateness(due, 1);
  lateness.look(lines);
  return lateness.counts;
}

test("each instant that was due counts once, and what lies outside does not", () => {
  const lateness = new FireLateness(due, 2);
  lateness.look([fired(3, 9), fired(2, 30), fired(1, 20, 400), fired(0, 10), fired(-1, 9)]);
  expect(lateness.counts).toEqual({ fires: 3, doubled: 0, missed: 0, early: 0 });
  expect([lateness.lags.count, lateness.lags.maxMs]).toEqual([3, 30]);
  expect(lateness.sample.map(({ dueAt }) => dueAt - first)).toEqual([2_000, 0]);
});

test("an instant that made two jobs is doubled, one that made none is missed, and one before its time is early", () => {
  expect(countsOf([fired(0, 1), fired(0, 2), fired(2, -1)])).toEqual({ fires: 3, doubled: 1, missed: 1, early: 1 });
  const skipped: FireView = { at: new Date(first).toISOString(), count: 3, reason: "missed" };
  expect(countsOf([skipped])).toEqual({ fires: 0, doubled: 0, missed: 3, early: 0 });
});

test("a history reaches an instant with a fire or with the end of a run of skipped ones", () => {
  const run: FireView = {
    at: new Date(first).toISOString(),
    until: new Date(first + 2_000).toISOString(),
    count: 3,
    reason: "overlap",
  };
  expect([reaches([], first), reaches([fired(1, 0)], first + 2_000), reaches([run], first + 2_000)]).toEqual([
    false,
    false,
    true,
  ]);
});
