/** What the page of figures says of itself: good figures are met, and each one that is not as wanted is told as missed. */
import { describe, expect, test } from "bun:test";
import {
  judgeCatchup,
  judgeHunt,
  judgeJobs,
  judgeMutants,
  judgeScale,
  judgeSeeds,
  judgeThroughput,
  missedIn,
  none,
  parseMs,
  type Row,
} from "../../scripts/reliability-judge.ts";

const seeds = (count: number, took: string, failed: number): string =>
  `${count} seeds in ${took}: 18.2 hours simulated, 150000 calls, 35000000 events, 4911 faults; ${failed} failed`;
const hunt = [
  "hunts for 60 min from seed 5 on, with 2 processes",
  seeds(4434, "60 min 28 s", 0),
  "met: a 1, b 20",
  "processor time of the seeds: 2.01 h",
];
const mutants = [
  "found     1 an entry is committed by counting: seed 1, own-term-commit (1.00 s)",
  "found    47 voters are chosen by their numbers: seed 1863, membership (10.2 s)",
  "found    60 a lease names what is taken back: seed 1, test (0.94 s)",
  "found    61 what was not answered was taken back: seed 1, test (1.06 s)",
  "42 of 42 found, 39 within 300 seeds, in 5 min 9 s",
];
const missedByTest = [
  "MISSED   61 what was not answered was taken back: not found by its test (1.06 s)",
  "41 of 42 found, 38 within 300 seeds, in 5 min 9 s",
];
const catchup = [
  "|  | wanted | kept in the log | no longer in the log | a large state |",
  "| --- | --- | ---: | ---: | ---: |",
  "| writes missed | 1000000 | 1000137 | 1000070 | 394583 |",
  "| in so many entries of the log |  | 1000009 | 1000002 | 24223 |",
  "| jobs in the state | 1000000 | 0 | 0 | 1002660 |",
  "| back in step after | under 1 min 0 s | 13.7 s | 1.94 s | 6.47 s |",
  "| at half of it, while it came back | over 80 % of that | 4304 (100 %) | 4764 (100 %) | 4870 (81 %) |",
  "| leader's memory before and at most, MiB | bounded | 300, 303 | 390, 464 | 992, 1106 |",
];
const scale = [
  "|  | 3 nodes | 10 nodes | 30 nodes | 100 nodes |",
  "| --- | ---: | ---: | ---: | ---: |",
  "| start to all in step | 0.88 s | 3.24 s | 13.0 s | 1 min 38 s |",
  "| at rest, all nodes | 2.8 | 9.2 | 23 | 70 |",
  "| CPU per 1,000 entries, leader, ms | 3825 | 5825 | 4931 | 5100 ± 900 |",
  "| CPU per 1,000 entries, all nodes, ms | 6800 | 22146 | 63804 | 212872 |",
  "| elections that nobody asked for, at rest and under load | 0 | 0 | 0 | 0 |",
  "| SIGKILL of the leader to all in step | 0.06 s | 0.11 s | 0.33 s | 2.82 s |",
];

const missed = (rows: readonly Row[]): string[] => rows.filter(({ met }) => met === false).map(({ what }) => what);

const jobs = {
  submitted: 9950,
  refused: 50,
  ends: { cancelled: 90, failed: 1200, skipped: 1400, succeeded: 7300 },
  tasks: 17_000,
  attempts: 9000,
  retries: 900,
  lost: 40,
  troubles: { kill: 9, freeze: 4 },
  logs: 1500,
};

const judges: [string, (lines: readonly string[]) => readonly Row[], readonly string[]][] = [
  ["judgeSeeds", judgeSeeds, [seeds(300, "3 min 58 s", 0)]],
  ["judgeHunt", judgeHunt, hunt],
  ["judgeMutants", judgeMutants, mutants],
  ["judgeCatchup", judgeCatchup, catchup],
  ["judgeScale", judgeScale, scale],
];

