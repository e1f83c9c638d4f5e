import type { NodeId } from "../../src/lib/ids.ts";
import { quorumReached } from "../../src/raft/quorum.ts";
import type { Configuration } from "../../src/raft/types.ts";
import { clusterRow, stateClock } from "../../src/state/queries.ts";
import type { Cluster } from "./cluster.ts";
import type { Host } from "./host.ts";

/** A clock that is further behind than the clocks of a run are from the beginning was set wrong in it. */
const farBehindMs = 60_000;

/** Two quorum checks of the longest election timeout that a plan draws, by a clock that drifts (µs). */
export const noticedAfterUs = 4_500_000;

/** Those that work from now on, while whatever is wrong outside of them stays wrong for good. */
export class Core {
  readonly #cluster: Cluster;
  readonly hosts: Host[];
  /** When (µs) everybody else was left to their fate. */
  readonly #since: number;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.hosts = chooseHosts(cluster);
    this.#since = cluster.time.now;
    heal(cluster, this.hosts);
  }

  /**
   * No leader begins a change to voters most of whom it does not hear, and it knows that after two quorum checks. Who has gone in that time may be among
   * them: such a change waits, and goes on once a majority of both sides is back: so those are back. Whoever is chosen later must be there.
   */
  takeBackAwaited(): void {
    if (this.#cluster.time.now > this.#since + noticedAfterUs) return;
    const isOf = (node: NodeId): boolean => this.hosts.some((host) => host.id === node);
    for (const configuration of this.hosts.flatMap((host) => configurationsOf(host))) {
      if (isQuorumOf(configuration, isOf)) continue;
      const awaited = this.#cluster.hosts.filter(({ id, disk }) => {
        const { voters, outgoing } = configuration;
        return !isOf(id) && disk.file.repair === undefined && (voters.includes(id) || outgoing.includes(id));
      });
      const back = awaited.filter((host) => !host.removed && !host.isLost);
      if (back.length === 0) continue;
      this.#cluster.count("awaitedBack");
      this.#cluster.note(`back, because a change waits for them: nodes ${back.map(({ id }) => id).join(" ")}`);
      for (const host of back) {
        host.gone = false;
        host.deadSince = undefined;
        this.hosts.push(host);
      }
      heal(this.#cluster, this.hosts);
      return;
    }
  }
}

/** Every configuration in that node's log, the newest of which may not be synced yet. */
function configurationsOf({ disk }: Host): readonly Configuration[] {
  return disk.file.configurations().filter(({ voters }) => voters.length > 0);
}

function isQuorumOf(configuration: Configuration, has: (node: NodeId) => boolean): boolean {
  return quorumReached(configuration, { reached: (node) => (has(node) ? 1 : 0) }) === 1;
}

/** Random nodes, until they are a quorum whatever the configuration turns out to be. */
function chooseHosts(cluster: Cluster): Host[] {
  const random = cluster.random("core");
  const usable = cluster.live.filter((host) => !host.removed);
  if (cluster.plan.isCalm) return usable;
  // Who is dead comes last: only where a change that waits for it was begun before its leader could know.
  const late = (host: Host): number =>
    (host.disk.file.repair === undefined ? 0 : 2) + (host.deadSince === undefined ? 0 : 4);
  const order = usable.map((host) => ({ host, draw: random() + late(host) }));
  order.sort((a, b) => a.draw - b.draw);
  const core: Host[] = [];
  const configurations = cluster.judge.configurations().filter(({ voters }) => voters.length > 0);
  const isEnough = (): boolean => {
    const have = (node: NodeId): boolean =>
      core.some((host) => host.id === node && host.disk.file.repair === undefined && !host.isOdd);
    return configurations.every((configuration) => isQuorumOf(configuration, have));
  };
  for (const { host } of order) {
    if (isEnough() && core.length > 0) break;
    if (host.deadSince !== undefined) cluster.count("deadAwaited");
    host.deadSince = undefined;
    core.push(host);
  }
  // A wrong state is to be found and replaced, if those who are right can reach it.
  for (const host of usable) if (host.isOdd && !core.includes(host) && random() < 0.8) core.push(host);
  return core;
}

function heal(cluster: Cluster, core: readonly Host[]): void {
  const { network, time } = cluster;
  const random = cluster.random("outside");
  const numbers = core.map((host) => host.number);
  network.healAll();
  network.settled = true;
  cluster.note(`core: nodes ${core.map((host) => host.id).join(" ")}`);
  // Nor is there a way back for the log's own time, where one voter alone had a clock that was far ahead: deadlines wait until it is reached.
  const clocks = core.map((host) => host.state.view((tx) => (clusterRow(tx) === undefined ? 0 : stateClock(tx))));
  const logAheadMs = Math.max(...clocks) - time.wallMs();
  const aheadMs = logAheadMs > farBehindMs ? logAheadMs : 0;
  for (const host of cluster.live) {
    if (core.includes(host)) {
      host.disk.stalledUntil = 0;
      host.disk.fullUntil = 0;
      host.disk.failing = false;
      host.crashAfter = Infinity;
      host.state.heal();
      host.onQuarantined = () => {};
      // As a person does: one voter alone has no other clock to ask, and who waits for an instant would wait until this one has come as far again.
      if (host.wallOffsetMs < aheadMs - farBehindMs) host.stepClock(aheadMs - host.wallOffsetMs);
      if (host.process !== undefined) time.thaw(host.process.runner);
      time.thaw(host.guard.runner);
      continue;
    }
    const draw = random();
    cluster.note(
      `outside: node ${host.id} ${draw < 0.35 ? "is down" : draw < 0.7 ? "hears nobody or is not heard" : "is cut off"}`,
    );
    if (draw < 0.35) {
      host.gone = true;
      host.crash("power-loss");
      continue;
    }
    for (const other of cluster.hosts) {
      const out = draw < 0.5 || draw >= 0.7;
      const into = (draw >= 0.5 && draw < 0.7) || draw >= 0.7;
      if (numbers.includes(other.number)) {
        if (out) network.cut(host.number, other.number, false);
        if (into) network.cut(other.number, host.number, false);
      }
    }
  }
  for (const host of core) if (!host.isUp) host.start();
}
