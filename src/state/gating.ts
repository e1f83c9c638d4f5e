import { jobId, type JobId } from "../lib/ids.ts";
import { type Problem, refuse } from "../lib/outcome.ts";
import type { ApplyContext } from "./command.ts";
import { Work } from "./ending.ts";
import { isMet, replacedBy, unmet } from "./gates.ts";
import { readSpec } from "./spec.ts";
import { nextEnd } from "./rolling.ts";
import {
  type Condition,
  insertAfter,
  insertGate,
  shut,
  tied,
  unfinishedOf,
  writeBatch,
  writeBits,
} from "./tables/gate.ts";
import { jobById } from "./tables/job.ts";
import type { ReadTx, Tx } from "./tx.ts";
import type { Spec } from "./types.ts";

/** What new jobs are to wait for (gates.ts): read and judged before any of them is added, written when all of them are. */
export interface GatedJob {
  readonly id: JobId;
  readonly spec: Spec;
  readonly parents: readonly { readonly id: number; readonly condition: Condition }[];
  /** The spec's text with ids where it names jobs of its request; undefined: it is as it was. */
  readonly text: string | undefined;
}

/** One job of a request: its spec's text, and (only where it is to wait for something) the places in the request that its `after` names. */
export interface Asked {
  readonly spec: string;
  readonly places: readonly number[] | undefined;
}

/** By place; empty where nobody waits for anything. A refusal with all problems: parents that do not exist, keys that are taken, deadlines that pass too early. */
export function readGated(
  tx: ReadTx,
  jobs: Iterable<Asked>,
  first: number,
  at: number,
): ReadonlyMap<number, GatedJob> | ReturnType<typeof refuse> {
  const gated = new Map<number, GatedJob>();
  const problems: Problem[] = [];
  const taken: Problem[] = [];
  const keys = new Map<string, number>();
  let place = -1;
  for (const { spec: text, places } of jobs) {
    place += 1;
    if (places === undefined) continue;
    const spec = readSpec(text);
    const { after = [], key, startAt, deadlineMs } = spec;
    let named = 0;
    const parents = after.map(({ job, when }, position) => {
      const other = typeof job === "string" ? places[named++] : undefined;
      const id = typeof job === "string" ? first + (other ?? 0) : job;
      if (typeof job === "string" ? other === undefined : jobById(tx, id) === undefined) {
        const message = `there is no job ${job}: finished ones are forgotten after their ttl`;
        problems.push({ path: `jobs[${place}].after[${position}]`, message });
      }
      const condition: Condition = when ?? "succeeded";
      return { id, condition };
    });
    if (startAt !== undefined && deadlineMs !== undefined && startAt > at && startAt >= at + deadlineMs)
      problems.push({ path: `jobs[${place}].deadline`, message: "passes before start_at: it counts from now on" });
    if (key !== undefined && spec.onConflict === "refuse") {
      const path = `jobs[${place}].key`;
      const before = keys.get(key);
      const holder = unfinishedOf(tx, key);
      if (before !== undefined)
        taken.push({ path, message: `the key "${key}" is of jobs[${before}] of the same request` });
      else if (holder !== undefined)
        taken.push({ path, message: `job ${holder} has the key "${key}" and has not ended` });
    }
    if (key !== undefined) keys.set(key, place);
    const isResolved = named > 0;
    const resolved = isResolved ? after.map((one, position) => ({ ...one, job: parents[position]!.id })) : after;
    gated.set(place, {
      id: jobId(first + place),
      spec,
      parents,
      text: isResolved ? JSON.stringify({ ...spec, after: resolved }) : undefined,
    });
  }
  if (problems.length > 0) return refusal("invalid", problems);
  return taken.length > 0 ? refusal("conflict", taken) : gated;
}

function refusal(code: "invalid" | "conflict", details: Problem[]): ReturnType<typeof refuse> {
  const [first] = details;
  const more = details.length > 1 ? ` (and ${details.length - 1} more, see details)` : "";
  return refuse(code, `${first!.path.replace(/^jobs\[0\]\./, "")}: ${first!.message}${more}`, { details });
}

/** Shuts the gates of jobs that were just added. Parents that have ended are judged at once, and who comes in others' place has them cancelled. */
export function shutGates(tx: Tx, context: ApplyContext, gated: Iterable<GatedJob>): void {
  const work = new Work(tx, context);
  let isTimed = false;
  for (const { id, spec, parents } of gated) {
    const job = work.jobs.get(id)!;
    const startAt = spec.startAt !== undefined && spec.startAt > context.at ? spec.startAt : null;
    const deadlineAt = spec.deadlineMs === undefined ? null : context.at + spec.deadlineMs;
    isTimed ||= startAt !== null || deadlineAt !== null;
    let left = 0;
    let unmetBecause: string | undefined;
    for (const parent of parents) {
      const other = work.jobs.get(parent.id);
      if (other === undefined) continue; // asserted before: it is there
      if (other.row.finished_at === null) {
        insertAfter(tx, parent.id, id, parent.condition);
        const ties = other.row.ties ?? 0;
        if ((ties & tied.children) === 0) writeBits(tx, other.row, other.row.gate ?? 0, ties | tied.children);
        left += 1;
      } else if (!isMet(parent.condition, other.row.state))
        unmetBecause ??= unmet(parent.id, other.row.state, parent.condition);
    }
    const key = spec.key ?? null;
    const gate = (startAt === null ? 0 : shut.startAt) | (left === 0 ? 0 : shut.after) | (key === null ? 0 : shut.key);
    const { tasks } = job.row;
    const firstEnd = spec.batch === undefined ? tasks : nextEnd(spec.batch, tasks, 0);
    const batches = firstEnd === tasks ? 0 : tied.batches;
    const isTied = gate !== 0 || deadlineAt !== null || batches !== 0;
    if (isTied) insertGate(tx, { job: id, start_at: startAt, deadline_at: deadlineAt, after_left: left, key });
    if (batches !== 0) writeBatch(tx, id, firstEnd, 0);
    writeBits(tx, job.row, gate, (job.row.ties ?? 0) | (isTied ? tied.gate | batches : 0));
    if (unmetBecause !== undefined) work.gates.skip(job, unmetBecause);
    else if (key !== null) {
      if (spec.onConflict === "replace") work.gates.replace(key, id, replacedBy(key));
      work.gates.open(job, 0);
    }
    // As if each were asked for by itself: the next one finds what this one has led to.
    work.gates.settle();
  }
  if (isTimed) context.changed({ topic: "gate", kind: "changed" });
  work.close();
}
