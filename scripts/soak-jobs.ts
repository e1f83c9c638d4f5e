/**
 * `npm run soak -- --jobs=10000 [--minutes=M] [--seed=N] [--faults=kill,...]`: jobs of all shapes through trouble. Clients submit what the seed draws (soak-jobs-plan.ts), cancel and hold
 * some of it, while nodes are killed, frozen and cut off; in the middle one node is destroyed with its disk, and its host joins anew. Then every job must have had the end that
 * it had to have, once, no task may have been alive twice, and no log of a task that finished over 2 s before its node was destroyed may be lost (soak-jobs-judge.ts).
 */
import { randomBytes } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { SkeinClient } from "../src/client/client.ts";
import { ApiError } from "../src/client/errors.ts";
import { type Random, randomInteger, seededRandom } from "../src/lib/prng.ts";
import { isTerminal } from "../src/lib/states.ts";
import type { JobState, JobView } from "../src/state/types.ts";
import { type Mesh, type MeshNode, patienceMs, until } from "./mesh.ts";
import { allUp, type TaskAnswer, tasksOf } from "./mesh-jobs.ts";
import { killAtOnce } from "./processes.ts";
import { judges, type JobsHistory, logProblem, type Submitted, tracesIn } from "./soak-jobs-judge.ts";
import { type Drawn, JobsPlan, licenses, parentsWithin, slots } from "./soak-jobs-plan.ts";
import { disturb, type Fault, removeNode, votersOf, type World } from "./soak-nemesis.ts";
import { bugsOf, notSettled, statesOf } from "./soak-verdict.ts";

/** What nodes of a mesh for this are started with. */
export const jobsFlags = ["--slots", String(slots), "--resource", `license=${licenses}`];

/** Trouble for whoever leads and whoever works. */
export const jobsFaults: readonly Fault[] = ["kill", "kill-all", "freeze", "stop", "transfer", "partition", "one-way"];

export interface JobsSoak {
  readonly submitted: number;
  readonly refused: number;
  /** In which state jobs ended. */
  readonly ends: Readonly<Record<string, number>>;
  readonly tasks: number;
  /** Attempts of tasks that were processes, those among them that were not the first, and those that were taken away. */
  readonly attempts: number;
  readonly retries: number;
  readonly lost: number;
  readonly troubles: Readonly<Record<string, number>>;
  /** Logs of the destroyed node that had to be there, and were read. */
  readonly logs: number;
  readonly problems: readonly string[];
  readonly story: readonly string[];
}

const submitters = 4;
/** After the trouble, until nodes are well for as long as N1 asks for, and what is on its way has arrived. */
const calmMs = 5000;
const logsAreSafeMs = 2000;
/** That and what follows it take about so long, during which jobs come as well. */
const destructionMs = calmMs + 5000;
/** Beyond what was to be submitted in the time: the backlog must end by then. */
const restMs = 600_000;

