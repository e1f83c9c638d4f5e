/** Many single jobs in the state of a mesh that do not run, and what that does to it. */
import type { Mesh, MeshNode } from "../../scripts/mesh.ts";
import { submit } from "../../scripts/mesh-jobs.ts";
import { benchAnswer } from "../harness.ts";
import { farOff } from "./acceptance.ts";
import { gauge, pause, untilRunning } from "./gauges.ts";

/** Why the jobs do not run. */
export const waits = {
  /** They wait for an instant: gated, so the leader's planner does not see them. */
  gated: { start_at: farOff },
  /** No node has the label that they ask for: they are in the leader's view, and the planner finds no place for them. */
  nowhere: { on: "nowhere=true" },
  /** Nothing keeps them but that all nodes are full ({@link occupy}). */
  busy: {},
} as const;

export type Wait = keyof typeof waits;

const specsPerRequest = 1000;
const requestsAtOnce = 4;

/** Adds single jobs until so many have not ended; no two are of the same spec. Gives the jobs a second. */
export async function fill(mesh: Mesh, wait: Wait, wanted: number): Promise<number> {
  const missing = wanted - (await gauge(await mesh.leader(), "skein_jobs_unfinished"));
  const began = performance.now();
  let sent = 0;
  const sender = async (node: MeshNode): Promise<void> => {
    while (sent < missing) {
      const first = sent;
      sent += Math.min(specsPerRequest, missing - first);
      const jobs = Array.from({ length: sent - first }, (_, at) => ({
        driver: "noop",
        name: `waits ${first + at}`,
        ...waits[wait],
      }));
      await accepted(node, jobs);
    }
  };
  await Promise.all(Array.from({ length: requestsAtOnce }, (_, at) => sender(mesh.nodes[at % mesh.nodes.length]!)));
  return missing / ((performance.now() - began) / 1000);
}

/** Asked again while the mesh says that it is too much at once. */
async function accepted(node: MeshNode, jobs: readonly object[]): Promise<void> {
  for (let tries = 1; ; tries++) {
    const answer = await node.api("POST", "/v1/jobs", { jobs });
    if (answer.status === 201) return;
    if (![429, 503].includes(answer.status) || tries === 30)
      throw new Error(`jobs were not accepted: ${answer.status} ${JSON.stringify(answer.body)}`);
    await pause(1000 * Number(answer.headers.get("retry-after") ?? 1));
  }
}

/** Gives every node `ioTasks` tasks without slots for an hour, which is as many as it was started to take: what is submitted now is queued. */
export async function occupy(mesh: Mesh, ioTasks: number): Promise<void> {
  const count = ioTasks * mesh.nodes.length;
  const leader = await mesh.leader();
  await submit(leader, { driver: "noop", name: "occupies", count, noop: { for: "1h" } });
  await untilRunning(leader, count);
}

/** Jobs a second of `skein bench submit`, of that spec; how long a request takes; and the processor time of the client, warming up included. */
export async function submitRate(
  mesh: Mesh,
  spec: object,
  load: { readonly connections: number; readonly batch: number; readonly seconds: number },
): Promise<{ readonly jobsPerSecond: number; readonly p99Ms: number; readonly clientMs: number }> {
  const words = Object.entries(load).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const answer = await benchAnswer(mesh, "submit", [...words, "--spec", "-"], JSON.stringify(spec));
  const { jobs_per_second, latency_ms, client_cpu_seconds } = answer as {
    readonly jobs_per_second: number;
    readonly latency_ms: { readonly p99: number };
    readonly client_cpu_seconds: number;
  };
  return { jobsPerSecond: jobs_per_second, p99Ms: latency_ms.p99, clientMs: client_cpu_seconds * 1000 };
}

/** SIGKILL, and from starting it again to its `ready`. */
export async function restartMs(node: MeshNode): Promise<number> {
  await node.kill();
  const began = performance.now();
  await node.start();
  return performance.now() - began;
}
