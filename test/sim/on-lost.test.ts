import { expect, test } from "bun:test";
import { limits } from "../../src/lib/limits.ts";
import { isTerminal } from "../../src/lib/states.ts";
import { runningOn } from "../../src/state/tables/running.ts";
import { findJob, findTask } from "../../src/state/queries.ts";
import type { JobView, Spec, TaskView } from "../../src/state/types.ts";
import { Cluster, operator } from "./cluster.ts";
import type { Host } from "./host.ts";
import { type Plan, planOf } from "./plan.ts";

/**
 * A node is lost, stands still, or is cut off, and comes back: in both on_lost modes, with work that it runs and work that it was given and has not begun.
 * Whole clusters, under virtual time; that no two attempts of a task are live is judged all the while (effects.ts).
 */
const second = 1_000_000;
const seed = 7;

function calm(): Plan {
  const drawn = planOf(seed, { hosts: 3, seconds: 200, operations: 0, calm: true });
  const slots = [2, 2, 2];
  return { ...drawn, hosts: 3, votersWanted: 3, growsSlowly: false, oldHosts: 0, faults: [], slots, limits: {} };
}

class Stage {
  readonly cluster = new Cluster(calm(), true);
  readonly #uninstall = this.cluster.time.install(seed);

  /** Three nodes that all vote and take work. */
  constructor() {
    const { cluster } = this;
    cluster.found();
    for (let number = 1; number < 3; number++) cluster.time.after(number * 300_000, undefined, () => cluster.join());
    this.until("all three nodes vote", () => cluster.configuration().voters.length === 3);
    this.pass(3 * second); // leases, and the level
  }

  [Symbol.dispose](): void {
    this.#uninstall();
    this.cluster.close();
  }

  get leader(): Host {
    const leader = this.cluster.leader();
    if (leader === undefined) throw new Error("nobody leads");
    return leader;
  }

  pass(micros: number): void {
    this.cluster.time.runUntil(this.cluster.time.now + micros, () => this.cluster.isOver);
    expect(this.cluster.problems, this.cluster.story.join("\n")).toEqual([]);
  }

  until(what: string, isSo: () => boolean): void {
    for (let tries = 0; !isSo(); tries++) {
      if (tries > 1200) throw new Error(`never: ${what}\n${this.cluster.story.join("\n")}`);
      this.pass(100_000);
    }
  }

  submit(spec: Spec): number {
    const { leader, cluster } = this;
    let id: number | undefined;
    cluster
      .ask(leader, 5 * second, () => leader.process!.node.propose("job.submit", { jobs: [spec] }, operator))
      .answered((outcome) => {
        if (outcome?.ok === true) id = outcome.value.value.first;
      });
    this.until("the job is taken", () => id !== undefined);
    return id!;
  }

  job(id: number): JobView {
    return this.leader.state.view((tx) => findJob(tx, id))!;
  }

  tasks(id: number): TaskView[] {
    const { counts } = this.job(id);
    const count = Object.values(counts).reduce((sum, one) => sum + one, 0);
    return this.leader.state.view((tx) => Array.from({ length: count }, (_, task) => findTask(tx, id, task)!));
  }

  cut(host: Host, heals: boolean): void {
    const { network } = this.cluster;
    for (const { number } of this.cluster.hosts) {
      if (number === host.number) continue;
      for (const [from, to] of [
        [host.number, number],
        [number, host.number],
      ] as const)
        if (heals) network.heal(from, to);
        else network.cut(from, to, false);
    }
  }
}

type Trouble = readonly [
  what: string,
  begin: (stage: Stage, host: Host) => void,
  end: (stage: Stage, host: Host) => void,
];

/** Longer than it takes to be declared lost. */
const awayFor = (limits.lostAfterMs + 6_000) * 1000;

const troubles: readonly Trouble[] = [
  ["is lost with its host", (_, host) => host.crash("power-loss"), (_, host) => host.start()],
  ["stands still with its host", (stage, host) => host.freeze(stage.cluster.time.now + awayFor, true), () => {}],
  [
    "stands still, and its guard does not",
    (stage, host) => host.freeze(stage.cluster.time.now + awayFor, false),
    () => {},
  ],
  [
    "is cut off, and its work goes on as long as the lease",
    (stage, host) => stage.cut(host, false),
    (stage, host) => stage.cut(host, true),
  ],
];

test.each(troubles)(
  "a node that %s",
  (_what, begin, end) => {
    using stage = new Stage();
    const { cluster } = stage;
    const long = { driver: "shell", run: ["work", "11000", "0"], count: 3, slots: 1 } as const;
    const running = (["retry", "fail"] as const).map((onLost) => stage.submit({ ...long, name: onLost, onLost }));
    const isBegun = (id: number): boolean => stage.tasks(id).every(({ started_at }) => started_at !== null);
    stage.until("all of it runs", () => running.every(isBegun));
    const victim = cluster.hosts.find((host) => host !== stage.leader)!;
    const held = stage.leader.state.view((tx) => runningOn(tx, victim.id));
    const heldOf = running.map((id) => held.filter(({ job }) => job === id).map(({ task }) => task));
    expect(heldOf.map((tasks) => tasks.length > 0)).toEqual([true, true]); // it has room for two, and each of its jobs three for six

    cluster.restarts = false;
    begin(stage, victim);
    const short = { driver: "shell", run: ["work", "50", "0"], count: 6, slots: 0 } as const;
    const given = (["retry", "fail"] as const).map((onLost) =>
      stage.submit({ ...short, name: `${onLost}-new`, onLost }),
    );
    stage.pass(awayFor);
    end(stage, victim);
    stage.until("all jobs have ended", () => [...running, ...given].every((id) => isTerminal(stage.job(id).state)));

    const [retried, failed] = running as [number, number];
    // What it ran is tried again, or lost; what others ran is not touched.
    expect(stage.job(retried)).toMatchObject({ state: "succeeded", counts: { succeeded: 3, lost: 0 } });
    for (const { task, attempts, attempt } of stage.tasks(retried)) {
      const states = attempts.map((one) => one.state);
      expect([task, attempt, states]).toEqual(
        heldOf[0]!.includes(task) ? [task, 2, ["lost", "succeeded"]] : [task, 1, ["succeeded"]],
      );
    }
    expect(stage.job(failed)).toMatchObject({ state: "failed", counts: { lost: heldOf[1]!.length } });
    for (const { task } of stage.tasks(failed)) expect(cluster.effects.startsOf(failed, task)).toBe(1);

    // What it was given and could not begin has begun elsewhere, once, before the node was declared lost, and nobody calls it lost.
    const lostAt = stage.tasks(failed).find(({ state }) => state === "lost")!.finished_at!;
    for (const id of given) {
      expect(stage.job(id)).toMatchObject({ state: "succeeded", counts: { succeeded: 6, lost: 0 } });
      expect(stage.job(id).finished_at! < lostAt).toBe(true);
      for (const { task, attempts } of stage.tasks(id)) {
        expect(cluster.effects.startsOf(id, task)).toBe(1);
        expect(attempts.slice(0, -1).every(({ state, node }) => state === "skipped" && node === victim.id)).toBe(true);
      }
    }
    const moved = given.flatMap((id) => stage.tasks(id)).filter(({ attempt }) => attempt > 1);
    expect(moved.length).toBeGreaterThan(0);
  },
  120_000,
);
