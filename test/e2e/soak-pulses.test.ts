import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import type { TaskAnswer } from "../../scripts/mesh-jobs.ts";
import { pulsed, pulseProblem, pulsesIn } from "../../scripts/soak-pulses.ts";
import { temporaryDirectory, untilTrue } from "./harness.ts";

/** A task that succeeded in this attempt, after others that were lost. */
function succeededIn(attempt: number): TaskAnswer {
  const attempts = Array.from({ length: attempt }, (_, at) => ({
    attempt: at + 1,
    state: at + 1 === attempt ? "succeeded" : "lost",
  }));
  return { task: 0, state: "succeeded", attempt, attempts } as unknown as TaskAnswer;
}

/** An attempt of task 0 of job 7 as a process. */
function start(directory: string, attempt: number, beats: number): Bun.Subprocess {
  const env = { PATH: process.env["PATH"], SKEIN_JOB: "7", SKEIN_TASK: "0", SKEIN_ATTEMPT: String(attempt) };
  return Bun.spawn(["sh", "-c", pulsed(directory, beats)], { env });
}

const judged = (directory: string, task: TaskAnswer): string | undefined =>
  pulseProblem(task, pulsesIn(directory).get("7.0") ?? [], "task 7.0");

test("attempts one after the other are as they should be", async () => {
  using scratch = temporaryDirectory();
  for (const attempt of [1, 2]) await start(scratch.path, attempt, 2).exited;
  expect(judged(scratch.path, succeededIn(2))).toBeUndefined();
});

test("two attempts that are alive at once are seen", async () => {
  using scratch = temporaryDirectory();
  const file = path.join(scratch.path, "7.0.1");
  const beats = (): number => (existsSync(file) ? readFileSync(file, "utf8").split("\n").length - 1 : 0);
  const untilBeats = (count: number): Promise<void> =>
    untilTrue(
      () => beats() >= count,
      () => `${beats()} beats`,
    );
  const first = start(scratch.path, 1, 10_000);
  await untilBeats(1);
  await start(scratch.path, 2, 1).exited;
  await untilBeats(beats() + 2);
  first.kill("SIGKILL");
  await first.exited;
  expect(judged(scratch.path, succeededIn(2))).toMatch(
    /attempt 2 began \d+ ms before the last sign of life of attempt 1/,
  );
});

test("an attempt that was taken back must not have run, and counts as no loss", async () => {
  using scratch = temporaryDirectory();
  const attempts = [
    { attempt: 1, state: "skipped", started_at: null },
    { attempt: 2, state: "succeeded", started_at: "2026-01-01T00:00:00.000Z" },
  ];
  const task = { ...succeededIn(2), attempts } as unknown as TaskAnswer;
  await start(scratch.path, 2, 1).exited;
  expect(judged(scratch.path, task)).toBeUndefined();
  const skipped = { ...task, attempts: attempts.map((one) => ({ ...one, started_at: "2026-01-01T00:00:00.000Z" })) };
  expect(judged(scratch.path, skipped as unknown as TaskAnswer)).toContain("without having been lost");
  await start(scratch.path, 1, 1).exited;
  expect(judged(scratch.path, task)).toContain("an attempt ran that was taken back");
});

test("an attempt that nobody was told of, one that left nothing and a task that failed are seen", async () => {
  using scratch = temporaryDirectory();
  expect(judged(scratch.path, succeededIn(1))).toContain("its last attempt left no end");
  for (const attempt of [1, 2]) await start(scratch.path, attempt, 1).exited;
  expect(judged(scratch.path, succeededIn(1))).toContain("an attempt ran that the state does not know");
  expect(judged(scratch.path, { ...succeededIn(2), state: "failed" })).toContain("it is failed");
});
