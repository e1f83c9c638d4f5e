import { Cluster } from "./cluster.ts";
import { CronClients } from "./cron-clients.ts";
import { CronJudge } from "./cron-judge.ts";
import { disturb } from "./faults.ts";
import { removeUntilDone } from "./operators.ts";
import { type FaultKind, type Plan, planOf, stream } from "./plan.ts";
import { randomInteger } from "../../src/lib/prng.ts";

/**
 * Hours of schedules, with few events beside them: a cluster of three that grows to six and shrinks to three again, clocks that are wrong by up to 5 s and are set an hour wrong one at a
 * time, a network that loses messages, trouble every few minutes, and people who change schedules (cron-clients.ts). cron-judge.ts says whether each instant came to what it was to.
 */
export interface CronHours {
  readonly seed: number;
  readonly hours: number;
  readonly schedules: number;
  /** Nothing goes wrong, nobody changes anything, and members stay: for mutants, which work then. */
  readonly isCalm?: boolean;
  /** Keeps the whole story. */
  readonly story?: boolean;
}

export interface CronResult {
  readonly seed: number;
  readonly problems: readonly string[];
  readonly story: readonly string[];
  readonly scheduleHours: number;
  readonly fires: number;
  readonly skips: number;
  readonly reasons: Readonly<Record<string, number>>;
  /** Fires of which it was judged whether they were on time, and the worst of them. */
  readonly onTime: number;
  readonly worstMs: number;
  readonly elections: number;
  readonly changes: number;
  readonly events: number;
  readonly counters: Readonly<Record<string, number>>;
}

const secondUs = 1_000_000;
const minuteUs = 60 * secondUs;
/** Nothing is wrong any more for so long. */
const calmUs = 6 * minuteUs;

/** What goes wrong; each for some seconds at most. */
const kinds: readonly FaultKind[] = [
  "crash",
  "power-loss",
  "restart",
  "freeze",
  "isolate",
  "halves",
  "one-way",
  "clog",
  "transfer",
  "disk-stall",
  "slow-apply",
];

/** Runs one seed from beginning to end. */
export function runCronHours(options: CronHours): CronResult {
  const plan = planFor(options);
  const cluster = new Cluster(plan, options.story === true);
  const judge = new CronJudge(cluster);
  const clients = new CronClients(cluster);
  cluster.callers = {
    readAt: () => {},
    writeBeside: () => {},
    applied: (_, events) => judge.applied(events),
    whyNot: () => undefined,
  };
  const uninstall = cluster.time.install(plan.seed);
  try {
    run(cluster, clients, judge, options);
  } finally {
    uninstall();
    cluster.close();
  }
  for (const problem of cluster.rejected) cluster.problems.push(`a call threw: ${problem}`);
  const { fires, skips, reasons, onTime, worstMs } = judge;
  return {
    seed: options.seed,
    problems: cluster.problems,
    story: cluster.story,
    scheduleHours: judge.scheduleMs / 3_600_000,
    fires,
    skips,
    reasons,
    onTime,
    worstMs,
    elections: cluster.judge.elections,
    changes: clients.changes,
    events: cluster.time.events,
    counters: cluster.counters,
  };
}

function planFor({ seed, isCalm = false }: CronHours): Plan {
  const drawn = planOf(seed, { hosts: 3 });
  const random = stream(seed, "cron hours");
  return {
    ...drawn,
    votersWanted: 3,
    growsSlowly: false,
    timing: { heartbeatMs: 250, electionTimeoutMs: 2000 },
    network: {
      delayMin: 200,
      delayMean: 1000,
      loss: random() < 0.5 || isCalm ? 0 : 0.01,
      duplicate: 0.01,
      capacity: 2000,
      encodes: false,
    },
    disks: drawn.disks.map(() => ({ syncMin: 100, syncMean: 1000 })),
    applyMean: 200,
    rates: drawn.rates.map(() => 1),
    wallOffsets: drawn.wallOffsets.map(() => (isCalm ? 0 : (random() - 0.5) * 10_000)),
    slots: drawn.slots.map(() => 64),
    zones: 0,
    oldHosts: 0,
    limits: {},
    trailingEntries: 1000,
    faults: [],
    guarded: 0,
    realFiles: false,
  };
}

