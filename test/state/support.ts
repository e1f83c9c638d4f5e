import { deepStrictEqual } from "node:assert/strict";
import { assert } from "../../src/lib/assert.ts";
import { type NodeId, nodeId, jobId } from "../../src/lib/ids.ts";
import { packRuns, type TaskRun } from "../../src/lib/task-runs.ts";
import type { Outcome, RefusalCode } from "../../src/lib/outcome.ts";
import { atOnce } from "../../src/lib/turns.ts";
import {
  type AppliedBatch,
  type AppliedEntry,
  applyEntries,
  type ApplyOptions,
  type CommittedEntry,
} from "../../src/state/apply.ts";
import {
  type CommandInput,
  type CommandName,
  type CommandValue,
  commandByName,
} from "../../src/state/commands/index.ts";
import { type CommandRecord, encodeBatch, encodeEntry } from "../../src/state/entry.ts";
import { ownLevel } from "../../src/state/levels.ts";
import { heldJobs } from "../../src/state/tables/held-jobs.ts";
import { jobColumns, type StoredJob } from "../../src/state/tables/job.ts";
import { sql } from "../../src/state/tx.ts";
import { findJob, findTask } from "../../src/state/queries.ts";
import { schema } from "../../src/state/schema.ts";
import { readGroups } from "../../src/state/groups.ts";
import { groupsNamed, resolveTargets } from "../../src/state/targets.ts";
import type { Change, JobView, Principal, Report, Spec, TaskView } from "../../src/state/types.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";
import { encode, decode } from "../../src/lib/codec.ts";

/** The language of the state tests: a cluster whose log is a list of entries and whose state is a real database. */

export const admin: Principal = { token: "t-admin", name: "anna", role: "admin" };
export const system: Principal = { token: "", name: "n1", role: "node" };
export const self = nodeId(1);

const jobRow = sql(`select ${jobColumns} from job where id = ?`);

export function openDatabase(): StateDatabase {
  return new StateDatabase({ path: ":memory:", schema });
}

export function record<Name extends CommandName>(
  name: Name,
  input: CommandInput<Name>,
  by: Principal = system,
): CommandRecord {
  const definition = commandByName(name);
  return [definition.tag, by.token, by.name, by.role, definition.prepare(input as never, by)];
}

export interface EntryOptions {
  readonly at?: number;
  readonly level?: number;
  readonly origin?: NodeId;
  readonly serial?: number;
  readonly floor?: number;
}

/** One log, one state. Commands are applied as soon as they are proposed. */
export class Cluster {
  readonly database = openDatabase();
  readonly log: CommittedEntry[] = [];
  readonly events: AppliedEntry[] = [];
  readonly options: ApplyOptions;
  now = 1_000_000;
  /** What entries state that are not told otherwise. */
  level = 1;
  #serial = 0;

  constructor(options: Partial<ApplyOptions> = {}) {
    this.options = { self, ...options };
  }

  /** A cluster of nodes n1, n2, ... with 4 slots and 8 io tasks each, and labels {number: "1"} ... */
  static of(nodes: number, options: Partial<ApplyOptions> = {}): Cluster {
    const cluster = new Cluster(options);
    const token = { id: "t-admin", hash: "h", name: "admin" };
    cluster.must("cluster.create", { cluster: "c", votersWanted: 5, node: { name: "n1", ...announcement(1) }, token });
    cluster.must(
      "token.create",
      { id: "j", hash: "h", name: "join", kind: "join", role: "operator", expiresAt: null, uses: null },
      admin,
    );
    for (let number = 2; number <= nodes; number++) cluster.join(number);
    return cluster;
  }

  /** The same at the newest level. */
  static ofNewest(nodes: number, options: Partial<ApplyOptions> = {}): Cluster {
    const cluster = Cluster.of(nodes, options);
    for (let number = 1; number <= nodes; number++)
      cluster.must("node.seen", { node: nodeId(number), ...announcement(number), level: ownLevel });
    for (let level = 2; level <= ownLevel; level++) cluster.must("cluster.raise", { level });
    cluster.level = ownLevel;
    return cluster;
  }

  /** Gives tasks [first, first + count) to the node together; true when that was taken. */
  give(job: number, node: number, first: number, count: number, width = 1): boolean {
    const unit = { job: jobId(job), node: nodeId(node), first, count, width };
    return this.must("range.assign", { units: [unit] }).refused.length === 0;
  }

  /** Tells of ends of the unit's tasks [task, startedAt, finishedAt], counted from its first; gives how many were refused. */
  end(job: number, node: number, first: number, ...tasks: [number, number, number][]): number {
    const runs = packRuns(
      tasks.map(([task, startedAt, finishedAt]): TaskRun => ({
        first: task,
        count: 1,
        kind: "ended",
        startedAt,
        finishedAt,
      })),
    );
    return this.must("range.finish", { node: nodeId(node), units: [{ job: jobId(job), first, runs }] }).refused;
  }

  join(number: number): NodeId {
    const token = { id: `t-${number}`, hash: "h", name: `node n${number}` };
    return this.must("node.join", { name: `n${number}`, ...announcement(number), joinToken: "j", token }).node;
  }

