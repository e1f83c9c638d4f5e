import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Refusal } from "../lib/outcome.ts";
import { formatInstant } from "../lib/calendar.ts";
import { isTerminal } from "../lib/states.ts";
import { matchesSelector } from "../lib/selector.ts";
import { jobSubmit } from "./commands/job-submit.ts";
import { unfinishedOf } from "./tables/gate.ts";
import { jobStates } from "./queries.ts";
import type { PlannedView, ReasonView } from "./answers.ts";
import { type UnitWants, unitsOf, wantsOf, type Wants } from "./planning.ts";
import { batchEnding, batchSizes } from "./rolling.ts";
import { shapeOf, tasksIn } from "./shape.ts";
import { driverOf, readSpec } from "./spec.ts";
import { allNodes } from "./tables/node.ts";
import type { ReadTx, Tx } from "./tx.ts";
import type { Point, Principal, Spec } from "./types.ts";

/** What a job.submit would come to now, without anything that it does: asked by `skein plan`. */

/** Specs in the shape of the log, with the names of their targets. */
export type Specs = Pick<ReturnType<typeof jobSubmit.prepare>, "jobs" | "lists">;

/** Of a submit, what is the specs' own. */
export function specsOf({ jobs, lists }: Specs): Specs {
  return lists === undefined ? { jobs } : { jobs, lists };
}

/** The first write: whatever a command refuses it refuses before that. */
class FirstWrite extends Error {}

/**
 * What the state would refuse the submit with; undefined: it would take it. The very same apply is run, up to its first write, so that no check is known in two
 * places. A key of idempotency is left out: whether it was used before is no matter of the spec.
 */
export function rehearseSubmit(
  tx: ReadTx,
  { jobs, lists = [] }: Specs,
  by: Principal,
  facts: { readonly at: number; readonly level: number; readonly index: number; readonly self: NodeId },
): Refusal | undefined {
  const write = (): never => {
    throw new FirstWrite();
  };
  const reading: Tx = {
    get: (statement, ...values) => tx.get(statement, ...values),
    all: (statement, ...values) => tx.all(statement, ...values),
    run: write,
    runAs: write,
  };
  const { at, level, index, self } = facts;
  try {
    const outcome = jobSubmit.apply(
      reading,
      { jobs, lists, key: null, digest: "" },
      {
        index,
        level,
        at,
        stampedAt: at,
        by,
        origin: self,
        random: () => 0,
        changed: () => {},
        restartHash: () => {},
      },
    );
    return outcome.ok ? undefined : outcome.why;
  } catch (error) {
    if (error instanceof FirstWrite) return undefined;
    throw error;
  }
}

/** A job as it would be given to the planner. */
export interface SpecForeseen {
  readonly name: string;
  readonly driver: string;
  readonly wants: Wants;
  readonly units: UnitWants;
  /** What would have to happen before it starts, nodes and room aside. */
  readonly gates: readonly ReasonView[];
  readonly tasks: number;
  /** How many batches they make, and how many tasks the first ones have, limits.planTasksShown at most. */
  readonly batches: PlannedView["batches"];
  /** The first of its tasks, limits.planTasksShown at most. */
  readonly first: readonly (Partial<Point> & { readonly task: number; readonly target?: string })[];
  /** The nodes that the tasks of an each_node job would be about, in order. */
  readonly pins: readonly NodeId[];
}

/** How many tasks each spec makes, what they are, and for which nodes. */
export function foreseenJobs(tx: ReadTx, { jobs, lists }: Specs, now: number): SpecForeseen[] {
  const names = new Map(lists?.map(([hash, text]) => [hash, text.split("\n", limits.planTasksShown)]));
  const up = allNodes(tx).filter((node) => node.state === "up" && node.api !== "");
  return jobs.map(([name, , text]) => {
    const spec = readSpec(text);
    const wants = wantsOf(spec);
    const nodes = wants.eachNode ? up.filter((node) => matchesSelector(wants.terms, node.labels)) : [];
    const tasks = wants.eachNode ? nodes.length : tasksIn(spec);
    const { targets } = spec;
    const shape = targets === undefined ? shapeOf(spec) : undefined;
    const named = targets === undefined ? nodes.map(({ name }) => name) : (names.get(targets.list) ?? []);
    const first = Array.from({ length: Math.min(tasks, limits.planTasksShown) }, (_, task) => {
      const target = named[task];
      return { task, ...shape?.point(task), ...(target === undefined ? {} : { target }) };
    });
    return {
      name,
      driver: driverOf(spec),
      wants,
      units: unitsOf(spec, tasks),
      gates: gatesOf(tx, spec, now),
      tasks,
      batches: batchesOf(spec, tasks),
      first,
      pins: nodes.map(({ id }) => id),
    };
  });
}

function batchesOf({ batch }: Spec, tasks: number): PlannedView["batches"] {
  if (batch === undefined || tasks === 0) return undefined;
  return { of: batchEnding(batch, tasks, tasks).of, sizes: batchSizes(batch, tasks, limits.planTasksShown) };
}

function gatesOf(tx: ReadTx, { startAt, after, key }: Spec, now: number): ReasonView[] {
  const reasons: ReasonView[] = [];
  if (startAt !== undefined && startAt > now) {
    const until = formatInstant(startAt);
    reasons.push({ code: "start_at", message: `it would start no earlier than ${until}`, until });
  }
  const parents = after?.filter(({ job }) => typeof job === "string" || !hasEnded(tx, job)).map(({ job }) => job) ?? [];
  if (parents.length > 0) {
    const named = parents.slice(0, limits.explainParents).join(", ");
    const more = parents.length > limits.explainParents ? ` and ${parents.length - limits.explainParents} more` : "";
    reasons.push({
      code: "after",
      message: `it would wait for the end of job${parents.length === 1 ? "" : "s"} ${named}${more}`,
    });
  }
  const holder = key === undefined ? undefined : unfinishedOf(tx, key);
  if (holder !== undefined)
    reasons.push({ code: "key", message: `one job of the key ${key} runs at once, and job ${holder} is not finished` });
  return reasons;
}

function hasEnded(tx: ReadTx, job: number): boolean {
  return isTerminal(jobStates(tx, [job]).get(job) ?? "succeeded");
}
