import type { NodeId } from "../../src/lib/ids.ts";
import { quorumReached } from "../../src/raft/quorum.ts";
import type { Clients } from "./clients.ts";
import { type Cluster, operator } from "./cluster.ts";
import type { Host } from "./host.ts";

/**
 * The end of a run. A core is drawn that has a quorum of every configuration in any log; it works from now on, and whatever is wrong
 * outside of it stays wrong for good: nodes that are down, frozen, cut off, or only half connected. The core must elect, serve, converge and finish
 * all work. Where it does not, the wait that never ends is named.
 */

const second = 1_000_000;

/** Seconds that each wait may take at most: far more than is needed, since only "never" is a fault. */
const patience = { leader: 60, write: 60, members: 120, jobs: 420, converged: 60 } as const;

/** Runs the last phase; problems are told to the cluster. */
export function settle(cluster: Cluster, clients: Clients): void {
  const core = chooseCore(cluster);
  heal(cluster, core);
  const { time } = cluster;
  const waitFor = (what: string, seconds: number, isThere: () => boolean, stuck: () => string): boolean => {
    const end = time.now + seconds * second;
    let next = 0;
    let there = false;
    time.runUntil(end, () => {
      if (cluster.isOver) return true;
      if (time.now < next) return false;
      next = time.now + 100_000;
      there = isThere();
      return there;
    });
    if (!there && !cluster.isOver) cluster.fail(`liveness: ${what} is waited for in vain: ${stuck()}`);
    if (there) cluster.note(`reached: ${what}`);
    return there;
  };
  const isCore = (host: Host | undefined): host is Host => host !== undefined && core.includes(host);
  const led = waitFor(
    "a leader in the core",
    patience.leader,
    () => isCore(cluster.leader()) && hasFollowers(cluster, core),
    () => describe(cluster, core),
  );
  if (!led) return;
  if (!serves(cluster, core, waitFor)) return;
  const open = (): string[] => {
    const host = isCore(cluster.leader()) ? cluster.leader() : core[0];
    return host?.process?.node.isLeading === true ? host.state.view((tx) => clients.unfinished(tx)) : ["no leader"];
  };
  const ended = waitFor(
    "the end of every acknowledged job",
    patience.jobs,
    () => clients.isDone && open().length === 0,
    () => `${open().join(", ")}; ${describe(cluster, core)}`,
  );
  if (!ended) return;
  const applied = (): number[] =>
    core.filter((host) => isMember(cluster, host)).map((host) => host.process?.node.applied ?? -1);
  const converged = waitFor(
    "equal states",
    patience.converged,
    () =>
      new Set(applied()).size === 1 &&
      new Set(core.filter((host) => isMember(cluster, host)).map((host) => host.state.place.hash)).size === 1,
    () => `applied ${applied().join(" ")}; ${describe(cluster, core)}`,
  );
  if (!converged) return;
  for (const host of core) if (isMember(cluster, host)) host.state.view((tx) => clients.judgeEnd(host.id, tx));
}

/** Random nodes, until they are a quorum whatever the configuration turns out to be. */
function chooseCore(cluster: Cluster): Host[] {
  const random = cluster.random("core");
  const usable = cluster.live.filter((host) => !host.removed);
  const order = usable.map((host) => ({ host, draw: random() + (host.disk.file.repair === undefined ? 0 : 2) }));
  order.sort((a, b) => a.draw - b.draw);
  const core: Host[] = [];
  const configurations = cluster.judge.configurations().filter(({ voters }) => voters.length > 0);
  const isEnough = (): boolean => {
    const have = (node: NodeId): number =>
      core.some((host) => host.id === node && host.disk.file.repair === undefined) ? 1 : 0;
    return configurations.every((configuration) => quorumReached(configuration, { reached: have }) === 1);
  };
  for (const { host } of order) {
    if (isEnough() && core.length > 0) break;
    core.push(host);
  }
  return core;
}

function heal(cluster: Cluster, core: readonly Host[]): void {
  const { network, time } = cluster;
  const random = cluster.random("outside");
  const numbers = core.map((host) => host.number);
  network.healAll();
  network.settled = true;
  cluster.note(`core: nodes ${core.map((host) => host.id).join(" ")}`);
  for (const host of cluster.live) {
    if (core.includes(host)) {
      host.disk.stalledUntil = 0;
      host.disk.fullUntil = 0;
      host.disk.failing = false;
      host.crashAfter = Infinity;
      host.state.slowUntil = 0;
      host.state.fullUntil = 0;
      host.freeze(Math.min(host.process?.runner.frozenUntil ?? 0, time.now), false);
      host.guard.runner.frozenUntil = Math.min(host.guard.runner.frozenUntil, time.now);
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

function isMember(cluster: Cluster, host: Host): boolean {
  const { voters, learners } = cluster.configuration();
  return !host.gone && !host.removed && (voters.includes(host.id) || learners.includes(host.id));
}

function hasFollowers(cluster: Cluster, core: readonly Host[]): boolean {
  const leader = cluster.leader();
  if (leader === undefined) return false;
  const { term } = leader.process!.node.consensus;
  return core.every(
    (host) => !isMember(cluster, host) || host.process === undefined || host.process.node.consensus.term >= term,
  );
}

/** A write through each node of the core; drained nodes work again. */
function serves(
  cluster: Cluster,
  core: readonly Host[],
  waitFor: (what: string, seconds: number, isThere: () => boolean, stuck: () => string) => boolean,
): boolean {
  for (const host of core) {
    let done = false;
    const go = (): void => {
      if (done) return;
      if (!isMember(cluster, host)) {
        done = true;
        return;
      }
      cluster.time.after(500_000, undefined, go);
      const { process } = host;
      if (process === undefined) return;
      cluster
        .ask(host, 10_000_000, () => process.node.propose("node.undrain", { node: host.id }, operator))
        .answered((outcome) => {
          if (outcome?.ok === true || outcome?.why.code === "not-found") done = true;
        });
    };
    go();
    if (
      !waitFor(
        `a write through node ${host.id}`,
        patience.write,
        () => done,
        () => describe(cluster, core),
      )
    )
      return false;
  }
  return true;
}

/** How each node sees things, for whoever looks for the reason. */
export function describe(cluster: Cluster, core: readonly Host[]): string {
  return cluster.hosts
    .filter((host) => !host.gone)
    .map((host) => {
      const where = core.includes(host) ? "" : " (outside)";
      const view = host.process?.node.consensus;
      if (view === undefined) return `node ${host.id}${where} down${host.removed ? ", removed" : ""}`;
      const { voters, outgoing, learners } = view.configuration;
      const joint = outgoing.length === 0 ? "" : ` joint with ${outgoing.join(",")}`;
      return `node ${host.id}${where} ${view.role} term ${view.term} leader ${view.leader} commit ${view.commit} last ${view.lastIndex} base ${view.baseIndex} applied ${host.process!.node.applied} voters ${voters.join(",")}${joint} learners ${learners.join(",")}${view.isRepairing ? " repairing" : ""}`;
    })
    .join("; ");
}
