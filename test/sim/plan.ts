import { randomInteger, seededRandom, type Random } from "../../src/lib/prng.ts";
import { relayLimits, type RelayLimits } from "../../src/node/relay-tree.ts";
import type { NetworkProfile } from "./network.ts";
import type { Room } from "./room-judge.ts";

/**
 * What a seed stands for, drawn before anything runs: how the cluster, its network, disks and clocks are, and which faults come when. Each
 * subject has its own stream of chance, so that what is taken out of one leaves the others as they were (which is what makes shrinking work).
 */

export const faultKinds = [
  "crash",
  "crash-in-step",
  "power-loss",
  "restart",
  "freeze",
  "stall",
  "freeze-host",
  "guard-kill",
  "disk-stall",
  "disk-error",
  "disk-full",
  "bit-flip",
  "slow-apply",
  "clock-step",
  "isolate",
  "halves",
  "random-cuts",
  "one-way",
  "bridge",
  "swizzle",
  "clog",
  "transfer",
  "join",
  "remove",
  "promote",
  "demote",
  "resize",
  "drain",
  "undrain",
  "wipe",
  "move",
  "upgrade",
  "power-loss-of-all",
  "depose",
  "away",
  "diverge",
  "misdirect",
  "lose",
] as const;
export type FaultKind = (typeof faultKinds)[number];

/** One trouble. Numbers in [0, 1) choose its targets when its time has come. */
export interface FaultEvent {
  /** µs. */
  readonly at: number;
  readonly kind: FaultKind;
  /** µs; how long it lasts, where it lasts. */
  readonly lasts: number;
  readonly draws: readonly number[];
}

export interface Plan {
  readonly seed: number;
  readonly isCalm: boolean;
  readonly hosts: number;
  readonly votersWanted: number;
  /** Members come one after the other while the troubles are on. */
  readonly growsSlowly: boolean;
  /** Set by a command once there is a cluster. */
  readonly timing: { readonly heartbeatMs: number; readonly electionTimeoutMs: number } | undefined;
  readonly clients: number;
  /** undefined: as many as are usual. */
  readonly operations: number | undefined;
  /** µs of trouble; then everything outside of a core stays broken. */
  readonly duration: number;
  readonly network: NetworkProfile;
  readonly disks: readonly { readonly syncMin: number; readonly syncMean: number }[];
  readonly applyMean: number;
  readonly rates: readonly number[];
  readonly wallOffsets: readonly number[];
  readonly slots: readonly number[];
  readonly zones: number;
  /** Learners beyond so many are fed by other members, so many by each. */
  readonly relay: RelayLimits;
  /** Hosts that begin with the level before the newest one. */
  readonly oldHosts: number;
  readonly limits: Readonly<Record<string, number>>;
  readonly trailingEntries: number;
  readonly faults: readonly FaultEvent[];
  /** Part of the jobs run under the guard (the others are no-ops of the node). */
  readonly guarded: number;
  /** log.db is a real file. */
  readonly realFiles: boolean;
}

/** Virtual seconds of trouble: 20,000 ticks. */
const usualSeconds = 200;

/** A generator of its own for each subject. */
export function stream(seed: number, subject: string): Random {
  let mixed = seed >>> 0;
  for (let at = 0; at < subject.length; at++) mixed = Math.imul(mixed ^ subject.charCodeAt(at), 0x01000193) >>> 0;
  return seededRandom(mixed);
}

export interface PlanOptions {
  readonly operations?: number;
  /** Virtual seconds of trouble. */
  readonly seconds?: number;
  readonly hosts?: number;
  /** Places in the list of faults that are kept; undefined: all. */
  readonly keep?: readonly number[];
  /** A network that is fast and loses nothing, and nobody is left to their fate in the end. */
  readonly calm?: boolean;
}

function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[Math.floor(random() * items.length)]!;
}

const calmNetwork: NetworkProfile = {
  delayMin: 100,
  delayMean: 500,
  loss: 0,
  duplicate: 0,
  capacity: 2000,
  encodes: false,
};

