import { jobId } from "../../src/lib/ids.ts";
import type { Random } from "../../src/lib/prng.ts";
import { isTerminal } from "../../src/lib/states.ts";
import type { AppliedEvent } from "../../src/node/api.ts";
import { findJob } from "../../src/state/queries.ts";
import { batchEnding, nextEnd } from "../../src/state/rolling.ts";
import { tasksIn } from "../../src/state/shape.ts";
import { shut } from "../../src/state/tables/gate.ts";
import { jobColumns, type StoredJob } from "../../src/state/tables/job.ts";
import { type ReadTx, sql } from "../../src/state/tx.ts";
import type { Principal, Spec } from "../../src/state/types.ts";
import type { Cluster } from "./cluster.ts";
import type { Host } from "./host.ts";
import { stream } from "./plan.ts";

/**
 * Jobs with rolling batches, in the simulator: some with pauses, some that wait for a person, who looks now and then at any node and approves what that one shows. Drawn
 * from a stream of their own, so that what the rest of a run draws is what it was without them.
 *
 *   batch     no task of a batch is given out before all tasks of the batches before it have ended, as states that are right tell of both; nor before its pause has
 *             passed by the log's clock, nor before somebody has approved it
 */
type Draft = { -readonly [Key in keyof Spec]: Spec[Key] };

/** When a task was given out for the first time, and when it ended: places in the log, and its time. */
interface Course {
  given: Moment | undefined;
  ended: Moment | undefined;
}

interface Moment {
  readonly place: number;
  /** Epoch ms. */
  readonly at: number;
}

const allJobs = sql(`select ${jobColumns} from job order by id`);
const waitingJobs = sql("select id from job where gate & ? <> 0 order by id");
const someone: Principal = { token: "admin", name: "admin", role: "operator" };
const callTimeout = 4_000_000;