/** One run. Throws only when the mesh cannot be started or healed, or jobs do not end. */
export async function soakJobs(
  world: World,
  options: {
    readonly jobs: number;
    readonly forMs: number;
    readonly seed: number;
    readonly faults: readonly Fault[];
    readonly tell?: (line: string) => void;
  },
): Promise<JobsSoak> {
  const { mesh } = world;
  const began = performance.now();
  const story: string[] = [];
  const say = (what: string): void => {
    const line = `${Math.round(performance.now() - began)} ms: ${what}`;
    story.push(line);
    options.tell?.(line);
  };
  await mesh.leader({ voters: votersOf(world), timeoutMs: 60_000 });
  await allUp(mesh, mesh.nodes[0]!);
  const file = path.join(mesh.directory, "traces");
  writeFileSync(file, "");
  const random = seededRandom(options.seed);
  const mayBeLong = options.forMs >= 30_000;
  const plan = new JobsPlan(seededRandom(randomInteger(random, 1, 2 ** 31)), file, { mayBeLong });
  const submitting = new Submitting(mesh, plan, options.jobs, options.forMs + destructionMs);
  const ends = new Ends(mesh);
  const troubles: { readonly fault: Fault }[] = [];
  const trouble = async (isOver: () => boolean): Promise<void> => {
    troubles.push(...(await disturb(world, random, options.faults, isOver, say)));
  };
  let destroyed: { readonly node: number; readonly atMs: number };
  try {
    await trouble(() => performance.now() - began > options.forMs / 2);
    destroyed = await destroyOne(mesh, random, say);
    troubles.push({ fault: "replace" });
    await trouble(() => performance.now() - began > options.forMs && submitting.isDone);
    await submitting.ended();
    say(`${submitting.jobs.length} jobs were acknowledged`);
    await mesh.leader({ voters: votersOf(world), timeoutMs: 60_000 });
    await allEnded(mesh, submitting.jobs);
    say("every job has ended");
  } catch (error) {
    throw new Error(`${String(error)}\n${story.join("\n")}`, { cause: error });
  } finally {
    submitting.stop();
  }
  const unsettled = await notSettled(mesh, votersOf(world));
  const states = await statesOf(mesh);
  await ends.stop();
  say("the states have met");

  const seen = await allJobs(mesh);
  const tasks = await tasksOfAll(mesh, submitting.jobs);
  const { traces, damaged } = tracesIn(readFileSync(file, "utf8"));
  const { jobs, refused } = submitting;
  const history: JobsHistory = { jobs, refused, seen, tasks, traces, ends: ends.told };
  const judged = Object.entries(judges).flatMap(([name, judge]) => judge(history).map((one) => `${name}: ${one}`));
  const logs = await logsOf(mesh, history, destroyed);
  say("all is judged");
  const all = [...tasks.values()].flat();
  const begun = traces.filter(({ what }) => what === "begin");
  return {
    submitted: jobs.length,
    refused: refused.length,
    ends: countBy(seen.map(({ state }) => state)),
    tasks: all.length,
    attempts: begun.length,
    retries: begun.filter(({ attempt }) => attempt > 1).length,
    lost: all.reduce((sum, task) => sum + task.attempts.filter((one) => one.state === "lost").length, 0),
    troubles: countBy(troubles.map(({ fault }) => fault)),
    logs: logs.read,
    problems: [
      ...judged,
      ...logs.problems,
      ...damaged.map((line) => `a trace is damaged: ${line}`),
      ...unsettled,
      ...(await bugsOf(mesh)),
      ...(states.length > 1 ? [`the states differ: ${JSON.stringify(states)}`] : []),
      ...(begun.length === 0 ? ["no task left a trace"] : []),
      ...(ends.told.size === 0 ? ["no node told of the end of a job"] : []),
    ],
    story,
  };
}

function countBy(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words.toSorted()) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}

function clientOf(mesh: Mesh, first = 0): SkeinClient {
  const addrs = mesh.nodes.map((node) => node.ready.api);
  const at = first % addrs.length;
  return new SkeinClient({ addrs: [...addrs.slice(at), ...addrs.slice(0, at)], token: mesh.nodes[0]!.token });
}

/** Clients that submit what is drawn, spread over the time, and ask for what was drawn with it. */
class Submitting {
  readonly jobs: Submitted[] = [];
  readonly refused: string[] = [];
  readonly #plan: JobsPlan;
  readonly #most: number;
  readonly #forMs: number;
  readonly #beganMs = performance.now();
  readonly #known = new Map<number, Submitted>();
  #recent: number[] = [];
  readonly #later = new Set<Promise<void>>();
  readonly #ending = new AbortController();
  readonly #clients: Promise<void>[];
  #drawn = 0;
  #left = submitters;