/** Everything that a seed decides. */
export function planOf(seed: number, options: PlanOptions = {}): Plan {
  const topology = stream(seed, "topology");
  const votersWanted = pick(topology, [1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 7]);
  const learners = pick(topology, [0, 0, 0, 1, 1, 2, 3]);
  const drawn = Math.max(1, Math.min(8, votersWanted + (votersWanted > 5 ? 0 : learners) - (topology() < 0.1 ? 1 : 0)));
  const hosts = options.hosts ?? drawn;
  const growsSlowly = topology() < 0.3;
  const zones = topology() < 0.5 ? 0 : randomInteger(topology, 2, 3);
  const oldHosts = topology() < 0.3 ? randomInteger(topology, 1, hosts) : 0;
  const clients = randomInteger(topology, 1, 16);
  const heartbeatMs = 10 * randomInteger(topology, 5, 15);
  const electionTimeoutMs = Math.min(2000, heartbeatMs * randomInteger(topology, 8, 20));
  const timing = topology() < 0.35 && oldHosts === 0 ? { heartbeatMs, electionTimeoutMs } : undefined;
  const relay =
    topology() < 0.5
      ? { ...relayLimits, directLearners: randomInteger(topology, 0, 1), fanOut: randomInteger(topology, 1, 3) }
      : relayLimits;
  // Files cost more than a model of them.
  const realFiles = topology() < 0.15 && hosts <= 3;
  const seconds = Math.min(usualSeconds, options.seconds ?? usualSeconds);

  const net = stream(seed, "net");
  const fast = net() < 0.5;
  const drawnNetwork: NetworkProfile = {
    delayMin: fast ? 100 : randomInteger(net, 100, 30_000),
    delayMean: fast ? randomInteger(net, 50, 1000) : Math.round(1000 * 100 ** net()),
    loss: net() < 0.6 ? 0 : net() * net() * 0.3,
    duplicate: net() < 0.6 ? 0 : net() * 0.3,
    capacity: net() < 0.3 ? randomInteger(net, 2, 20) : 2000,
    encodes: net() < 0.25,
  };

  const isCalm = options.calm === true;
  const network = isCalm ? calmNetwork : drawnNetwork;

  const disk = stream(seed, "disk");
  const slowDisks = disk() < 0.25;
  const disks = Array.from({ length: 24 }, () => ({
    syncMin: 100,
    syncMean: slowDisks ? randomInteger(disk, 1000, 40_000) : randomInteger(disk, 100, 3000),
  }));

  const clock = stream(seed, "clock");
  const drifts = clock() < 0.5;
  const rates = Array.from({ length: 24 }, () => (drifts ? 1 + (clock() - 0.5) * 0.1 : 1));
  const wallOffsets = Array.from({ length: 24 }, () =>
    clock() < 0.8 ? (clock() - 0.5) * 2000 : (clock() - 0.5) * 60_000,
  );

  const sizes = stream(seed, "sizes");
  const shrunk = (share: number, low: number, high: number): number | undefined =>
    sizes() < share ? randomInteger(sizes, low, high) : undefined;
  const chosen: Record<string, number | undefined> = {
    inflightAppends: shrunk(0.4, 1, 4),
    appendMessageBytes: shrunk(0.3, 200, 4000),
    logWindowBytes: shrunk(0.5, 500, 20_000),
    logRestoreBytes: shrunk(0.5, 200, 20_000),
    uncommittedBytes: shrunk(0.2, 4000, 40_000),
    unappliedBytes: shrunk(0.25, 2000, 20_000),
    entryBatchBytes: shrunk(0.25, 500, 4000),
    commandsPerEntry: shrunk(0.25, 1, 4),
    applyBatchCommands: shrunk(0.3, 1, 4),
    snapshotChunkBytes: shrunk(0.6, 1024, 65_536) ?? 65_536,
    snapshotChunksInFlight: shrunk(0.3, 1, 3),
    checkpointEveryMs: shrunk(0.7, 100, 2000),
    pendingReads: shrunk(0.1, 2, 4),
    promoteLagEntries: shrunk(0.2, 1, 10),
    assignLagEntries: shrunk(0.2, 5, 50),
    assignmentsPerEntry: shrunk(0.2, 1, 3),
    rpcTimeoutMs: shrunk(0.3, 500, 3000),
  };
  const gates = stream(seed, "gate limits");
  chosen["releasesPerCommand"] = gates() < 0.3 ? randomInteger(gates, 1, 3) : undefined;
  const limits: Record<string, number> = {};
  for (const [name, value] of Object.entries(chosen)) if (value !== undefined) limits[name] = value;
  const trailingEntries = sizes() < 0.75 ? randomInteger(sizes, 1, 64) : 1000;

  const work = stream(seed, "work");
  const slots = Array.from({ length: 24 }, () => randomInteger(work, 1, 6));
  const guarded = work() < 0.15 ? 0 : work();
  const duration = seconds * 1_000_000;
  // Drawn for the usual duration: a shorter run is the beginning of the longer one.
  const all = faultsOf(seed, usualSeconds * 1_000_000, votersWanted);
  const kept = options.keep === undefined ? all : options.keep.map((place) => all[place]!);
  const faults = kept.filter(({ at }) => at < duration);
  return {
    seed,
    isCalm,
    hosts,
    votersWanted,
    growsSlowly,
    timing,
    clients,
    operations: options.operations,
    duration,
    network,
    disks,
    applyMean: sizes() < 0.2 ? randomInteger(sizes, 1000, 15_000) : randomInteger(sizes, 50, 1000),
    rates,
    wallOffsets,
    slots,
    zones,
    relay,
    oldHosts,
    limits,
    trailingEntries,
    faults,
    guarded,
    realFiles,
  };
}