function run(
  cluster: Cluster,
  clients: CronClients,
  judge: CronJudge,
  { hours, schedules, isCalm = false }: CronHours,
): void {
  const { plan, time } = cluster;
  const end = hours * 60 * minuteUs;
  const calmFrom = end - calmUs;
  const at = (when: number, what: () => void): void => void time.after(when - time.now, undefined, what);
  judge.trouble(minuteUs);
  cluster.found();
  if (plan.timing !== undefined) cluster.setTiming(plan.timing);
  for (const number of [1, 2]) at(number * 2 * secondUs, () => cluster.join());
  at(20 * secondUs, () => clients.begin(schedules));
  if (!isCalm) disturbAll(cluster, clients, judge, end);
  at(calmFrom, () => clients.end());
  time.runUntil(end, () => cluster.isOver);
  if (cluster.isOver) return;
  judge.judge();
  for (const host of cluster.nodesUp())
    if (!cluster.isOver) host.state.view((tx) => judge.judgeState(host.id, host.process!.node.applied, tx));
}

/** Members that come and go, troubles, clocks that are set, and people who change things, until some minutes before the end. */
function disturbAll(cluster: Cluster, clients: CronClients, judge: CronJudge, end: number): void {
  const { plan, time } = cluster;
  const random = stream(plan.seed, "cron troubles");
  const calmFrom = end - calmUs;
  const at = (when: number, what: () => void): void => void time.after(when - time.now, undefined, what);
  for (const more of [0, 1, 2])
    at(end * 0.3 + more * 10 * secondUs, () => {
      judge.trouble(10 * secondUs);
      cluster.join();
    });
  for (const more of [0, 1, 2])
    at(end * 0.65 + more * 20 * secondUs, () => {
      judge.trouble(30 * secondUs);
      shrink(cluster);
    });
  for (const share of [0.2, 0.5, 0.8])
    at(end * share + random() * 5 * minuteUs, () =>
      darken(cluster, judge, 20 * secondUs + random() * random() * 25 * minuteUs),
    );
  const troubles = (): void => {
    if (time.now > calmFrom) return;
    const kind = kinds[Math.floor(random() * kinds.length)]!;
    const lasts = Math.floor(random() * random() * (random() < 0.1 ? 1_800 : 40) * secondUs);
    // Somebody is down for 12 s at most, and comes back.
    judge.trouble(lasts + 15 * secondUs);
    disturb(cluster, {
      at: time.now,
      kind,
      lasts: Math.min(lasts, 30 * minuteUs),
      draws: Array.from({ length: 6 }, () => random()),
    });
    time.after(randomInteger(random, 180, 900) * secondUs, undefined, troubles);
  };
  at(5 * minuteUs, troubles);
  const steps = (): void => {
    if (time.now > calmFrom - 10 * minuteUs) return;
    setWrong(cluster, judge, Math.round((random() - 0.5) * (random() < 0.5 ? 20_000 : 7_200_000)), random());
    time.after(randomInteger(random, 12, 40) * minuteUs, undefined, steps);
  };
  at(11 * minuteUs, steps);
  const changes = (): void => {
    if (time.now > calmFrom) return;
    clients.change();
    time.after(
      random() < 0.3 ? random() * 3 * secondUs : randomInteger(random, 20, 240) * secondUs,
      undefined,
      changes,
    );
  };
  at(2 * minuteUs, changes);
}

/** Nobody has power for so long (µs): what was due meanwhile is missed. */
function darken(cluster: Cluster, judge: CronJudge, lasts: number): void {
  judge.trouble(lasts + 15 * secondUs);
  cluster.count("darkened");
  cluster.note(`all are without power for ${Math.round(lasts / secondUs)} s`);
  for (const host of cluster.nodesUp()) {
    host.crash("power-loss");
    cluster.time.after(lasts, undefined, () => {
      if (!host.gone && !host.removed && !host.isUp) host.start();
    });
  }
}

/** One of the members goes for good, in good order but for its leaving. */
function shrink(cluster: Cluster): void {
  const host = cluster.nodesUp().findLast((one) => cluster.canSpare((node) => node === one.id));
  if (host === undefined || cluster.live.length <= 3) return;
  cluster.note(`node ${host.id} is removed`);
  cluster.effects.givesUp(host.id);
  removeUntilDone(cluster, host.id);
  cluster.time.after(15 * secondUs, undefined, () => {
    if (!host.gone) host.wipe();
  });
}

/** One clock alone, for some minutes: then somebody sets it right. */
function setWrong(cluster: Cluster, judge: CronJudge, ms: number, draw: number): void {
  const up = cluster.nodesUp();
  const host = draw < 0.4 ? cluster.leader() : up[Math.floor(draw * up.length)];
  if (host === undefined) return;
  cluster.note(`the clock of node ${host.id} is set by ${ms} ms`);
  cluster.count("clocksSet");
  judge.trouble(6 * minuteUs);
  host.stepClock(ms);
  cluster.time.after(5 * minuteUs, undefined, () => {
    if (!host.gone) host.stepClock(-ms);
  });
}
