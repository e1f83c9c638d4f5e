/** Every figure of the job engine once, on a mesh as it is: for comparing meshes of different sizes. */
import type { Mesh } from "../../scripts/mesh.ts";
import { distribution } from "../../scripts/figures.ts";
import { benchAnswer } from "../harness.ts";
import { usageOf } from "../processes.ts";
import { acceptArrayMs } from "./acceptance.ts";
import { dispatch } from "./dispatch.ts";
import { restartMs, submitRate } from "./fill.ts";
import { gauge, inStep, untilUnfinished } from "./gauges.ts";
import { shellTasksPerSecond } from "./processes-per-second.ts";

/** Names, units, and whether more is better. */
export const figureKinds = {
  dispatchP50: { name: "dispatch, p50", unit: " ms", isRate: false },
  dispatchP99: { name: "dispatch, p99", unit: " ms", isRate: false },
  arrayAck: { name: "array accepted", unit: " ms", isRate: false },
  singleCycles: { name: "single jobs, the whole way", unit: "/s", isRate: true },
  arrayCycles: { name: "tasks of an array, the whole way", unit: "/s", isRate: true },
  shellTasks: { name: "`/bin/true` as tasks", unit: "/s", isRate: true },
  submits: { name: "single submits", unit: "/s", isRate: true },
  batched: { name: "jobs in batches of 200", unit: "/s", isRate: true },
  leaderMemory: { name: "memory of the leader", unit: " MiB", isRate: false },
  restart: { name: "restart of the leader", unit: " ms", isRate: false },
} as const;

export type FigureKind = keyof typeof figureKinds;

/** How much is done for each figure. */
export interface Amounts {
  /** Pairs of jobs for the dispatch. */
  readonly dispatches: number;
  /** Of the array that is accepted, and of the one that runs. */
  readonly acceptedTasks: number;
  readonly arrayTasks: number;
  readonly singleJobs: number;
  readonly shellTasks: number;
  readonly seconds: number;
}

/** Measures all of them, what adds the fewest jobs first; `waiting` jobs are in the state and do not run. */
export async function allFigures(mesh: Mesh, waiting: number, amounts: Amounts): Promise<Record<FigureKind, number>> {
  const leader = await mesh.leader();
  const quiet = async (): Promise<void> => untilUnfinished(await mesh.leader(), waiting);
  const voters = mesh.nodes.length < 3 ? 1 : mesh.nodes.length < 5 ? 3 : 5;
  // A process that has just begun is slow. What warms it is forgotten a second later.
  await submitRate(mesh, { driver: "noop", ttl: "1s" }, { connections: 256, batch: 1, seconds: amounts.seconds });
  await quiet();
  const { noop } = await dispatch(mesh, amounts.dispatches, 20);
  const { p50, p99 } = distribution(noop);
  const arrayAck = await acceptArrayMs(leader, { driver: "noop", count: amounts.acceptedTasks }, waiting);
  const arrayCycles = await cycles(mesh, ["--array", "--jobs", `${amounts.arrayTasks}`]);
  const singleCycles = await cycles(mesh, ["--jobs", `${amounts.singleJobs}`]);
  const shellTasks = await shellTasksPerSecond(mesh, amounts.shellTasks);
  const single = await submitRate(mesh, { driver: "noop" }, { connections: 256, batch: 1, seconds: amounts.seconds });
  await quiet();
  await inStep(mesh);
  const leaderMemory = usageOf(await mesh.leader()).rssBytes / 2 ** 20;
  const batched = await submitRate(mesh, { driver: "noop" }, { connections: 16, batch: 200, seconds: amounts.seconds });
  await quiet();
  await inStep(mesh);
  const restart = await restartMs(await mesh.leader({ voters }));
  await mesh.leader({ voters });
  if ((await gauge(leader, "skein_jobs_unfinished")) < waiting) throw new Error("jobs that were to wait have ended");
  return {
    dispatchP50: p50,
    dispatchP99: p99,
    arrayAck,
    singleCycles,
    arrayCycles,
    shellTasks,
    submits: single.jobsPerSecond,
    batched: batched.jobsPerSecond,
    leaderMemory,
    restart,
  };
}

async function cycles(mesh: Mesh, words: readonly string[]): Promise<number> {
  return (await benchAnswer(mesh, "cycle", words))["tasks_per_second"] as number;
}