export class Batched {
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly #courses = new Map<number, Map<number, Course>>();
  /** When an approval of a batch was first asked for, by job and batch: what comes after it is behind this place. */
  readonly #approvals = new Map<string, number>();
  /** Those that are under way. */
  readonly #asked = new Set<string>();
  readonly #seen = new Set<number>();
  #newest = 0;
  #isWatching = false;
  drawn = 0;
  begun = 0;
  paused = 0;
  approved = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#random = stream(cluster.plan.seed, "batches");
  }

  /** Some jobs of several tasks have them. */
  draw(spec: Draft): void {
    const random = this.#random;
    const tasks = tasksIn(spec);
    if (tasks < 2) return;
    // Where some host is old all of it is refused until that one is replaced.
    if (random() >= 0.4 || (this.#cluster.plan.oldHosts > 0 && random() < 0.9)) return;
    const sizes = [[1], [1, "50%"], [2], ["40%"], [1, 2, "100%"]][Math.floor(random() * 5)]!;
    const [pause, approve] = [random(), random()];
    spec.batch = {
      sizes,
      ...(pause < 0.3 ? { pauseMs: 1 + Math.floor(pause * 8000) } : {}),
      ...(approve < 0.2 ? { approve: true as const } : {}),
    };
    this.drawn += 1;
    if (approve < 0.2) this.#watch();
  }

  /** Somebody who looks again and again, from the first job on that needs it. */
  #watch(): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    const again = (): void => {
      const host = this.#cluster.anyUp("batches");
      if (host !== undefined) this.approveAt(host);
      this.#cluster.time.after(500_000 + 1_500_000 * this.#random(), undefined, again);
    };
    this.#cluster.time.after(1_000_000, undefined, again);
  }

  /** Approves whatever that node shows as waiting for it; it may be behind, or wrong. */
  approveAt(host: Host): void {
    const waiting = host.state.view((tx) =>
      tx.all<{ id: number }>(waitingJobs, shut.approval).map(({ id }) => [id, findJob(tx, id)?.waits?.approval]),
    );
    for (const [id, batch] of waiting) {
      if (id === undefined || batch === undefined) continue;
      const key = `${id}/${batch}`;
      if (this.#asked.has(key)) continue;
      this.#asked.add(key);
      if (!this.#approvals.has(key)) this.#approvals.set(key, placeOf(this.#newest, changesMax - 1));
      const { node } = host.process!;
      this.#cluster
        .ask(host, callTimeout, () => node.propose("job.release", { id: jobId(id), batch }, someone))
        .answered((outcome) => {
          this.#asked.delete(key);
          if (outcome?.ok === true) this.approved += 1;
        });
    }
  }

  /** What a state that is right has applied; each entry counts once, whoever tells of it first. */
  applied(events: readonly AppliedEvent[]): void {
    for (const { index, at, changes } of events) {
      if (this.#seen.has(index)) continue;
      this.#seen.add(index);
      this.#newest = Math.max(this.#newest, index);
      for (const [position, change] of changes.entries()) {
        const moment = { place: placeOf(index, position), at };
        if (change.topic === "job" && change.kind === "batch") this.begun += 1;
        if (change.topic !== "task") continue;
        if (change.kind === "assigned" && change.attempt === 1) this.#courseOf(change.job, change.task).given = moment;
        else if (change.kind === "unit-assigned") {
          for (let task = change.first; task < change.first + change.count; task++)
            this.#courseOf(change.job, task).given = moment;
        } else if (change.kind === "ended" && isTerminal(change.state))
          this.#courseOf(change.job, change.task).ended = moment;
        else if (change.kind === "unit-ended") {
          for (const [first, count] of change.tasks)
            for (let task = first; task < first + count; task++) this.#courseOf(change.job, task).ended = moment;
        }
      }
    }
  }

  #courseOf(job: number, task: number): Course {
    let tasks = this.#courses.get(job);
    if (tasks === undefined) this.#courses.set(job, (tasks = new Map()));
    let course = tasks.get(task);
    if (course === undefined) tasks.set(task, (course = { given: undefined, ended: undefined }));
    return course;
  }

  /** All jobs of a state in which everything that was acknowledged has ended. */
  judge(tx: ReadTx): void {
    this.paused = 0;
    for (const job of tx.all<StoredJob>(allJobs)) {
      const spec = JSON.parse(job.spec) as Spec;
      if (spec.batch !== undefined) this.#judgeJob(job, spec.batch);
    }
  }

  #judgeJob({ id, tasks }: StoredJob, rolling: NonNullable<Spec["batch"]>): void {
    /** Of all batches so far: the last moment at which a task of them ended, and the first of them that never did. */
    let ended: Moment = { place: 0, at: 0 };
    let unended: number | undefined;
    const isSure = this.#cluster.hosts.every((host) => host.state.wrongUntil <= 0);
    for (
      let first = 0, end = nextEnd(rolling, tasks, 0);
      first < tasks;
      first = end, end = nextEnd(rolling, tasks, end)
    ) {
      const { now } = batchEnding(rolling, tasks, end);
      let last = ended;
      for (let task = first; task < end; task++) {
        const { given, ended: own } = this.#courses.get(id)?.get(task) ?? { given: undefined, ended: undefined };
        if (given !== undefined && first > 0) this.#judgeBegin({ id, task, now }, given, ended, unended, rolling);
        // Where some state was wrong, nobody may have been there to tell of it.
        if (own === undefined && isSure) unended ??= task;
        else if (own === undefined) continue;
        else if (own.place > last.place) last = own;
      }
      ended = last;
    }
  }

  #judgeBegin(
    { id, task, now }: { readonly id: number; readonly task: number; readonly now: number },
    given: Moment,
    ended: Moment,
    unended: number | undefined,
    { pauseMs, approve }: NonNullable<Spec["batch"]>,
  ): void {
    const what = `batch: task ${task} of job ${id} is of batch ${now} and was given out`;
    if (unended !== undefined) this.#cluster.fail(`${what}, and task ${unended} of an earlier one never ended`);
    else if (given.place < ended.place) this.#cluster.fail(`${what} before the one before had ended`);
    if (pauseMs !== undefined) {
      this.paused += 1;
      if (given.at < ended.at + pauseMs) this.#cluster.fail(`${what} ${ended.at + pauseMs - given.at} ms too early`);
    }
    if (approve === true && !((this.#approvals.get(`${id}/${now}`) ?? Infinity) < given.place))
      this.#cluster.fail(`${what}, and nobody had approved it`);
  }
}

/** More than an entry tells of. */
const changesMax = 1_000_000;

function placeOf(index: number, position: number): number {
  return index * changesMax + position;
}
