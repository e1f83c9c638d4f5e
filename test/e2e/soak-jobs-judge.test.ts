import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  judges,
  type JobSeen,
  type JobsHistory,
  logProblem,
  type Submitted,
  type Trace,
  tracesIn,
} from "../../scripts/soak-jobs-judge.ts";
import { type Drawn, JobsPlan, outputOf } from "../../scripts/soak-jobs-plan.ts";
import type { TaskAnswer } from "../../scripts/mesh-jobs.ts";
import { seededRandom } from "../../src/lib/prng.ts";

/** Each judge of a soak with jobs is shown histories that it must refuse, and one that all of them must let pass. */

const at = (seconds: number): string => new Date(1_900_000_000_000 + seconds * 1000).toISOString();
const none = { queued: 0, running: 0, succeeded: 0, failed: 0, timeout: 0, lost: 0, cancelled: 0, skipped: 0 };

const job = (id: number, more: Partial<Submitted> = {}): Submitted => ({
  serial: id,
  name: `chaos-${id}`,
  spec: {},
  behaviour: { kind: "succeeds" },
  tasks: 1,
  isTraced: true,
  after: [],
  lines: 0,
  cancelAfterMs: undefined,
  holdForMs: undefined,
  id,
  parents: [],
  cancelAsked: false,
  held: undefined,
  ...more,
});
const seen = (
  id: number,
  state: JobSeen["state"],
  from: number | null,
  to: number,
  more: Partial<JobSeen> = {},
): JobSeen => ({
  id,
  name: `chaos-${id}`,
  state,
  counts: { ...none, [state]: 1 },
  submitted_at: at(0),
  started_at: from === null ? null : at(from),
  finished_at: at(to),
  ...more,
});
const task = (id: number, state: string, more: Partial<TaskAnswer> = {}): TaskAnswer => {
  const attempt = more.attempt ?? 1;
  const own = { attempt, node: 1, state, started_at: at(1), finished_at: at(2) };
  return {
    job: id,
    task: 0,
    state,
    started_at: at(1),
    finished_at: at(2),
    exit_code: state === "succeeded" ? 0 : state === "failed" ? 1 : null,
    signal: null,
    node: 1,
    attempt,
    tail: "",
    log: null,
    ...more,
    attempts: [...(more.attempts ?? []), ...(attempt > 0 ? [own] : [])],
  };
};
const before = (attempt: number, state: string): TaskAnswer["attempts"][number] => ({
  attempt,
  node: 1,
  state,
  started_at: at(1),
  finished_at: at(2),
});
const line = (what: Trace["what"], id: number, attempt: number, more: Partial<Trace> = {}): Trace => ({
  what,
  job: id,
  task: 0,
  attempt,
  fence: 100 * id + attempt,
  node: 1,
  upSeconds: 1,
  ...more,
});
const whole = (id: number, attempt: number): Trace[] => [line("begin", id, attempt), line("end", id, attempt)];

const history = (more: Partial<JobsHistory>): JobsHistory => ({
  jobs: [],
  refused: [],
  seen: [],
  tasks: new Map((more.jobs ?? []).map(({ id }) => [id, []])),
  traces: [],
  ends: new Map(),
  ...more,
});
const one = (
  own: Submitted,
  view: JobSeen,
  tasks: readonly TaskAnswer[],
  traces: readonly Trace[],
  more: Partial<JobsHistory> = {},
): JobsHistory => history({ jobs: [own], seen: [view], tasks: new Map([[own.id, tasks]]), traces, ...more });

const retried = { retries: { max: 1 } };

