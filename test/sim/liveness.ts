import { replaceable } from "./change-judge.ts";
import type { Clients } from "./clients.ts";
import { type Cluster, operator } from "./cluster.ts";
import { Core } from "./core.ts";
import { EveryoneWorks } from "./everyone-works.ts";
import type { Host } from "./host.ts";
import { comparesAfter } from "./operators.ts";

/**
 * The end of a run. A core is drawn that has a quorum of every configuration in any log; it works from now on, and whatever is wrong
 * outside of it stays wrong for good: nodes that are down, frozen, cut off, or only half connected. The core must elect, serve, converge and finish
 * all work. Where it does not, the wait that never ends is named.
 */

const second = 1_000_000;

/**
 * Seconds that each wait may take at most: far more than is needed, since only "never" is a fault. A write waits for its node's state, and by pieces of a
 * kilobyte through a slow network each takes most of a minute, one node after the other; a learner may need several of them while work goes on (seed 1339977219).
 */
const patience = { leader: 60, write: 600, members: 120, jobs: 420, converged: 60 } as const;

/**
 * Seconds for the work of all jobs together, of which flurries leave a thousand: over a slow network each takes a second, and two nodes with a slot each are all there may be left.
 * What is queued is work that cannot grow any more, so whoever does some of it comes to its end.
 */
const workTime = 3600;

/** A wait for more than a slow cluster may do in the time of one: its seconds are counted anew whenever something of it is done, up to so many together. */
interface Progress {
  /** It grows with what is done and cannot be done again. */
  readonly done: () => number;
  readonly atMost: number;
}

type WaitFor = (
  what: string,
  seconds: number,
  isThere: () => boolean,
  stuck: () => string,
  progress?: Progress,
) => boolean;

