import { describe, expect, test } from "bun:test";
import type { AttemptName, Executor, UnitName } from "../../src/executor/types.ts";
import { type JobId, jobId, nodeId } from "../../src/lib/ids.ts";
import { Work } from "../../src/node/work.ts";
import { admin, Cluster } from "../state/support.ts";

/** What an executor is told, in order. */
class Told implements Executor {
  readonly calls: [what: string, ...attempts: string[]][] = [];

  #note(what: string, attempts: readonly AttemptName[], units: readonly UnitName[] = []): void {
    const names = attempts.map(({ job, task, attempt }) => `${job}/${task}.${attempt}`);
    this.calls.push([what, ...names, ...units.map(({ job, first }) => `unit ${job}/${first}`)]);
  }
  open = (): Promise<void> => Promise.resolve();
  reconcile = (held: readonly AttemptName[], units?: readonly UnitName[]): void => this.#note("reconcile", held, units);
  assign = (held: readonly AttemptName[], units: readonly UnitName[] = []): void => this.#note("assign", held, units);
  stop = (names: readonly AttemptName[], units?: readonly UnitName[]): void => this.#note("stop", names, units);
  extend = (names: readonly AttemptName[]): void => this.#note("extend", names);
  drop = (names: readonly AttemptName[]): void => this.#note("drop", names);
  review = (jobs?: readonly JobId[]): number => this.calls.push(["review", ...(jobs ?? ["all"]).map(String)]);
  relieve = (): void => {};
  lease = (): void => {};
  covers = (): void => {};
  onLeaseWanted = (): void => {};
  running = (): number => 0;
  close = (): Promise<void> => Promise.resolve();
}

function rig() {
  const cluster = Cluster.of(2);
  const told = new Told();
  const work = new Work(nodeId(2), told, (query) => query(cluster.database));
  let seen = cluster.events.length;
  return {
    cluster,
    told,
    work,
    /** Hands over what was applied since. */
    events: () => {
      work.onApplied(cluster.events.slice(seen));
      seen = cluster.events.length;
    },
  };
}

describe("what a node is told of its work", () => {
  test("is which jobs are held from now on, once each is, and that it is drained", () => {
    const { cluster, told, work, events } = rig();
    work.reconcile();
    const job = cluster.submit({ count: 20 });
    cluster.give(job, 2, 0, 5, 2);
    events();
    cluster.must("job.hold", { id: jobId(job) }, admin);
    events();
    cluster.must("job.release", { id: jobId(job) }, admin);
    cluster.must("node.drain", { node: 1 }, admin);
    events();
    cluster.must("node.drain", { node: 2 }, admin);
    events();
    expect(told.calls).toEqual([["reconcile"], ["assign", `unit ${job}/0`], ["review", `${job}`], ["review", "all"]]);
  });

  test("is whole units, of its own, also when it comes back", () => {
    const { cluster, told, work, events } = rig();
    work.reconcile();
    const [first, second] = [cluster.submit({ count: 20 }), cluster.submit({ count: 20 })];
    cluster.give(first, 2, 0, 5, 2);
    cluster.give(first, 1, 5, 5, 2);
    cluster.give(second, 2, 0, 5, 2);
    cluster.end(first, 2, 0, [0, 1, 2]);
    events();
    cluster.must("job.cancel", { id: jobId(second) }, admin);
    cluster.finish(first, 1, 1, 2);
    events();
    expect(told.calls).toEqual([
      ["reconcile"],
      ["assign", `unit ${first}/0`, `unit ${second}/0`],
      ["stop", `unit ${second}/0`],
      ["drop", `${first}/1.1`],
    ]);
    work.reconcile();
    expect(told.calls.slice(4)).toEqual([
      ["reconcile", `unit ${first}/0`, `unit ${second}/0`],
      ["stop", `unit ${second}/0`],
    ]);
  });

  test("a job that was cancelled while the node was away is stopped when it is back", () => {
    const { cluster, told, work, events } = rig();
    const kept = cluster.submit({ count: 2 });
    const cancelled = cluster.submit({ count: 2 });
    cluster.assign(kept, 2, [0, 1]);
    cluster.assign(cancelled, 2, [0, 1]);
    cluster.assign(cancelled, 1, [1, 1]);
    cluster.must("job.cancel", { id: jobId(cancelled) }, admin);
    events(); // nothing is told before the state is known to be current
    expect(told.calls).toEqual([]);
    work.reconcile();
    expect(told.calls).toEqual([
      ["reconcile", "1/0.1", "2/0.1"],
      ["stop", "2/0.1"],
    ]);
  });

  test("after a return to an older state nothing is told before the log has come to where it was", () => {
    const { cluster, told, work, events } = rig();
    const job = cluster.submit({ count: 2 });
    cluster.assign(job, 2, [0, 1]);
    work.reconcile();
    work.pause();
    cluster.assign(job, 2, [1, 1]);
    events();
    expect(told.calls).toEqual([["reconcile", "1/0.1"]]);
    work.reconcile();
    expect(told.calls.at(-1)).toEqual(["reconcile", "1/0.1", "1/1.1"]);
  });

  test("what was assigned and taken away again before it is heard of is not begun", () => {
    const { cluster, told, work, events } = rig();
    work.reconcile();
    const job = cluster.submit({ count: 2 });
    cluster.assign(job, 2, [0, 1], [1, 1]);
    cluster.finish(job, 1, 1, 2);
    events();
    expect(told.calls.slice(1)).toEqual([
      ["assign", "1/0.1"],
      ["drop", "1/1.1"],
    ]);
  });

  test("a node that is declared lost lets go of everything", () => {
    const { cluster, told, work, events } = rig();
    work.reconcile();
    const job = cluster.submit({ count: 2 });
    cluster.assign(job, 2, [0, 1]);
    cluster.assign(job, 1, [1, 1]);
    events();
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    events();
    expect(told.calls.slice(1)).toEqual([
      ["assign", "1/0.1"],
      ["drop", "1/0.1"],
    ]);
  });
});