/** A failure that is tried again, one that is not, children of both, a key, a hold, an array. */
const good = history({
  jobs: [
    job(1, { spec: { ...retried, key: "k" }, behaviour: { kind: "fails at first", attempts: 1 } }),
    job(2, { behaviour: { kind: "fails" }, spec: { on_lost: "fail", key: "k" } }),
    job(3, { parents: [{ id: 2, when: "succeeded" }] }),
    job(4, {
      parents: [
        { id: 2, when: "failed" },
        { id: 3, when: "done" },
      ],
      held: { fromMs: Date.parse(at(5)), toMs: Date.parse(at(9)) },
    }),
    job(5, {
      tasks: 3,
      spec: { parallel: 2, max_failures: 1, count: 3 },
      behaviour: { kind: "fails by task", every: 3 },
    }),
    job(6, { behaviour: { kind: "hangs" }, spec: { timeout: "1s" } }),
  ],
  refused: ["chaos-7"],
  seen: [
    seen(1, "succeeded", 1, 3),
    seen(2, "failed", 3, 4),
    seen(3, "skipped", null, 4),
    seen(4, "succeeded", 10, 11),
    seen(5, "succeeded", 1, 3, { partial: true, counts: { ...none, succeeded: 2, failed: 1 } }),
    seen(6, "failed", 1, 3, { counts: { ...none, timeout: 1 } }),
  ],
  tasks: new Map([
    [1, [task(1, "succeeded", { attempt: 2, attempts: [before(1, "failed")] })]],
    [2, [task(2, "failed")]],
    [3, []],
    [4, [task(4, "succeeded", { attempt: 2, attempts: [before(1, "lost")] })]],
    [5, [task(5, "failed"), task(5, "succeeded", { task: 1 }), task(5, "succeeded", { task: 2 })]],
    [6, [task(6, "timeout")]],
  ]),
  traces: [
    ...whole(1, 1),
    ...whole(1, 2),
    ...whole(2, 1),
    line("begin", 4, 1),
    line("beat", 4, 1),
    ...whole(4, 2),
    line("begin", 5, 1),
    line("begin", 5, 1, { task: 1 }),
    line("end", 5, 1),
    line("begin", 5, 1, { task: 2 }),
    line("end", 5, 1, { task: 1 }),
    line("end", 5, 1, { task: 2 }),
    line("begin", 6, 1),
  ],
  ends: new Map([[1, new Set(["succeeded at 17"])]]),
});

test("a history in which all is right", () => {
  for (const [name, judge] of Object.entries(judges)) expect([name, judge(good)]).toEqual([name, []]);
});

test("an attempt that was taken back before it began is neither a loss nor a failure", () => {
  const back = { ...before(1, "skipped"), started_at: null };
  const judged = one(
    job(1, { spec: { on_lost: "fail" } }),
    seen(1, "succeeded", 1, 2),
    [task(1, "succeeded", { attempt: 2, attempts: [back] })],
    [],
  );
  expect(judges["wrongEnds"]!(judged)).toEqual([]);
  const began = one(
    job(1),
    judged.seen[0]!,
    [task(1, "succeeded", { attempt: 2, attempts: [before(1, "skipped")] })],
    [],
  );
  expect(judges["wrongEnds"]!(began)).not.toEqual([]);
});