/** Runs the last phase; problems are told to the cluster. */
export function settle(cluster: Cluster, clients: Clients): void {
  const chosen = new Core(cluster);
  const core = chosen.hosts;
  const { time } = cluster;
  const waitFor: WaitFor = (what, seconds, isThere, stuck, progress) => {
    let end = time.now + seconds * second;
    let done = progress?.done() ?? 0;
    let next = 0;
    let there = false;
    time.runUntil(progress === undefined ? end : time.now + progress.atMost * second, () => {
      if (cluster.isOver || time.now > end) return true;
      if (time.now < next) return false;
      next = time.now + 100_000;
      chosen.takeBackAwaited();
      there = isThere();
      const before = done;
      done = progress?.done() ?? 0;
      if (done > before) end = time.now + seconds * second;
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
  if (!areRight(cluster, core, waitFor)) return;
  if (!serves(cluster, core, waitFor)) return;
  /** Leads, and its state is right. */
  const witness = (): Host | undefined => {
    const host = isCore(cluster.leader()) ? cluster.leader() : core[0];
    return host?.process?.node.isLeading === true && !host.isOdd ? host : undefined;
  };
  const open = (): string[] => witness()?.state.view((tx) => clients.unfinished(tx)) ?? ["no leader"];
  const called = waitFor(
    "the last call of every client",
    clients.longestRest,
    () => clients.isDone,
    () => describe(cluster, core),
  );
  if (!called) return;
  const ended = waitFor(
    "the end of every acknowledged job",
    patience.jobs,
    () => {
      const host = witness();
      if (host !== undefined) {
        clients.gated.releaseLate(host);
        clients.batched.approveAt(host);
      }
      return open().length === 0;
    },
    () => `${open().join(", ")}; ${describe(cluster, core)}`,
    { done: () => cluster.effects.endedForGood, atMost: workTime },
  );
  if (!ended) return;
  const applied = (): number[] =>
    core.filter((host) => isMember(cluster, host)).map((host) => host.process?.node.applied ?? -1);
  const wild = (): string[] => core.flatMap((host) => cluster.effects.wildOn(host.number));
  if (cluster.effects.wild > 0) {
    const what = "the end of what wrong states began";
    if (
      !waitFor(
        what,
        patience.members,
        () => wild().length === 0,
        () => wild().join(", "),
      )
    )
      return;
  }
  const replaced = waitFor(
    "living voters in place of dead ones",
    patience.members,
    () => replaceable(cluster, core) === undefined,
    () => `${replaceable(cluster, core)}; ${describe(cluster, core)}`,
  );
  if (!replaced) return;
  const everyone = new EveryoneWorks(cluster, () => core.filter((host) => isMember(cluster, host)));
  const working = waitFor(
    "work for every node",
    patience.jobs,
    () => everyone.idle().length === 0,
    () => `none for node ${everyone.idle().join(", ")}; ${describe(cluster, core)}`,
  );
  if (!working) return;
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

function isMember(cluster: Cluster, host: Host): boolean {
  // Who is to be a learner is none yet while the change goes on.
  const { voters, outgoing, learners } = cluster.configuration();
  return !host.gone && !host.removed && [voters, outgoing, learners].some((ids) => ids.includes(host.id));
}

function hasFollowers(cluster: Cluster, core: readonly Host[]): boolean {
  const leader = cluster.leader();
  if (leader === undefined) return false;
  const { term } = leader.process!.node.consensus;
  return core.every(
    (host) => !isMember(cluster, host) || host.process === undefined || host.process.node.consensus.term >= term,
  );
}

/** Every wrong state is found and replaced: by the entries that touch what is wrong, so there are some. */
function areRight(cluster: Cluster, core: readonly Host[], waitFor: WaitFor): boolean {
  const odd = (): Host[] => core.filter((host) => isMember(cluster, host) && host.isOdd);
  if (odd().length === 0) return true;
  const go = (): void => {
    if (odd().length === 0) return;
    cluster.time.after(1_000_000, undefined, go);
    const host = core.find((one) => one.isUp && !one.isOdd);
    if (host?.process === undefined) return;
    const { node } = host.process;
    const jobs = [{ driver: "noop" as const, ttlMs: 86_400_000 }];
    cluster.ask(host, 10_000_000, () => node.propose("job.submit", { jobs, digest: "touch" }, operator));
  };
  go();
  cluster.time.after(comparesAfter, undefined, () => stopUndecided(cluster, odd()));
  cluster.time.after(30 * second, undefined, () => restartUnseen(cluster, odd()));
  const told = (): string =>
    odd()
      .map((host) => `node ${host.id} (${host.state.odd?.kind ?? "right"}${host.isQuarantined ? ", quarantined" : ""})`)
      .join(", ");
  return waitFor(
    "the right state in every node",
    patience.members,
    () => odd().length === 0,
    () => `${told()}; ${describe(cluster, core)}`,
  );
}

/**
 * No quorum says which state is right, because somebody lacks one and is given none meanwhile: people stop the wrong node for as long as it takes. A right one
 * leads then, gives its state to who lacks it, and both know better when the wrong one is back.
 */
function stopUndecided(cluster: Cluster, odd: readonly Host[]): void {
  const isOpen = (id: number): boolean =>
    cluster.hosts.some((host) =>
      host.process?.node.status().undecided?.groups.some((group) => group.some((one) => one === id)),
    );
  for (const host of odd) {
    if (!host.isUp || host.isQuarantined || !isOpen(host.id)) continue;
    cluster.note(`an operator stops node ${host.id} for a while, whose state is wrong`);
    cluster.count("stoppedUndecided");
    host.crash("stopped");
    cluster.time.after(10 * second, undefined, () => {
      if (!host.isUp && !host.gone && !host.removed) host.start();
    });
  }
}

/**
 * What a node runs is compared with its state when it starts. Where the row of a task that only that node would touch was changed behind its back, nobody else comes by: its job
 * hangs, and people start the node again.
 */
function restartUnseen(cluster: Cluster, odd: readonly Host[]): void {
  for (const host of odd) {
    if (!host.isUp || host.isQuarantined || host.state.odd?.kind !== "attempt") continue;
    cluster.note(`an operator starts node ${host.id} again, on which a job hangs`);
    cluster.count("restartedUnseen");
    host.crash("stopped");
    cluster.time.after(second, undefined, () => {
      if (!host.isUp && !host.gone && !host.removed) host.start();
    });
  }
}

/** A write through each node of the core; drained nodes work again. */
function serves(cluster: Cluster, core: readonly Host[], waitFor: WaitFor): boolean {
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
