import { limits } from "../lib/limits.ts";
import type { ArrayPlan } from "./queues.ts";

/**
 * How many tasks of an array a node is given together. Each of a unit's running tasks takes its own room, so a unit is as wide as many run at once; what is
 * beyond its width waits on the node, which begins it without asking anybody. That is worth the more the shorter the tasks are: a unit is to keep its node busy for
 * limits.unitMs. Long tasks do not wait on a node; nor do those of which nothing is known yet, that others' failures may keep from starting, or that are lost with their node
 * though they had not begun (`on_lost: fail`). Of targets a node gets thirty together at most (limits.unitTargets) unless they are short: with a node that dies, and a
 * host that holds up the rest of its unit, few are concerned. Where a unit is one process on its node (driver ansible) all of it begins at once, in the room of one task. Each such process
 * takes a second or two of a core before its first host, so where hosts are many and rooms few a unit of a module has as many as make all rooms busy once. A playbook's has thirty all the same: its hosts are done
 * when the last of them is, and what a node takes with it when it dies is run again. One that is about all of its hosts together has its unit from state/ansible-fleet.ts.
 */
export interface UnitSize {
  readonly count: number;
  readonly width: number;
}

/** How long tasks of a job take, as far as it was seen. */
export class Pace {
  #tasks = 0;
  #ms = 0;

  /** So many tasks took so long, all together. What is long ago counts for less. */
  saw(tasks: number, ms: number): void {
    this.#tasks += tasks;
    this.#ms += ms;
    if (this.#tasks <= limits.unitTasks) return;
    this.#tasks /= 2;
    this.#ms /= 2;
  }

  /** Enough have ended to tell that they are short. */
  get isShort(): boolean {
    return this.#tasks >= limits.aheadSeen && this.#ms <= this.#tasks * limits.aheadTaskMs;
  }

  /** undefined: not known yet. */
  get meanMs(): number | undefined {
    return this.#tasks === 0 ? undefined : this.#ms / this.#tasks;
  }
}

/**
 * `left`: tasks that may be given out now, at least one. `lanes`: how many of them a node has room for, at least one. `nodes`: how many nodes have some.
 * So that all nodes end at about the same time, units become smaller towards the end of a job: none gets more than a node's half of what is left.
 */
export function unitSize(
  array: Pick<ArrayPlan, "unit" | "unitUnknown" | "mayStop" | "isOnce" | "isGroup" | "pace">,
  left: number,
  lanes: number,
  nodes: number,
): UnitSize {
  if (array.isGroup) {
    const usual = Math.min(limits.unitTargets, Math.max(limits.ansibleHostsLeast, Math.ceil(left / nodes)));
    const together = array.mayStop ? 0 : Math.ceil(left / (nodes * Math.max(1, Math.floor(lanes))));
    const count = array.unit ?? Math.max(usual, Math.min(together, array.unitUnknown));
    return { count: Math.min(count, left, limits.ansibleHosts), width: 1 };
  }
  if (array.unit !== undefined) {
    const atOnce = array.isOnce || array.mayStop ? Math.max(1, Math.floor(lanes)) : Infinity;
    const count = Math.min(array.unit, left, limits.unitTasks, atOnce);
    return { count, width: Math.min(count, lanes) };
  }
  const turns = array.mayStop || array.isOnce ? 1 : turnsOf(array.pace.meanMs);
  const even = Math.ceil(left / (turns > 1 ? 2 * nodes : nodes));
  const most = turns > 1 ? limits.unitTasks : array.unitUnknown;
  const count = Math.max(1, Math.min(Math.floor(lanes * turns), even, left, most));
  return { count, width: Math.min(count, lanes, Math.ceil(count / turns)) };
}

/** How many tasks one lane runs one after the other within the time of a unit. */
function turnsOf(meanMs: number | undefined): number {
  return meanMs === undefined ? 1 : Math.max(1, limits.unitMs / Math.max(meanMs, shortestMs));
}

/** Clocks tell whole milliseconds: what takes none of them takes something all the same. */
const shortestMs = 0.05;