  entry(records: readonly CommandRecord[], options: EntryOptions = {}): CommittedEntry {
    this.#serial += 1;
    const { origin = self, serial = this.#serial, floor = 0, level = this.level, at = this.now } = options;
    const batch = encodeBatch({ origin, serial, floor, commands: records });
    const index = this.log.length + 1;
    const random = new Uint8Array(16).fill(index);
    const entry: CommittedEntry = {
      index,
      kind: "command",
      data: encodeEntry({ at, random, level, batches: [batch] }),
    };
    this.log.push(entry);
    return entry;
  }

  /** Applies what the log has and the state has not. */
  apply(): AppliedBatch[] {
    const outcomes: AppliedBatch[] = [];
    while (this.database.applied < this.log.length) {
      const result = applyEntries(this.database, this.log.slice(this.database.applied), this.options);
      outcomes.push(...result.outcomes);
      this.events.push(...result.events);
    }
    this.#expectHeldRows();
    return outcomes;
  }

  /** What is held in memory is what the database would give (some of it: there may be thousands). */
  #expectHeldRows(): void {
    for (const row of heldJobs(this.database).slice(-32))
      deepStrictEqual({ ...row }, { ...this.database.get<StoredJob>(jobRow, row.id) });
  }

  propose<Name extends CommandName>(
    name: Name,
    input: CommandInput<Name>,
    by: Principal = system,
  ): Outcome<CommandValue<Name>> {
    this.entry([record(name, input, by)]);
    return this.apply()[0]!.outcomes[0] as Outcome<CommandValue<Name>>;
  }

  must<Name extends CommandName>(name: Name, input: CommandInput<Name>, by: Principal = system): CommandValue<Name> {
    const outcome = this.propose(name, input, by);
    assert(outcome.ok, outcome.ok ? "" : `${name} was refused: ${outcome.why.message}`);
    return outcome.value;
  }

  /** The refusal's code and message. */
  refused<Name extends CommandName>(
    name: Name,
    input: CommandInput<Name>,
    by: Principal = system,
  ): [RefusalCode, string] {
    const outcome = this.propose(name, input, by);
    assert(!outcome.ok, `${name} was not refused`);
    return [outcome.why.code, outcome.why.message];
  }

  /** Submits one job as people write it; gives its id. */
  submit(spec: Record<string, unknown> = {}): number {
    const { jobs } = commandByName("job.submit").input.parse({ jobs: [{ run: "true", ...spec }] });
    return this.must("job.submit", this.withTargets(jobs), admin).first;
  }

  /** What the specs' targets stand for, as whoever is asked looks it up. */
  withTargets(specs: readonly Spec[]): CommandInput<"job.submit"> {
    const resolved = atOnce(resolveTargets(specs, readGroups(this.database, groupsNamed(specs))));
    const { jobs, lists, problems } = resolved;
    assert(problems.length === 0, problems[0]?.message ?? "");
    return { jobs: [...jobs], ...(lists.length === 0 ? {} : { lists: lists.map(([hash, names]) => [hash, names]) }) };
  }

  assign(job: number, node: number, ...tasks: (readonly [task: number, attempt: number])[]): number {
    const { refused } = this.must("unit.assign", {
      units: [
        {
          job: jobId(job),
          node: nodeId(node),
          tasks: tasks.map(([task, attempt]) => [task, attempt] as [number, number]),
        },
      ],
    });
    return refused.reduce((sum, unit) => sum + unit.tasks.length, 0);
  }

  /** Reports the end of an attempt; true when it was taken. */
  finish(
    job: number,
    task: number,
    attempt: number,
    node: number,
    state: Report["state"] = "succeeded",
    more: Partial<Report> = {},
  ): boolean {
    const { refused } = this.must("task.finish", {
      node: nodeId(node),
      reports: [report(job, task, attempt, state, more)],
    });
    return refused.length === 0;
  }

  job(id: number): JobView {
    const job = findJob(this.database, id);
    assert(job !== undefined, `no job ${id}`);
    return job;
  }

  task(job: number, task = 0): TaskView {
    const view = findTask(this.database, job, task);
    assert(view !== undefined, `no task ${job}/${task}`);
    return view;
  }

  /** Changes of the newest entry. */
  changes(): readonly Change[] {
    return this.events.at(-1)?.changes ?? [];
  }
}

export function announcement(number: number): {
  incarnation: string;
  api: string;
  peer: string;
  labels: Record<string, string>;
  slots: number;
  ioTasks: number;
  level: number;
  version: string;
} {
  const [api, peer] = [`127.0.0.1:${7400 + number}`, `127.0.0.1:${7500 + number}`];
  return {
    incarnation: `i${number}`,
    api,
    peer,
    labels: { number: String(number) },
    slots: 4,
    ioTasks: 8,
    level: 1,
    version: "0",
  };
}

export function report(
  job: number,
  task: number,
  attempt: number,
  state: Report["state"] = "succeeded",
  more: Partial<Report> = {},
): Report {
  const exitCode = state === "succeeded" ? 0 : state === "failed" ? 1 : null;
  const tail = new TextEncoder().encode("out");
  return {
    job: jobId(job),
    task,
    attempt,
    state,
    exitCode,
    signal: null,
    reason: undefined,
    startedAt: 5,
    finishedAt: 6,
    tail,
    log: undefined,
    ...more,
  };
}

/** What a payload looks like after it was in the log. */
export function throughTheLog<Value>(value: Value): Value {
  return decode(encode(value)) as Value;
}