test.each(judges)("%s: good figures are met; output that says nothing meets no demand", (_name, judge, lines) => {
  const rows = judge(lines);
  expect(missed(rows)).toEqual([]);
  expect(rows.filter(({ met }) => met === true).length).toBeGreaterThanOrEqual(3);
  const demands = rows.filter(({ met }) => met !== undefined).map(({ what }) => what);
  expect(missed(judge([]))).toEqual(demands);
  expect(missed(judge(["something went wrong"]))).toEqual(demands);
});

const replaced = (lines: readonly string[], from: string, to: string): string[] => {
  const changed = lines.map((line) => line.replace(from, to));
  expect(changed).not.toEqual([...lines]);
  return changed;
};

test("judgeJobs: good figures are met", () => expect(missed(judgeJobs(jobs, 10_000, 0))).toEqual([]));

test("what a hunt found once and finds no more is told, and nothing is missed", () => {
  const rows = judgeHunt(["failed once and mended since: 5, 7", ...hunt]);
  expect(missed(rows)).toEqual([]);
  expect(rows.map(({ measured }) => measured)).toContain("2: 5, 7");
});

test("what a unit test finds is counted apart, by name", () => {
  expect(judgeMutants(mutants).map(({ measured }) => measured)).toEqual([
    "40 of 40",
    "37 of 40",
    "1863",
    "2 of 2: 60, 61",
  ]);
});

test("writes are told with the entries that held them", () => {
  expect(judgeCatchup(catchup)[0]!.measured).toBe("1000137 in 1000009, 1000070 in 1000002");
});

describe("submits beside others, from another page", () => {
  const row = (what: string, measured: string): Row => ({ what, wanted: "", measured, met: undefined });
  const beside = [
    row("single jobs that run, 256 connections", "6,691/s"),
    row("single jobs that run, 64 connections, to etcd's puts", "3.01 (2.90 … 3.20) times"),
    row("single jobs that run, 256 connections, to etcd's puts", "3 (2.90 … 3.20) times"),
    row("single jobs that run, 256 connections, to the older build", "1 (0.98 … 1.10) times"),
  ];

  test("are met where the median is as wanted, also where that page demands nothing", () => {
    expect(judgeThroughput(beside).map(({ wanted, met }) => [wanted, met])).toEqual([
      ["at least 3 times", true],
      ["at least 3 times", true],
      ["not lower", true],
    ]);
  });

  test.each([
    ["64 connections, to etcd's puts", "2.99 (2.90 … 3.20) times"],
    ["256 connections, to etcd's puts", "0.899 (0.790 … 1.01) times"],
    ["to the older build", "0.99 (0.98 … 1.10) times"],
  ])("less than wanted is missed: %s", (end, measured) => {
    const worse = beside.map((one) => (one.what.endsWith(end) ? { ...one, measured } : one));
    expect(missed(judgeThroughput(worse))).toEqual([
      `single jobs that run, ${end === "to the older build" ? "256 connections, " : ""}${end}`,
    ]);
  });

  test("what nobody has measured is missed, and the older build as it was last measured by hand", () => {
    expect(missed(judgeThroughput([]))).toEqual([
      "single jobs, 64 connections, to etcd's puts",
      "single jobs, 256 connections, to etcd's puts",
      "single jobs that run, 256 connections, to a build of before mutual TLS in turns",
    ]);
  });
});

