import { expect } from "bun:test";
import { type NodeId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import type { Plan, Unit } from "../../src/scheduler/place.ts";
import { PlacementView } from "../../src/scheduler/view.ts";
import type { Cluster } from "../state/support.ts";

/** A cluster whose leader plans: entries are observed as they are applied. */
export class Leader {
  readonly cluster: Cluster;
  readonly view = new PlacementView();
  #seen: number;

  constructor(cluster: Cluster) {
    this.cluster = cluster;
    this.view.reset(cluster.database);
    this.#seen = cluster.events.length;
  }

  /** Lets the view see what was applied since, whole; `count` entries at most. */
  observe(count = Infinity): void {
    const { events } = this.cluster;
    for (; this.#seen < events.length && count > 0; count--)
      this.view.observe(events[this.#seen++]!, this.cluster.database);
    this.view.takeIn(this.cluster.database);
  }

  /** Tells the view what was applied since, and lets it take so many steps of all that it was told. */
  see(steps: number): void {
    const { events, database } = this.cluster;
    while (this.#seen < events.length) this.view.tell(events[this.#seen++]!);
    for (let left = steps; left > 0; left--) this.view.takeIn(database, () => false);
  }

  /** Of what is placed one by one. */
  plan(nodes?: readonly number[], limit: number = limits.assignmentsPerEntry): Unit[] {
    return this.planAll(nodes, limit).units;
  }

  planAll(nodes?: readonly number[], limit: number = limits.assignmentsPerEntry): Plan {
    const eligible = new Set<NodeId>(nodes === undefined ? this.view.nodes() : nodes.map(nodeId));
    return this.view.plan(eligible, this.cluster.now, limit);
  }

  /** Logs a plan and lets the view see the outcome. */
  log(units: readonly Unit[]): number {
    const { refused } = this.cluster.must("unit.assign", {
      units: units.map((unit) => ({ ...unit, tasks: [...unit.tasks] })),
    });
    this.observe();
    this.view.settled(refused, this.cluster.database);
    return refused.length;
  }

  /** The same of ranges: gives how many were refused. */
  logRanges(ranges: Plan["ranges"]): number {
    if (ranges.length === 0) return 0;
    const { refused } = this.cluster.must("range.assign", { units: [...ranges] });
    this.observe();
    this.view.rangesSettled(refused, this.cluster.database);
    return refused.length;
  }

  /** Plans and logs; gives what was placed as "job/task.attempt@node". */
  place(nodes?: readonly number[]): string[] {
    this.observe();
    const units = this.plan(nodes);
    if (units.length > 0) expect(this.log(units)).toBe(0);
    return namesOf(units);
  }

  finish(job: number, task: number, attempt: number, node: number, state: "succeeded" | "failed" = "succeeded"): void {
    expect(this.cluster.finish(job, task, attempt, node, state)).toBe(true);
    this.observe();
  }
}

/** "job/task.attempt@node" of each, sorted. */
export function namesOf(units: readonly Unit[]): string[] {
  return units
    .flatMap((unit) => unit.tasks.map(([task, attempt]) => `${unit.job}/${task}.${attempt}@${unit.node}`))
    .sort();
}

/** How many of the names are of nodes 1, 2 and 3. */
export const perNode = (names: readonly string[]): number[] =>
  [1, 2, 3].map((node) => names.filter((name) => name.endsWith(`@${node}`)).length);