  constructor(mesh: Mesh, plan: JobsPlan, most: number, forMs: number) {
    [this.#plan, this.#most, this.#forMs] = [plan, most, forMs];
    this.#clients = Array.from({ length: submitters }, (_, at) => this.#drive(clientOf(mesh, at)));
    // Who waits for it comes later.
    for (const client of this.#clients) client.catch(() => {});
  }

  /** All of it is acknowledged. */
  get isDone(): boolean {
    return this.#left === 0 || this.#ending.signal.aborted;
  }

  async ended(): Promise<void> {
    await Promise.all(this.#clients);
    while (this.#later.size > 0) await Promise.all(this.#later);
  }

  /** Nothing more is asked for. */
  stop(): void {
    this.#ending.abort(new Error("the soak is over"));
  }

  async #drive(client: SkeinClient): Promise<void> {
    for (let serial = 0; this.#drawn < this.#most; serial++) {
      const due = ((performance.now() - this.#beganMs) / this.#forMs) * this.#most;
      if (this.#drawn > due) {
        await pause(50);
        continue;
      }
      const batch: Drawn[] = [];
      for (const size = this.#plan.size(); batch.length < size;) {
        const drawn = this.#plan.next([...this.#recent, ...batch.map((one) => one.serial)]);
        this.#drawn += 1;
        if (drawn.spec["on_conflict"] === "refuse") {
          // A request is refused whole. What it waits for must be there by then.
          const after = drawn.after.filter((one) => this.#known.has(one.serial));
          await this.#submit(client, [{ ...drawn, after }]);
        } else batch.push(drawn);
        if (this.#drawn >= this.#most) break;
      }
      if (batch.length > 0) await this.#submit(client, batch);
    }
    this.#left -= 1;
  }

  async #submit(client: SkeinClient, batch: readonly Drawn[]): Promise<void> {
    const names = new Map(batch.map((one) => [one.serial, one.name]));
    const specs = batch.map(({ spec, after }) => {
      const parents = after.map(({ serial, when }) => ({
        job: names.get(serial) ?? this.#known.get(serial)!.id,
        when,
      }));
      return parents.length === 0 ? spec : { ...spec, after: parents };
    });
    const key = randomBytes(12).toString("hex");
    const { signal } = this.#ending;
    const ids = await this.#patiently(async () => {
      try {
        return (await client.submit(specs.length === 1 ? specs[0]! : specs, { key, signal })).ids;
      } catch (error) {
        const isRefused = error instanceof ApiError && error.code === "conflict" && batch.length === 1;
        if (!isRefused || batch[0]!.spec["on_conflict"] !== "refuse") throw error;
        this.refused.push(batch[0]!.name);
        return [];
      }
    });
    const own: Submitted[] = ids.map((id, at) => ({
      ...batch[at]!,
      id,
      parents: [],
      cancelAsked: false,
      held: undefined,
    }));
    for (const job of own) this.#known.set(job.serial, job);
    this.#recent = [...this.#recent, ...own.map(({ serial }) => serial)].slice(-parentsWithin);
    for (const job of own) {
      const parents = job.after.map(({ serial, when }) => ({ id: this.#known.get(serial)!.id, when }));
      const one = Object.assign(job, { parents });
      this.jobs.push(one);
      if (job.cancelAfterMs !== undefined) this.#do(this.#cancel(client, one, job.cancelAfterMs));
      if (job.holdForMs !== undefined) this.#do(this.#hold(client, one, job.holdForMs));
    }
  }

  #do(what: Promise<void>): void {
    const kept = what.finally(() => this.#later.delete(kept));
    this.#later.add(kept);
    kept.catch(() => {});
  }

  async #cancel(client: SkeinClient, job: Submitted, afterMs: number): Promise<void> {
    await pause(afterMs);
    // Whatever the answer: it may have been done.
    job.cancelAsked = true;
    await this.#patiently(async () => await client.cancel(job.id).catch(unlessEnded));
  }

  async #hold(client: SkeinClient, job: Submitted, forMs: number): Promise<void> {
    await this.#patiently(async () => await client.hold(job.id).catch(unlessEnded));
    const fromMs = Date.now();
    const { held, started_at: startedAt } = await this.#patiently(async () => await client.job(job.id));
    await pause(forMs);
    if (held === true && startedAt === null) job.held = { fromMs, toMs: Date.now() };
    await this.#patiently(async () => await client.release(job.id).catch(unlessEnded));
  }

  /** Again and again while no node answers. A refusal is a mistake of ours, or of theirs. */
  async #patiently<Value>(call: () => Promise<Value>): Promise<Value> {
    for (;;) {
      try {
        return await call();
      } catch (error) {
        if (this.#ending.signal.aborted) throw error;
        const isPassing = !(error instanceof ApiError) || error.status === 503 || error.status === 429;
        if (!isPassing) {
          this.#ending.abort(error);
          throw error;
        }
        await pause(100);
      }
    }
  }
}

/** It had ended before: there was nothing to be done. */
function unlessEnded(error: unknown): void {
  if (!(error instanceof ApiError) || error.code !== "conflict") throw error;
}

/** What every node tells of the ends of jobs, as events. What a node has forgotten (410) another one has told. */
class Ends {
  readonly told = new Map<number, Set<string>>();
  readonly #ending = new AbortController();
  readonly #watchers: Promise<void>[];

  constructor(mesh: Mesh) {
    this.#watchers = mesh.nodes.map((node) => this.#watch(node, mesh.nodes[0]!.token));
  }

  async stop(): Promise<void> {
    this.#ending.abort(new Error("the soak is over"));
    await Promise.all(this.#watchers);
  }

  async #watch(node: MeshNode, token: string): Promise<void> {
    const { signal } = this.#ending;
    let from: string | undefined;
    while (!signal.aborted) {
      const client = new SkeinClient({ addrs: [node.ready.api], token });
      try {
        for await (const event of client.events({ topics: ["job"], signal, ...(from === undefined ? {} : { from }) })) {
          from = event.id;
          const { job, state } = event as unknown as { readonly job: number; readonly state?: JobState };
          if (event.kind !== "state" || state === undefined || !isTerminal(state)) continue;
          const told = this.told.get(job) ?? new Set();
          this.told.set(job, told.add(`${state} at ${event.id.split(".")[0]}`));
        }
      } catch (error) {
        // Restarted, or another node by now: what was between is not here.
        if (error instanceof ApiError) from = undefined;
        await pause(200);
      }
    }
  }
}

/** As a fire would: a node, its guard with all that runs, and the disk. Its host joins anew, as another node. */
async function destroyOne(
  mesh: Mesh,
  random: Random,
  say: (what: string) => void,
): Promise<{ readonly node: number; readonly atMs: number }> {
  await mesh.leader({ voters: Math.min(3, mesh.nodes.length), timeoutMs: 60_000 });
  await allUp(mesh, mesh.nodes[0]!);
  await pause(calmMs);
  // The admin's own node is left out.
  const victim = mesh.nodes[randomInteger(random, 1, mesh.nodes.length - 1)]!;
  const { node } = victim.ready;
  say(`node ${node} is destroyed with its disk`);
  const guards = victim.guards();
  const atMs = Date.now();
  await killAtOnce([victim.pid, ...guards]);
  await victim.exited;
  rmSync(victim.data, { recursive: true, force: true, maxRetries: 10 });
  await removeNode(mesh, victim, say);
  await mesh.replace(victim);
  say(`node ${victim.ready.node} has joined in place of node ${node}`);
  return { node, atMs };
}

/** Waits for the ends of all of them. A hold that was on its way for long may come after its release, and is taken back. */
async function allEnded(mesh: Mesh, jobs: readonly Submitted[]): Promise<void> {
  const client = clientOf(mesh);
  const ids = jobs.map(({ id }) => id);
  let open: readonly { readonly id: number; readonly state: string }[] = [];
  await until(
    async () => {
      const view = await client.wait(ids, { timeoutMs: 5000 });
      open = view.jobs.filter(({ state }) => !isTerminal(state));
      if (open.length === 0) return true;
      for (const { id } of open) {
        const job = await client.job(id);
        if (job.held === true) await client.release(id).catch(unlessEnded);
      }
      return undefined;
    },
    restMs,
    () => `${open.length} jobs have not ended, as ${JSON.stringify(open.slice(0, 5))}`,
  );
}

async function allJobs(mesh: Mesh): Promise<JobView[]> {
  const client = clientOf(mesh);
  const jobs: JobView[] = [];
  let next: string | undefined;
  do {
    const page = await client.jobs({ limit: 1000, next });
    jobs.push(...page.jobs);
    next = page.next;
  } while (next !== undefined);
  return jobs;
}

async function tasksOfAll(mesh: Mesh, jobs: readonly Submitted[]): Promise<Map<number, TaskAnswer[]>> {
  const found = new Map<number, TaskAnswer[]>();
  const queue = [...jobs];
  const drive = async (node: MeshNode): Promise<void> => {
    for (let job = queue.pop(); job !== undefined; job = queue.pop()) found.set(job.id, await tasksOf(node, job.id));
  };
  await Promise.all(mesh.nodes.filter((node) => node.running).map((node) => drive(node)));
  return found;
}

/** The logs of the destroyed node that may not be lost, read from those that are there, against what the tasks printed. */
async function logsOf(
  mesh: Mesh,
  { jobs, tasks }: JobsHistory,
  destroyed: { readonly node: number; readonly atMs: number },
): Promise<{ readonly read: number; readonly problems: readonly string[] }> {
  const problems: string[] = [];
  const wanted = jobs.flatMap((job) =>
    (tasks.get(job.id) ?? [])
      .filter(
        (task) =>
          job.isTraced &&
          task.node === destroyed.node &&
          task.log !== null &&
          task.finished_at !== null &&
          Date.parse(task.finished_at) < destroyed.atMs - logsAreSafeMs,
      )
      .map((task) => ({ job, task })),
  );
  for (const [at, { job, task }] of wanted.entries()) {
    const node = mesh.nodes[at % mesh.nodes.length]!;
    const route = `/v1/jobs/${job.id}/logs?task=${task.task}`;
    const problem = await until(
      async () => {
        const { status, body } = await node.api("GET", route);
        // 503: it is there, and cannot be had at the moment.
        if (status === 200) return logProblem(job, task, body as string) ?? "";
        return status === 503 ? undefined : `${route}: ${status} ${JSON.stringify(body)}`;
      },
      patienceMs / 4,
      () => `${route} of the destroyed node is not there`,
    ).catch(String);
    if (problem !== "") problems.push(problem);
    if (problems.length >= 10) break;
  }
  return { read: wanted.length, problems };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
