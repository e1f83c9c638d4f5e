import { decodeConfiguration } from "../../src/lib/configuration.ts";
import { limits } from "../../src/lib/limits.ts";
import type { Entry } from "../../src/raft/types.ts";
import { Clients } from "./clients.ts";
import { Cluster } from "./cluster.ts";
import { disturb } from "./faults.ts";
import { settle } from "./liveness.ts";
import { comparesAfter, takeOut } from "./operators.ts";
import { RealLog } from "./real-log.ts";
import { type Plan, planOf, type PlanOptions } from "./plan.ts";

/**
 * The whole cluster, simulated: one seed, one run. Every host runs the production Node (consensus, proposer, reader, leases, duties, the
 * scheduler's view, the executor) on the production state machine, in one process, under virtual time (virtual-time.ts), over a simulated network
 * (network.ts), disk (disk.ts, stored-log.ts), state file (state.ts) and guard (guard.ts). A plan (plan.ts) says what the cluster is like and
 * what goes wrong when; faults.ts does it. judge.ts watches consensus, effects.ts the work, clients.ts what callers were told; liveness.ts demands
 * an end. docs/simulator.md says it for people.
 */
export interface SimOptions extends PlanOptions {
  /** Keeps the whole story. */
  readonly story?: boolean;
}

export interface SimResult {
  readonly seed: number;
  /** Empty: the run was good. Anything else is a bug of the product or of the simulator. */
  readonly problems: readonly string[];
  /** The same for the same seed and options, in any process. */
  readonly traceHash: number;
  /** Faults by kind, rare paths, figures. */
  readonly counters: Readonly<Record<string, number>>;
  /** Of 10 virtual ms. */
  readonly ticks: number;
  readonly operations: number;
  readonly faults: number;
  readonly events: number;
  readonly story: readonly string[];
  readonly plan: Plan;
}

/** Runs one seed from beginning to end. */
export function runSeed(seed: number, options: SimOptions = {}): Promise<SimResult> {
  return runPlan(planOf(seed, options), options.story);
}

/** Runs a plan that may have been changed after it was drawn: for a situation that no seed is to lose. */
export async function runPlan(plan: Plan, tells = false): Promise<SimResult> {
  const rejections: string[] = [];
  const onRejection = (error: unknown): void => {
    rejections.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  };
  process.on("unhandledRejection", onRejection);
  try {
    const result = simulate(plan, tells);
    // What nobody caught is told in the runtime's own next turn.
    await new Promise((resolve) => setImmediate(resolve));
    if (rejections.length === 0) return result;
    return { ...result, problems: [...result.problems, ...rejections.map((text) => `nobody caught: ${text}`)] };
  } finally {
    process.off("unhandledRejection", onRejection);
  }
}

/** Synchronous from here on: nothing but virtual time decides what comes next. */
function simulate(plan: Plan, tells: boolean): SimResult {
  const before = { ...limits };
  Object.assign(limits, plan.limits);
  const cluster = new Cluster(plan, tells);
  const uninstall = cluster.time.install(plan.seed);
  const clients = new Clients(cluster, plan.operations);
  try {
    run(cluster, clients);
  } finally {
    uninstall();
    Object.assign(limits, before);
    cluster.close();
  }
  const { time, network, judge, effects } = cluster;
  for (const problem of cluster.rejected) cluster.problems.push(`a call threw: ${problem}`);
  const sum = (of: (host: (typeof cluster.hosts)[number]) => number): number =>
    cluster.hosts.reduce((total, host) => total + of(host), 0);
  Object.assign(cluster.counters, {
    elections: judge.elections,
    committed: judge.committed.length,
    comparedHashes: judge.comparedHashes,
    overwrites: sum((host) => host.disk.file.overwrites),
    reconciled: sum((host) => host.disk.reconciled),
    realFilesCut: sum((host) => (host.disk.file instanceof RealLog ? host.disk.file.cuts : 0)),
    walCuts: sum((host) => host.state.cuts),
    repairs: sum((host) => host.disk.repairs),
    jointConfigurations: judge.committed.filter(({ entry }) => isJointEntry(entry)).length,
    framesLost: network.lost,
    framesDuplicated: network.duplicated,
    framesHeld: network.heldFrames,
    framesRefused: network.overflowed,
    attempts: effects.starts,
    attemptsLost: effects.lost,
    attemptsRetried: effects.retried,
    attemptsRecalled: effects.recalled,
    attemptsReturned: effects.returned,
    endedInUnits: effects.endedInUnits,
    excusedOverlaps: effects.excusedOverlaps,
    wildAttempts: effects.wild,
    vagueAnswers: clients.vague,
    syncs: sum((host) => host.disk.syncs),
    groupedAppends: sum((host) => host.disk.appends - host.disk.syncs),
    checkpoints: sum((host) => host.state.checkpoints),
    acknowledged: clients.acknowledged,
    unknown: clients.unknown,
    refused: clients.refused,
    repeats: clients.repeats,
    reads: clients.reads,
    failedReads: clients.failedReads,
    followerReads: clients.followerReads,
    gatedJobs: clients.gated.drawn,
    jobsHeld: clients.gated.holds,
    jobsSkipped: clients.gated.skipped,
    jobsOverdue: clients.gated.overdue,
    targetedJobs: clients.targeted.drawn,
    namesUnsent: clients.targeted.unsent,
    batchedJobs: clients.batched.drawn,
    batchesBegun: clients.batched.begun,
    batchesPaused: clients.batched.paused,
    batchesApproved: clients.batched.approved,
    tasksWithResources: effects.room.asking,
    weightsSet: clients.placed.weights,
  });
  return {
    seed: plan.seed,
    problems: cluster.problems,
    traceHash: time.traceHash >>> 0,
    counters: cluster.counters,
    ticks: Math.floor(time.now / 10_000),
    operations: clients.operations,
    faults: cluster.counters["faults"] ?? 0,
    events: time.events,
    story: cluster.story,
    plan,
  };
}

function isJointEntry({ kind, data }: Entry): boolean {
  const configuration = kind === "configuration" ? decodeConfiguration(data) : undefined;
  return configuration !== undefined && configuration.outgoing.length > 0;
}

/** µs */
const usualDuration = 200_000_000;

function run(cluster: Cluster, clients: Clients): void {
  const { plan, time } = cluster;
  const isOver = (): boolean => cluster.isOver;
  cluster.onUndecided = () => void time.after(comparesAfter, undefined, () => takeOut(cluster));
  cluster.found();
  if (plan.timing !== undefined) cluster.setTiming(plan.timing);
  const gap = plan.growsSlowly ? (usualDuration * 0.6) / plan.hosts : 300_000;
  for (let number = 1; number < plan.hosts; number++)
    time.after(1_000_000 + (number - 1) * gap, undefined, () => cluster.join());
  time.after(4_000_000, undefined, () => clients.start(plan.clients, usualDuration));
  for (const event of plan.faults) time.after(event.at, undefined, () => disturb(cluster, event));
  time.runUntil(plan.duration, isOver);
  if (plan.duration < usualDuration) clients.stop();
  if (!cluster.isOver) settle(cluster, clients);
}
