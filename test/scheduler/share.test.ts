import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { nodeId } from "../../src/lib/ids.ts";
import { runningTasksOn } from "../../src/state/planning.ts";
import { totals } from "../../src/state/queries.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { admin, Cluster } from "../state/support.ts";
import { Leader, namesOf } from "./leader.ts";

function submit(cluster: Cluster, name: string, spec: Record<string, unknown> = {}): number {
  const { jobs } = commandByName("job.submit").input.parse({ jobs: [{ run: "true", ...spec }] });
  return cluster.must("job.submit", { jobs }, { token: `t-${name}`, name, role: "operator" }).first;
}

function weigh(cluster: Cluster, name: string, weight: number): void {
  cluster.must("submitter.set", { name, weight }, admin);
}

const running = ({ database }: Cluster) => [1, 2, 3].flatMap((node) => runningTasksOn(database, nodeId(node)));

/** How many slots each submitter has. */
function held(cluster: Cluster): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { job } of running(cluster)) {
    const { submitted_by: by, spec } = cluster.job(job);
    sums[by] = (sums[by] ?? 0) + Math.max(1, (spec["slots"] as number | undefined) ?? 1);
  }
  return sums;
}

describe("fair share", () => {
  test("who comes late with few jobs is not behind all of who came first with many", () => {
    const leader = new Leader(Cluster.of(1));
    submit(leader.cluster, "anna", { count: 100 });
    leader.place();
    const late = submit(leader.cluster, "bert");
    leader.finish(1, 0, 1, 1);
    expect(leader.place()).toEqual([`${late}/0.1@1`]);
  });

  test("slots go by weight, whoever came first", () => {
    const leader = new Leader(Cluster.of(3));
    weigh(leader.cluster, "bert", 3);
    weigh(leader.cluster, "*", 2);
    submit(leader.cluster, "anna", { count: 100 });
    submit(leader.cluster, "bert", { count: 50, slots: 1 });
    submit(leader.cluster, "carl", { count: 50 });
    leader.place();
    // 12 slots by 2 : 3 : 2.
    expect(held(leader.cluster)).toEqual({ anna: 4, bert: 5, carl: 3 });
    weigh(leader.cluster, "bert", 1);
    weigh(leader.cluster, "*", 1);
    for (let round = 0; round < 40; round++) {
      const tasks = running(leader.cluster);
      const one = tasks[round % tasks.length]!;
      leader.finish(one.job, one.task, one.attempt, one.node);
      leader.place();
    }
    expect(held(leader.cluster)).toEqual({ anna: 4, bert: 4, carl: 4 });
  });

  test("a higher priority goes before any share", () => {
    const leader = new Leader(Cluster.of(1));
    submit(leader.cluster, "anna", { count: 3, priority: 90 });
    leader.place();
    submit(leader.cluster, "bert");
    const urgent = submit(leader.cluster, "anna", { priority: 60 });
    expect(leader.place()).toEqual([`${urgent}/0.1@1`]);
  });

  test("a new leader goes on with the shares as they are", () => {
    const before = new Leader(Cluster.of(1));
    submit(before.cluster, "anna", { count: 9 });
    weigh(before.cluster, "anna", 2);
    before.place();
    const late = submit(before.cluster, "bert", { count: 9 });
    const leader = new Leader(before.cluster);
    for (const task of [0, 1]) leader.finish(1, task, 1, 1);
    // anna has 2 for 2, bert 0 for 1, then as much: the older one goes on.
    expect(leader.place()).toEqual(["1/4.1@1", `${late}/0.1@1`]);
  });

  test("the plan is the one that a naive model makes: task by task, to who has least for their weight", () => {
    const submitters = fc.array(
      fc.record({
        weight: fc.integer({ min: 1, max: 5 }),
        counts: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 3 }),
      }),
      { minLength: 1, maxLength: 5 },
    );
    fc.assert(
      fc.property(submitters, fc.array(fc.nat(), { maxLength: 20 }), (all, ends) => {
        const leader = new Leader(Cluster.of(3));
        const { cluster } = leader;
        const model = all.map(({ weight }, at) => ({ name: `s${at}`, weight, used: 0, waiting: [] as number[] }));
        for (const { name, weight } of model) weigh(cluster, name, weight);
        // Jobs of all of them in turn, so that ages are mixed.
        for (let round = 0; round < 3; round++) {
          for (const [at, { counts }] of all.entries()) {
            if (counts[round] === undefined) continue;
            const job = submit(cluster, `s${at}`, { count: counts[round] });
            for (let task = 0; task < counts[round]!; task++) model[at]!.waiting.push(job);
          }
        }
        const byJob = new Map<number, (typeof model)[number]>();
        let free = 12;
        const place = (): number[] => {
          const placed: number[] = [];
          while (free > 0) {
            const [next] = model
              .filter(({ waiting }) => waiting.length > 0)
              .sort((a, b) => a.used * b.weight - b.used * a.weight || a.waiting[0]! - b.waiting[0]!);
            if (next === undefined) break;
            const job = next.waiting.shift()!;
            byJob.set(job, next);
            placed.push(job);
            next.used += 1;
            free -= 1;
          }
          return placed.sort((a, b) => a - b);
        };
        const really = (names: readonly string[]): number[] =>
          names.map((name) => Number.parseInt(name)).sort((a, b) => a - b);
        expect(really(leader.place())).toEqual(place());
        for (const pick of ends) {
          const tasks = running(cluster);
          const task = tasks[pick % Math.max(1, tasks.length)];
          if (task === undefined) break;
          leader.finish(task.job, task.task, task.attempt, task.node);
          byJob.get(task.job)!.used -= 1;
          free += 1;
          expect(really(leader.place())).toEqual(place());
        }
      }),
      { numRuns: 80 },
    );
  });

  test("nobody starves: whatever the others go on to submit, every job of finite tasks comes to its turn", () => {
    const step = fc.record({
      by: fc.constantFrom("anna", "bert", "carl"),
      slots: fc.constantFrom(1, 1, 1, 4),
      count: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), fc.integer({ min: 1, max: 3 }), (first, weight) => {
        const leader = new Leader(Cluster.of(2));
        const { cluster } = leader;
        weigh(cluster, "mill", weight);
        const wanted = first.map(({ by, ...spec }) => submit(cluster, by, spec));
        for (let round = 0; wanted.some((job) => cluster.job(job).state !== "succeeded"); round++) {
          expect(round).toBeLessThan(400);
          // A mill that always has small work waiting, and so takes whatever is left to it.
          submit(cluster, "mill", { count: 8 });
          leader.place();
          const tasks = running(cluster);
          const oldest = tasks.toSorted((a, b) => a.job - b.job || a.task - b.task).slice(0, 2);
          for (const one of oldest) leader.finish(one.job, one.task, one.attempt, one.node);
        }
      }),
      { numRuns: 15 },
    );
  });

  test("without weights one submitter's jobs go as ever: by priority, then age", () => {
    const leader = new Leader(Cluster.of(1));
    for (const priority of [50, 10, 90, 50]) submit(leader.cluster, "anna", { priority, slots: 2 });
    leader.observe();
    expect(namesOf(leader.plan())).toEqual(["1/0.1@1", "3/0.1@1"]);
    expect(totals(leader.cluster.database).jobsUnfinished).toBe(4);
  });
});
