/** What `bench cycle` counts as a start of a task's own: it must be able to say no. */
import { expect, test } from "bun:test";
import { OwnStarts } from "../../src/cli/own-starts.ts";

const at = (ms: number): string => new Date(Date.UTC(2026, 10, 27) + ms).toISOString();

interface Drawn {
  readonly start: (task: number) => number | null;
  readonly end?: (task: number) => number | null;
  readonly by?: number;
  readonly told?: number | null;
}

/** `tasks` of a job that was accepted at 10,000, on two nodes in turn; gives how many lack a start of their own. */
function lacking(tasks: number, { start, end = (task) => 10_100 + task, by, told }: Drawn): number {
  const judge = new OwnStarts();
  for (let task = 0; task < tasks; task++) {
    const node = told === undefined ? 1 + (task % 2) : told;
    const [from, to] = [start(task), end(task)];
    const startedAt = from === null ? null : at(from);
    const attempt = { node: by ?? 1 + (task % 2), started_at: startedAt };
    judge.look(
      { node, started_at: startedAt, finished_at: to === null ? null : at(to), attempts: [attempt] },
      at(10_000),
    );
  }
  expect(judge.tasks).toBe(tasks);
  return judge.lacking;
}

test("each with its own start, between the acceptance and its end, is as it should be", () => {
  expect(lacking(5_000, { start: (task) => 10_050 + task })).toBe(0);
  expect(lacking(5_000, { start: (task) => 10_050 + (task >> 11) })).toBe(0);
  // A few that began and ended within a millisecond.
  expect(lacking(5_000, { start: () => 10_050, end: () => 10_050 })).toBe(0);
  expect(lacking(100, { start: () => 10_050 })).toBe(0);
  const { byNode } = new OwnStarts();
  expect(byNode).toEqual({});
});

test.each<[string, Drawn, number]>([
  ["one start for all", { start: () => 10_050 }, 5_000],
  ["a start of before the job was there", { start: () => 5_000 }, 5_000],
  ["starts after their ends", { start: (task) => 10_101 + task }, 5_000],
  ["no start", { start: () => null }, 5_000],
  ["no end", { start: (task) => 10_050 + task, end: () => null }, 5_000],
  ["an attempt on another node", { start: (task) => 10_050 + task, by: 3 }, 5_000],
  ["no node", { start: (task) => 10_050 + task, told: null }, 5_000],
  ["a start that is missing for one", { start: (task) => (task === 7 ? null : 10_050 + task) }, 1],
])("%s is not", (_, drawn, wrong) => {
  expect(lacking(5_000, drawn)).toBe(wrong);
});