/** Some kinds are left out of each seed: what is always there hides what is rare. */
function faultsOf(seed: number, duration: number, votersWanted: number): FaultEvent[] {
  const random = stream(seed, "faults");
  const enabled = drawnKinds.filter((kind) => random() < (rareKinds.has(kind) ? 0.35 : 0.6));
  const kinds = enabled.length === 0 ? ["crash" as const] : enabled;
  const always = kinds.filter((kind) => sureKinds.has(kind));
  const sure: readonly FaultKind[] = always.length === 0 ? [...sureKinds] : always;
  const count = randomInteger(random, 6, 24);
  const events: FaultEvent[] = [];
  // An election timeout is 600 ms.
  const scale = random() < 0.5 ? 6_000_000 : 20_000_000;
  for (let place = 0; place < count; place++) {
    // The first ones find a target in any cluster that has a node.
    const from = place < 5 ? sure : kinds;
    const kind = from[Math.floor(random() * from.length)]!;
    const at = 12_000_000 + Math.floor(random() * (duration - 24_000_000));
    const lasts = Math.floor(60_000 + random() * random() * scale);
    const draws = Array.from({ length: 6 }, () => random());
    if (kind === "power-loss-of-all" && votersWanted === 1 && random() < 0.5) continue;
    events.push({ at, kind, lasts, draws });
  }
  // Drawn apart: few, and in nearly every run, since what they look for is seldom met by chance.
  const aimed = stream(seed, "aimed faults");
  for (const kind of aimedKinds) {
    const times = randomInteger(aimed, 0, 2);
    for (let place = 0; place < times; place++) {
      const at = 15_000_000 + Math.floor(aimed() * (duration - 35_000_000));
      const lasts = Math.floor(1_000_000 + aimed() * (kind === "away" ? 13_000_000 : 2_000_000));
      events.push({ at, kind, lasts, draws: Array.from({ length: 6 }, () => aimed()) });
    }
  }
  // Drawn apart as well: by its nature it excuses some of what is judged, so that the others go without it.
  const odd = stream(seed, "odd states");
  const times = odd() < 0.5 ? randomInteger(odd, 1, 3) : 0;
  for (let place = 0; place < times; place++) {
    const at = 15_000_000 + Math.floor(odd() * (duration - 35_000_000));
    const lasts = Math.floor(1_000_000 + odd() * 5_000_000);
    events.push({ at, kind: "diverge", lasts, draws: Array.from({ length: 6 }, () => odd()) });
  }
  // Of use with real files alone, which few seeds have.
  const lie = stream(seed, "misdirected");
  for (let place = randomInteger(lie, 0, 2); place > 0; place--) {
    const at = 15_000_000 + Math.floor(lie() * (duration - 35_000_000));
    events.push({ at, kind: "misdirect", lasts: 0, draws: Array.from({ length: 6 }, () => lie()) });
  }
  // It takes a voter out of play for the rest of the run, which much else then has to spare.
  const dead = stream(seed, "dead for good");
  for (let place = randomInteger(dead, -1, votersWanted > 3 ? 2 : 1); place > 0; place--) {
    const at = 15_000_000 + Math.floor(dead() * (duration - 60_000_000));
    const lasts = Math.floor(20_000_000 + dead() * 60_000_000);
    events.push({ at, kind: "lose", lasts, draws: Array.from({ length: 6 }, () => dead()) });
  }
  return events.sort((a, b) => a.at - b.at);
}

/**
 * depose: a leader is cut off or stands still, is asked for reads meanwhile and right after, and others are written through. away: who has work under
 * way is not heard of, for longer than a lease or not.
 */
const aimedKinds = ["depose", "away"] as const satisfies readonly FaultKind[];
const apart: ReadonlySet<FaultKind> = new Set<FaultKind>([...aimedKinds, "diverge", "misdirect", "lose"]);
const drawnKinds = faultKinds.filter((kind) => !apart.has(kind));

const sureKinds: ReadonlySet<FaultKind> = new Set([
  "crash",
  "crash-in-step",
  "power-loss",
  "restart",
  "freeze",
  "stall",
  "guard-kill",
  "disk-stall",
  "slow-apply",
]);

const rareKinds: ReadonlySet<FaultKind> = new Set(["wipe", "move", "resize", "bit-flip", "freeze-host", "disk-error"]);

/** What the host of that number has. */
export function roomOf(plan: Plan, number: number): Room {
  return { slots: plan.slots[number % plan.slots.length]!, licenses: 1 + (number % 2) };
}