describe("what is missed", () => {
  test.each<[string, readonly Row[], string]>([
    ["a seed that failed", judgeSeeds([seeds(300, "3 min 58 s", 1)]), "failing seeds"],
    ["too few seeds", judgeSeeds([seeds(299, "3 min 58 s", 0)]), "seeds"],
    ["too slow", judgeSeeds([seeds(300, "4 min 0 s", 0)]), "time for all of them"],
    ["a failed seed of a hunt", judgeHunt(replaced(hunt, "0 failed", "7 failed")), "failing seeds"],
    ["a short hunt", judgeHunt(replaced(hunt, "2.01 h", "1.99 h")), "hours of processor time"],
    ["a hunt of which only the clock is known", judgeHunt(hunt.slice(0, -1)), "hours of processor time"],
    ["a path that was never walked", judgeHunt([...hunt, "not met: c"]), "rare paths never walked"],
    ["a bug not found", judgeMutants(replaced(mutants, "42 of 42", "41 of 42")), "bugs found by simulations"],
    ["found late", judgeMutants(replaced(mutants, "39 within", "33 within")), "found by simulations within 300 seeds"],
    [
      "a bug that its test does not find",
      judgeMutants([...mutants.slice(0, 3), ...missedByTest]),
      "bugs found by a unit test that is named with them, and by no simulation",
    ],
    ["found very late", judgeMutants(replaced(mutants, "1863", "5001")), "most seeds that one took"],
    ["a complaint about a job", judgeJobs(jobs, 10_000, 1), "complaints of the judges"],
    ["fewer jobs", judgeJobs({ ...jobs, submitted: 9949 }, 10_000, 0), "jobs"],
    [
      "no job that was skipped",
      judgeJobs({ ...jobs, ends: { ...jobs.ends, skipped: 0 } }, 10_000, 0),
      "how they ended",
    ],
    ["nothing tried again", judgeJobs({ ...jobs, retries: 0 }, 10_000, 0), "attempts that were not a task's first"],
    ["nothing lost", judgeJobs({ ...jobs, lost: 0 }, 10_000, 0), "attempts that were lost with their nodes"],
    [
      "no log of the destroyed node",
      judgeJobs({ ...jobs, logs: 0 }, 10_000, 0),
      "logs of the destroyed node that had to be there, and were read",
    ],
    ["slowly back", judgeCatchup(replaced(catchup, "6.47 s", "1 min 0 s")), "back in step after"],
    ["never back", judgeCatchup(replaced(catchup, "6.47 s", "more than 5 min 0 s, **missed**")), "back in step after"],
    [
      "little was missed",
      judgeCatchup(replaced(catchup, "1000070", "999999")),
      "writes that were missed, in so many entries of the log",
    ],
    [
      "many writes in few entries",
      judgeCatchup(replaced(catchup, "1000009", "63218")),
      "entries of the log that were missed",
    ],
    ["a small state", judgeCatchup(replaced(catchup, "1002660", "999999")), "jobs in the large state"],
    [
      "a leader that slows down",
      judgeCatchup(replaced(catchup, "(81 %)", "(80 %)")),
      "what the leader keeps of its load meanwhile",
    ],
    [
      "a leader that grows",
      judgeCatchup(replaced(catchup, "992, 1106", "992, 1249")),
      "what the leader's memory grows by meanwhile",
    ],
    [
      "no election",
      judgeScale(replaced(scale, "| 0 | 0 | 0 | 0 |", "| 0 | 0 | 1 | 0 |")),
      "elections that nobody asked for",
    ],
    ["not in step", judgeScale(replaced(scale, "1 min 38 s", "never")), "the largest in step after its start"],
    ["fewer nodes", judgeScale(replaced(scale, "100 nodes", "90 nodes")), "nodes"],
    [
      "a figure that is not there",
      judgeScale(replaced(scale, "23 | 70", "23 | -")),
      "CPU at rest, all nodes, % of a core",
    ],
    [
      "a cost that is lost in the noise",
      judgeScale(replaced(scale, "5100 ± 900", "no more than rest")),
      "CPU per 1,000 entries, leader, ms",
    ],
  ])("%s", (_what, rows, expected) => {
    expect(missed(rows)).toEqual([expected]);
  });

  test("and complaints, in words", () => {
    expect(missedIn("kill", [none("lost of 5 acknowledged writes", 0)], 0)).toEqual([]);
    expect(missedIn("kill", [none("lost of 5 acknowledged writes", 2)], 1)).toEqual([
      "`kill`: lost of 5 acknowledged writes: wanted 0, measured 2",
      "`kill`: a complaint",
    ]);
  });
});

test.each([
  ["1 min 38 s", 98_000],
  ["13.7 s", 13_700],
  ["250 ms", 250],
  ["never", undefined],
])("a duration of %s", (text, ms) => expect(parseMs(text)).toBe(ms));