describe("histories that are wrong", () => {
  const ended = seen(1, "succeeded", 1, 2);
  const succeeded = task(1, "succeeded");
  const cases: readonly [judge: string, what: string, wrong: JobsHistory, words: string][] = [
    ["lostJobs", "a job that is not there", history({ jobs: [job(1)] }), "was acknowledged as job 1"],
    ["lostJobs", "a job that is there twice", history({ jobs: [job(1)], seen: [ended, { ...ended, id: 2 }] }), "[1,2]"],
    ["lostJobs", "a job that goes on", history({ jobs: [job(1)], seen: [seen(1, "running", 1, 2)] }), "has not ended"],
    ["lostJobs", "a refused one that is there", history({ refused: ["chaos-1"], seen: [ended] }), "was refused"],
    [
      "endedTwice",
      "two ends",
      history({ seen: [ended], ends: new Map([[1, new Set(["succeeded at 5", "succeeded at 9"])]]) }),
      "more than once",
    ],
    [
      "endedTwice",
      "another end",
      history({ seen: [ended], ends: new Map([[1, new Set(["failed at 5"])]]) }),
      "told as",
    ],
    [
      "wrongEnds",
      "a success of what fails",
      one(job(1, { behaviour: { kind: "fails" } }), ended, [succeeded], []),
      "does not",
    ],
    [
      "wrongEnds",
      "a verdict that tasks do not give",
      one(job(1), seen(1, "failed", 1, 2, { counts: { ...none, succeeded: 1 } }), [succeeded], []),
      "say succeeded",
    ],
    [
      "wrongEnds",
      "an end that nobody asked for",
      one(job(1), seen(1, "cancelled", 1, 2), [task(1, "cancelled")], []),
      "nobody asked",
    ],
    [
      "wrongEnds",
      "a child that ran although its parent failed",
      history({
        jobs: [job(1, { behaviour: { kind: "fails" } }), job(2, { parents: [{ id: 1, when: "succeeded" }] })],
        seen: [seen(1, "failed", 1, 2), seen(2, "succeeded", 3, 4)],
        tasks: new Map([
          [1, [task(1, "failed")]],
          [2, [task(2, "succeeded")]],
        ]),
      }),
      "in spite of 1",
    ],
    [
      "wrongEnds",
      "a child that is skipped although its parent ended as it was to",
      history({
        jobs: [job(1), job(2, { parents: [{ id: 1, when: "done" }] })],
        seen: [ended, seen(2, "skipped", null, 4)],
        tasks: new Map([[1, [succeeded]]]),
      }),
      "no parent of it ended otherwise",
    ],
    [
      "wrongEnds",
      "a failure that was not tried again",
      one(job(1, { spec: retried, behaviour: { kind: "fails" } }), seen(1, "failed", 1, 2), [task(1, "failed")], []),
      "given up after 0 retries of 1",
    ],
    [
      "wrongEnds",
      "more retries than there may be",
      one(
        job(1, { spec: retried, behaviour: { kind: "fails" } }),
        seen(1, "failed", 1, 2),
        [task(1, "failed", { attempt: 3, attempts: [before(1, "failed"), before(2, "failed")] })],
        [],
      ),
      "tried again 2 times, of 1",
    ],
    [
      "wrongEnds",
      "another try after a success",
      one(job(1), ended, [task(1, "succeeded", { attempt: 2, attempts: [before(1, "succeeded")] })], []),
      "after attempt 1 had succeeded",
    ],
    [
      "wrongEnds",
      "on_lost: fail, and begun again",
      one(
        job(1, { spec: { on_lost: "fail" } }),
        ended,
        [task(1, "succeeded", { attempt: 2, attempts: [before(1, "lost")] })],
        [],
      ),
      "after it had been lost",
    ],
    [
      "wrongEnds",
      "lost, and not begun again",
      one(job(1), seen(1, "failed", 1, 2, { counts: { ...none, lost: 1 } }), [task(1, "lost")], []),
      "is lost after 0 losses",
    ],
    [
      "wrongEnds",
      "tasks that are skipped although few failed",
      one(
        job(1, { tasks: 2, spec: { max_failures: 1 }, behaviour: { kind: "fails by task", every: 2 } }),
        seen(1, "failed", 1, 2, { counts: { ...none, failed: 1, skipped: 1 } }),
        [task(1, "failed"), task(1, "skipped", { task: 1, attempt: 0 })],
        [],
      ),
      "without failures enough",
    ],
    [
      "wrongEnds",
      "fewer tasks than there are",
      one(job(1, { tasks: 2 }), ended, [succeeded], []),
      "has 1 tasks and not 2",
    ],
    [
      "startedEarly",
      "before its instant",
      one(job(1, { spec: { start_at: at(2) } }), ended, [], []),
      "before its start_at",
    ],
    [
      "startedEarly",
      "while it was held",
      one(job(1, { held: { fromMs: Date.parse(at(0)), toMs: Date.parse(at(5)) } }), ended, [], []),
      "while it was held",
    ],
    [
      "startedEarly",
      "before its parent had ended",
      history({
        jobs: [job(1), job(2, { parents: [{ id: 1, when: "done" }] })],
        seen: [ended, seen(2, "succeeded", 1.5, 3)],
      }),
      "that it waits for ended at",
    ],
    [
      "startedEarly",
      "two of a key together",
      history({
        jobs: [job(1, { spec: { key: "k" } }), job(2, { spec: { key: "k" } })],
        seen: [ended, seen(2, "succeeded", 1.5, 3)],
      }),
      "jobs 1 and 2 of k were at work together",
    ],
    [
      "startedEarly",
      "after another one had taken its place",
      history({
        jobs: [job(1, { spec: { key: "k" } }), job(2, { spec: { key: "k", on_conflict: "replace" } })],
        seen: [seen(1, "succeeded", 5, 6), seen(2, "succeeded", 6, 7)],
      }),
      "job 2 had replaced it",
    ],
    [
      "liveTwice",
      "a sign of life of an older attempt",
      history({ traces: [line("begin", 1, 1), line("begin", 1, 2), line("beat", 1, 1)] }),
      "was alive",
    ],
    [
      "liveTwice",
      "an attempt that begins twice",
      history({ traces: [line("begin", 1, 1), line("begin", 1, 1)] }),
      "ran twice",
    ],
    [
      "liveTwice",
      "a fence that does not grow",
      history({ traces: [line("begin", 1, 1), line("begin", 1, 2, { fence: 5 })] }),
      "has fence 5",
    ],
    [
      "untoldWork",
      "an attempt that the state does not know",
      one(job(1), ended, [succeeded], [...whole(1, 1), line("begin", 1, 2)]),
      "attempt 2 ran",
    ],
    [
      "untoldWork",
      "a success that never came to its end",
      one(job(1), ended, [succeeded], [line("begin", 1, 1)]),
      "did not run to its end",
    ],
    [
      "untoldWork",
      "a task that there is not",
      one(job(1), ended, [succeeded], [...whole(1, 1), line("begin", 1, 1, { task: 3 })]),
      "task 1/3 ran",
    ],
    [
      "untoldWork",
      "on_lost: fail that began twice",
      one(
        job(1, { spec: { on_lost: "fail" } }),
        ended,
        [task(1, "succeeded", { attempt: 2 })],
        [line("begin", 1, 1), ...whole(1, 2)],
      ),
      "began 2 times",
    ],
    [
      "overLimits",
      "more at once than `parallel`",
      one(
        job(1, { tasks: 2, spec: { parallel: 1 } }),
        ended,
        [],
        [line("begin", 1, 1), line("begin", 1, 1, { task: 1 }), line("end", 1, 1), line("end", 1, 1, { task: 1 })],
      ),
      "job 1: more than 1",
    ],
    [
      "overLimits",
      "more licenses than a node has",
      history({
        jobs: [1, 2, 3].map((id) => job(id, { spec: { resources: { license: 1 } } })),
        traces: [1, 2, 3].map((id) => line("begin", id, 1)).concat([1, 2, 3].map((id) => line("end", id, 1))),
      }),
      "licenses of node 1",
    ],
    [
      "overLimits",
      "more tasks than a node has slots",
      history({
        jobs: Array.from({ length: 9 }, (_, id) => job(id)),
        traces: ["begin" as const, "end" as const].flatMap((what) =>
          Array.from({ length: 9 }, (_, id) => line(what, id, 1)),
        ),
      }),
      "node 1: more than 8",
    ],
  ];
  test.each(cases)("%s: %s", (name, _what, wrong, words) => {
    expect(judges[name]!(wrong).join("\n")).toContain(words);
  });

  test("no judge is without a case", () => {
    expect([...new Set(cases.map(([name]) => name))].toSorted()).toEqual(Object.keys(judges).toSorted());
  });

  test("a log that is cut, or another one's", () => {
    const own = job(1, { lines: 2 });
    const text = outputOf(own, 1, 0, 1);
    const log = { bytes: text.length, sha256: createHash("sha256").update(text).digest("hex"), nodes: [1] };
    expect(logProblem(own, task(1, "succeeded", { log }), text)).toBeUndefined();
    expect(logProblem(own, task(1, "succeeded", { log }), text.slice(0, -1))).toContain("is not what it printed");
    expect(logProblem(own, task(1, "timeout", { log }), text.slice(0, -1))).toContain("bytes and sha256");
  });

  test("lines of traces that no task wrote", () => {
    expect(tracesIn("begin 1 0 1 9 2 17.50\nbegin 1 0begin\n")).toEqual({
      traces: [{ what: "begin", job: 1, task: 0, attempt: 1, fence: 9, node: 2, upSeconds: 17.5 }],
      damaged: ["begin 1 0begin"],
    });
  });
});

test("what is drawn has all that it is to try: graphs with every condition, keys, arrays, both ways of being lost, limits", () => {
  const plan = new JobsPlan(seededRandom(1), "/dev/null", { mayBeLong: true });
  const drawn: Drawn[] = [];
  for (let serial = 1; serial <= 2000; serial++) drawn.push(plan.next(drawn.map((each) => each.serial)));
  const conditions = new Set(drawn.flatMap(({ after }) => after.map(({ when }) => when)));
  expect([...conditions].toSorted()).toEqual(["done", "failed", "succeeded"]);
  const kinds = new Set(drawn.map(({ behaviour }) => behaviour.kind));
  expect([...kinds].toSorted()).toEqual(["fails", "fails at first", "fails by task", "hangs", "succeeds"]);
  const words =
    "count array matrix parallel retries on_lost key on_conflict start_at deadline timeout max_failures resources priority";
  for (const word of words.split(" ")) expect([word, drawn.some(({ spec }) => word in spec)]).toEqual([word, true]);
  for (const word of ["cancelAfterMs", "holdForMs"] as const)
    expect([word, drawn.some((each) => each[word] !== undefined)]).toEqual([word, true]);
});
