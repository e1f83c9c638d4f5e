import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { identityOf } from "../../src/executor/identity.ts";
import { jobId } from "../../src/lib/ids.ts";
import type { Assignment, Spec, UnitAssignment } from "../../src/state/types.ts";
import { isAlive, Rig, until } from "./rig.ts";
import { plain, rig, settle } from "./told-guard.ts";

const single = (task: number, spec: Spec, fence = 5): Assignment => ({
  job: jobId(1),
  task,
  attempt: 1,
  fence,
  spec,
  point: undefined,
  target: undefined,
});

const [right, wrong]: [Spec, Spec] = [{ run: "true" }, { run: "sleep 3600" }];

describe("a state that was wrong had another job under the number of the one that its node was given", () => {
  test("what runs of that one is ended, and lost however it ends; what is the same in both goes on", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.lease();
    one.executor.assign([single(0, wrong), single(1, right), single(2, right, 4)]);
    expect(one.guard.starts).toEqual([0, 1, 2]);
    one.executor.reconcile([0, 1, 2].map((task) => single(task, { ...right })));
    expect(one.guard.disowned).toEqual(["0.1", "2.1"]);
    expect([one.guard.starts, one.guard.dropped]).toEqual([[0, 1, 2], []]);
    // Its guard may be of a release that knows nothing of this, or the end was on its way.
    one.guard.end(0, 1);
    await settle();
    expect(one.seen.singles.map(({ task, state, exitCode }) => [task, state, exitCode])).toEqual([
      [0, "lost", null],
      [1, "succeeded", 0],
    ]);
    expect(one.seen.singles[0]!.reason).toContain("another job under this number");
  });

  test("what has ended, and is not in the log yet, is lost", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.lease();
    one.answerWith(() => Promise.reject(new Error("in quarantine")));
    one.executor.assign([single(0, wrong)]);
    one.guard.end(0);
    await settle();
    one.executor.reconcile([single(0, right)]);
    expect(one.guard.disowned).toEqual(["0.1"]);
    one.answerWith(() => Promise.resolve());
    await until("it is told", () => one.seen.singles.length > 0);
    expect(one.seen.singles).toMatchObject([{ task: 0, state: "lost" }]);
  });

  test("what waits, or has no effects, is begun as what it is", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.executor.assign([single(0, wrong)]);
    one.executor.reconcile([single(0, right)]);
    one.lease();
    expect(one.guard.started.map(({ run }) => run)).toEqual(["true"]);
    const noop: Spec = { driver: "noop", noop: { forMs: 3_600_000 } };
    one.executor.assign([single(1, noop)]);
    one.executor.reconcile([single(0, right), single(1, right)]);
    expect(one.guard.started.map(({ task, run }) => [task, run])).toEqual([
      [0, "true"],
      [1, "true"],
    ]);
    expect(one.guard.disowned).toEqual([]);
  });

  test("tasks of a unit too: those that run are lost, those that wait are begun as what they are", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.lease();
    one.executor.assign([], [unit(wrong)]);
    expect(one.guard.starts).toEqual([0, 1]);
    one.executor.reconcile([], [unit(right)]);
    expect(one.guard.disowned).toEqual(["0.1", "1.1"]);
    one.guard.end(0, 1);
    await settle();
    expect(one.seen.singles.map(({ task, state }) => [task, state])).toEqual([
      [0, "lost"],
      [1, "lost"],
    ]);
    expect(one.guard.started.slice(2).map(({ task, run }) => [task, run])).toEqual([
      [2, "true"],
      [3, "true"],
    ]);
  });

  test("tasks of a unit that took no time, and are not in the log yet, are begun as what they are", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.lease();
    one.answerWith(() => Promise.reject(new Error("no leader")));
    one.executor.assign([], [unit({ driver: "noop" })]);
    one.executor.reconcile([], [unit(right)]);
    expect(one.guard.started.map(({ task, run }) => [task, run])).toEqual([
      [0, "true"],
      [1, "true"],
    ]);
  });

  test("found in the guard by the node's next process, it is known by what the guard was told", async () => {
    const listing = {
      running: [0, 1, 2].map((task) => ({ job: jobId(1), task, attempt: 1, startedAt: 100 })),
      finished: [3, 4].map((task) => plain(task)),
      identities: {
        "1.0.1": identityOf(single(0, wrong)),
        "1.1.1": identityOf(single(1, right)),
        "1.3.1": identityOf(single(3, wrong)),
        "1.4.1": identityOf(single(4, right)),
      },
    };
    await using one = await rig(listing);
    one.executor.reconcile([0, 1, 2, 3, 4].map((task) => single(task, right)));
    await settle();
    // Of 2 nothing is known: it was begun before guards were told.
    expect(one.guard.disowned.toSorted()).toEqual(["0.1", "3.1"]);
    expect(one.seen.singles.map(({ task, state }) => [task, state])).toEqual([
      [3, "lost"],
      [4, "succeeded"],
    ]);
  });
});

test("a real guard tells its node's next process what it runs, ends what is not the state's, and keeps that it is lost over yet another process", async () => {
  const machine = new Rig();
  try {
    const asked = [0, 1, 2].map((task) => machine.assignment({ run: "true" }, { task }));
    const begun = asked.map((one, task) => ({
      ...one,
      spec: { run: `echo $$ > ${machine.path(`pid${task}`)}; ${task === 1 ? "exit 0" : "exec sleep 3600"}` },
    }));
    const node = await machine.otherNode(begun);
    const [long, short, same] = await Promise.all([0, 1, 2].map((task) => machine.pidIn(machine.path(`pid${task}`))));
    await until("the result of the short one", () =>
      readFileSync(machine.path("guard.outbox"), "latin1").includes("finished"),
    );
    await node.crash();
    expect([long, short, same].map((pid) => isAlive(pid!))).toEqual([true, false, true]);
    machine.logDown = true;
    await machine.open({ held: [asked[0]!, asked[1]!, begun[2]!] });
    await until("the end of the other job's command", () => !isAlive(long!));
    expect(isAlive(same!)).toBe(true);
    const outbox = (): string => readFileSync(machine.path("guard.outbox"), "latin1");
    await until("both kept as lost", () => outbox().split("another job under this number").length >= 3);
    await machine.executor.close();
    machine.executor = machine.newExecutor();
    machine.logDown = false;
    await machine.open({ held: [asked[0]!, asked[1]!, begun[2]!] });
    expect(await machine.reportOf(asked[0]!)).toMatchObject({ state: "lost", exitCode: null });
    expect(await machine.reportOf(asked[1]!)).toMatchObject({ state: "lost", exitCode: null });
    expect(existsSync(machine.path("pid2")) && isAlive(same!)).toBe(true);
    machine.executor.stop([begun[2]!]);
    expect(await machine.reportOf(begun[2]!)).toMatchObject({ state: "cancelled" });
  } finally {
    writeFileSync(machine.path("over"), "");
    await machine.close();
  }
});

function unit(spec: Spec): UnitAssignment {
  const [job, first, count, fence] = [jobId(1), 0, 6, 5];
  return {
    job,
    first,
    count,
    width: 2,
    fence,
    spec,
    running: [{ first, count }],
    extended: [],
    at: (task) => ({ job, task, attempt: 1, fence, spec, point: { index: task }, target: undefined }),
  };
}
