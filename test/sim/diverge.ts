import { hashLevel } from "../../src/state/levels.ts";
import { clusterRow } from "../../src/state/queries.ts";
import { type Cluster, operator } from "./cluster.ts";
import type { Host } from "./host.ts";
import type { OddKind } from "./odd-kinds.ts";
import type { FaultEvent } from "./plan.ts";

/**
 * The state of one node is made wrong (S1): of the leader, of who is to lead next, of a follower, a learner, or a node that is down. What goes with
 * it is meant for the moment at which it is found out: the node ends, is cut off, its leader ends, or it is left with the longest log.
 *
 * Who is right is for a quorum of right states to say. So no more than one node is wrong at a time, and what would leave such a quorum without those
 * who are lost, damaged or about to leave is not begun.
 */
export function diverge(cluster: Cluster, event: FaultEvent): string | undefined {
  const [first = 0, second = 0, third = 0, fourth = 0] = event.draws;
  const target = chooseTarget(cluster, first, third);
  if (target === undefined || !isAllowed(cluster, target)) return undefined;
  const kind = kindOf(second, target.isUp);
  const company = target.isUp ? companyOf(fourth) : "none";
  // Taken before: the first thing that happens may be its finding.
  if (!target.state.spoil(kind)) return undefined;
  cluster.count(`odd:${kind}`);
  if (!target.isUp) cluster.count("oddWhileDown");
  accompany(cluster, target, company, event);
  return `node ${target.id} (${kind}${company === "none" ? "" : `, ${company}`})`;
}

function chooseTarget(cluster: Cluster, first: number, third: number): Host | undefined {
  if (third < 0.45) return cluster.leader();
  const { live } = cluster;
  const down = live.filter((host) => !host.isUp && !host.removed);
  const among = third > 0.9 && down.length > 0 ? down : live.filter((host) => host.isUp);
  return among[Math.floor(first * among.length)];
}

function isAllowed(cluster: Cluster, target: Host): boolean {
  const isSettled = cluster.time.now > cluster.membershipUntil;
  if (!isSettled || cluster.hosts.some((host) => !host.gone && host.isOdd)) return false;
  if (!cluster.canSpare((node) => node === target.id)) return false;
  const { voters, learners } = cluster.configuration();
  // Where two vote, or one, a node that comes to be a voter would be half of them.
  if (voters.length < 3 || !(voters.includes(target.id) || learners.includes(target.id))) return false;
  // Releases that hash otherwise are not compared.
  return cluster.nodesUp().every(({ state }) => (state.view(clusterRow)?.level ?? 0) >= hashLevel);
}

function kindOf(draw: number, isUp: boolean): OddKind {
  if (draw < 0.4) return "hash";
  if (draw < 0.65 || !isUp) return "ids";
  return draw < 0.82 ? "attempt" : "bug";
}

type Company = "none" | "lead" | "crash" | "power-loss" | "isolate" | "leader-crash" | "longest";

function companyOf(draw: number): Company {
  if (draw < 0.25) return "none";
  if (draw < 0.4) return "lead";
  if (draw < 0.52) return "crash";
  if (draw < 0.62) return "power-loss";
  if (draw < 0.7) return "isolate";
  return draw < 0.82 ? "leader-crash" : "longest";
}

function accompany(cluster: Cluster, target: Host, company: Company, { lasts, draws }: FaultEvent): void {
  const [, , , , fifth = 0, sixth = 0] = draws;
  const { time, network } = cluster;
  const later = (delay: number, run: () => void): void => {
    time.after(delay, undefined, () => {
      if (!network.settled) run();
    });
  };
  const end = (host: Host, how: "killed" | "power-loss"): void => {
    if (!host.isUp) return;
    host.crash(how);
    cluster.restartLater(host, `${how}, company of a wrong state`);
  };
  target.onQuarantined = () => {
    target.onQuarantined = () => {};
    const soon = fifth * fifth * 400_000;
    if (company === "crash" || company === "power-loss")
      later(soon, () => end(target, company === "crash" ? "killed" : "power-loss"));
    else if (company === "isolate") later(soon, () => isolate(cluster, target, time.now + lasts));
    else if (company === "leader-crash") {
      later(soon, () => {
        const leader = cluster.leader();
        if (leader !== undefined && leader !== target) end(leader, sixth < 0.5 ? "killed" : "power-loss");
      });
    } else if (company === "longest") later(0, () => leaveLongest(cluster, target));
  };
  if (company !== "lead" || cluster.leader() === target) return;
  const asked = cluster.leader();
  const node = asked?.process?.node;
  if (asked !== undefined && node !== undefined)
    cluster.ask(asked, 5_000_000, () => node.transfer(target.id, operator), "consensus");
}

function isolate(cluster: Cluster, host: Host, until: number): void {
  const { network, time } = cluster;
  const others = cluster.hosts.filter((one) => one !== host && !one.gone);
  for (const { number } of others) {
    network.cut(host.number, number, false);
    network.cut(number, host.number, false);
  }
  time.after(until - time.now, undefined, () => {
    if (network.settled) return;
    for (const { number } of others) {
      network.heal(host.number, number);
      network.heal(number, host.number);
    }
  });
}

/**
 * The node in quarantine gets no state yet and goes on storing entries, the other followers hear nothing of the leader for a while; then the leader
 * ends. Nobody can be elected but the node in quarantine, which has to give its log away and hand over.
 */
function leaveLongest(cluster: Cluster, target: Host): void {
  const { network, time } = cluster;
  const leader = cluster.leader();
  if (leader === undefined || leader === target || cluster.callers === undefined) return;
  const until = time.now + 450_000;
  leader.state.copySlowUntil = until + 1_000_000;
  const { voters } = cluster.configuration();
  const others = cluster.hosts.filter((host) => host.isUp && host !== leader && host !== target);
  // With five voters one more has to have what the leader commits; it ends with the leader.
  const needed = Math.floor(voters.length / 2) - 1;
  const along = others.filter((host) => voters.includes(host.id)).slice(0, needed);
  const behind = others.filter((host) => !along.includes(host));
  for (const { number } of behind) {
    network.cut(leader.number, number, false);
    for (const { number: other } of along) network.cut(other, number, false);
  }
  for (let at = 1; at <= 8; at++) {
    time.after(at * 50_000, undefined, () => {
      const node = leader.process?.node;
      if (node !== undefined && !network.settled)
        cluster.ask(leader, 4_000_000, () =>
          node.propose("node.label", { node: leader.id, labels: { turn: `${time.now}` } }, operator),
        );
    });
  }
  time.after(450_000, undefined, () => {
    if (network.settled) return;
    for (const host of [leader, ...along]) {
      if (!host.isUp) continue;
      host.crash("killed");
      cluster.restartLater(host, "killed, company of a wrong state");
    }
    for (const { number } of behind) {
      network.heal(leader.number, number);
      for (const { number: other } of along) network.heal(other, number);
    }
  });
}
