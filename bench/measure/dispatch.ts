/** How soon what was accepted is started, by the clocks of the state and by the task's own; on a mesh at rest and under steady load. */
import { type Mesh, type MeshNode } from "../../scripts/mesh.ts";
import { finished, tasksOf } from "../../scripts/mesh-jobs.ts";
import { gauge, pause } from "./gauges.ts";

/** Milliseconds of every job that was looked at. */
export interface Dispatched {
  /** A `noop` job: `submitted_at` to the task's `started_at`, both as the state has them. */
  readonly noop: number[];
  /** A `shell` job: the same. */
  readonly shell: number[];
  /** A `shell` job: `submitted_at` to what the task itself reads from the clock. */
  readonly seen: number[];
  /** A `shell` job: from sending the request, by the client's clock, to what the task reads. */
  readonly whole: number[];
}

const kinds = [{ driver: "noop" }, { run: ["date", "+%s%N"] }] as const;

/** Submits `count` pairs of single jobs, one job every `everyMs`, to every node in turn. */
export async function dispatch(mesh: Mesh, count: number, everyMs: number): Promise<Dispatched> {
  const sent: { readonly job: number; readonly kind: number; readonly sentAt: number }[] = [];
  const began = performance.now();
  for (let at = 0; at < 2 * count; at++) {
    await pause(began + at * everyMs - performance.now());
    const node = mesh.nodes[at % mesh.nodes.length]!;
    const kind = at % 2;
    const sentAt = performance.timeOrigin + performance.now();
    const answer = await node.api("POST", "/v1/jobs", kinds[kind]);
    if (answer.status !== 201)
      throw new Error(`a job was not accepted: ${answer.status} ${JSON.stringify(answer.body)}`);
    sent.push({ job: (answer.body as { id: number }).id, kind, sentAt });
  }
  const found: Dispatched = { noop: [], shell: [], seen: [], whole: [] };
  const node = await mesh.leader();
  for (const { job, kind, sentAt } of sent) {
    const ended = (await finished(mesh, job)) as unknown as { readonly submitted_at: string };
    const [task] = await tasksOf(node, job);
    if (task?.state !== "succeeded" || task.started_at === null)
      throw new Error(`job ${job} has not succeeded: ${JSON.stringify(task)}`);
    const accepted = Date.parse(ended.submitted_at);
    const started = Date.parse(task.started_at);
    (kind === 0 ? found.noop : found.shell).push(started - accepted);
    if (kind === 0) continue;
    const own = Number(task.tail) / 1e6;
    if (!(own > 0)) throw new Error(`the task of job ${job} does not tell its time, but "${task.tail}"`);
    found.seen.push(own - accepted);
    found.whole.push(own - sentAt);
  }
  return found;
}

/** `noop` jobs at a steady rate, until it is told to stop: then how many a second were accepted, and how many ended, meanwhile. */
export class SteadyLoad {
  readonly #mesh: Mesh;
  readonly #node: MeshNode;
  readonly #running: Promise<void>;
  #stopped = false;
  #accepted = 0;
  #began = 0;
  #endedBefore = 0;

  private constructor(mesh: Mesh, node: MeshNode, perSecond: number, batch: number) {
    this.#mesh = mesh;
    this.#node = node;
    this.#running = this.#run(perSecond, batch);
    // Told when it is stopped.
    this.#running.catch(() => {});
  }

  /** Goes on for `warmMs` before it is counted. */
  static async start(mesh: Mesh, perSecond: number, warmMs: number, batch = 50): Promise<SteadyLoad> {
    const load = new SteadyLoad(mesh, await mesh.leader(), perSecond, batch);
    await pause(warmMs);
    load.#endedBefore = await load.#ended();
    load.#accepted = 0;
    load.#began = performance.now();
    return load;
  }

  async stop(): Promise<{ readonly acceptedPerSecond: number; readonly endedPerSecond: number }> {
    const ended = (await this.#ended()) - this.#endedBefore;
    const seconds = (performance.now() - this.#began) / 1000;
    const accepted = this.#accepted;
    this.#stopped = true;
    await this.#running;
    return { acceptedPerSecond: accepted / seconds, endedPerSecond: ended / seconds };
  }

  #ended(): Promise<number> {
    return gauge(this.#node, "skein_jobs_finished_total");
  }

  /** Requests are sent when they are due, whether those before have been answered or not. */
  async #run(perSecond: number, batch: number): Promise<void> {
    const body = { jobs: Array.from({ length: batch }, () => ({ driver: "noop" })) };
    const everyMs = (1000 * batch) / perSecond;
    const under = new Set<Promise<void>>();
    const problems: unknown[] = [];
    const began = performance.now();
    for (let sent = 0; !this.#stopped && problems.length === 0; sent++) {
      await pause(began + sent * everyMs - performance.now());
      const one = this.#send(this.#mesh.nodes[sent % this.#mesh.nodes.length]!, body, batch)
        .catch((error: unknown) => void problems.push(error))
        .finally(() => under.delete(one));
      under.add(one);
      // What cannot be taken any more would only pile up here.
      if (under.size > 256) await Promise.race(under);
    }
    await Promise.all(under);
    if (problems.length > 0) throw problems[0];
  }

  async #send(node: MeshNode, body: object, batch: number): Promise<void> {
    const answer = await node.api("POST", "/v1/jobs", body);
    if (answer.status !== 201)
      throw new Error(`jobs were not accepted: ${answer.status} ${JSON.stringify(answer.body)}`);
    this.#accepted += batch;
  }
}
