import { ownLevel } from "../../src/state/levels.ts";
import { type Cluster, operator } from "./cluster.ts";
import { diverge } from "./diverge.ts";
import type { Host } from "./host.ts";
import { lose } from "./lose.ts";
import { changesMembers, giveUp } from "./operators.ts";
import type { FaultEvent } from "./plan.ts";

/** Carries out the troubles of a plan. Each ends by itself, and none takes what could not be given back: a quorum of every configuration stays. */

/** An election timeout, µs. */
const timeout = 600_000;

function pick<Item>(items: readonly Item[], draw: number): Item | undefined {
  return items[Math.floor(draw * items.length)];
}

/** Of these, another moment is as good. */
const waits: ReadonlySet<string> = new Set(["away", "diverge", "lose"]);

/** Starts one trouble. Counts it when it had a target. */
export function disturb(cluster: Cluster, event: FaultEvent, tries = 20): void {
  const done = carryOut(cluster, event);
  if (done === undefined) {
    // Work that lasts is seldom there at any one moment, and neither is a quorum that can spare one: it is waited for.
    if (waits.has(event.kind) && tries > 0 && !cluster.network.settled)
      cluster.time.after(500_000, undefined, () => disturb(cluster, event, tries - 1));
    return;
  }
  cluster.count("faults");
  cluster.count(`fault:${event.kind}`);
  cluster.note(`${event.kind}: ${done}`);
}

/** In words what was done; undefined when there was nothing to do it to. */
function carryOut(cluster: Cluster, event: FaultEvent): string | undefined {
  const { time, network } = cluster;
  const { kind, lasts, draws } = event;
  const [first = 0, second = 0, third = 0, fourth = 0] = draws;
  const up = cluster.hosts.filter((host) => host.isUp);
  const leader = cluster.leader();
  // Leaders are where the trouble is.
  const target = third < 0.4 && leader !== undefined ? leader : pick(up, first);
  const until = time.now + lasts;
  switch (kind) {
    case "crash":
      if (target === undefined) return undefined;
      end(cluster, target, "killed", second < 0.6);
      return `node ${target.id}`;
    case "crash-in-step":
      if (target === undefined) return undefined;
      target.crashAfter = Math.floor(second * 40);
      return `node ${target.id} after ${target.crashAfter} steps`;
    case "power-loss":
      if (target === undefined) return undefined;
      end(cluster, target, "power-loss", second < 0.6);
      return `node ${target.id}`;
    case "power-loss-of-all":
      for (const host of up) {
        host.crash("power-loss");
        cluster.restartLater(host, "power loss of all");
      }
      return up.length === 0 ? undefined : "all at once";
    case "restart":
      if (target === undefined) return undefined;
      target.stop();
      return `node ${target.id}`;
    case "freeze":
      if (target === undefined) return undefined;
      target.freeze(until, false);
      return `node ${target.id} for ${Math.round(lasts / 1000)} ms`;
    case "stall":
      if (target === undefined) return undefined;
      target.freeze(time.now + Math.min(lasts, 3 * timeout), false);
      return `node ${target.id} for ${Math.round(Math.min(lasts, 3 * timeout) / 1000)} ms`;
    case "freeze-host":
      if (target === undefined) return undefined;
      target.freeze(until, true);
      return `host of node ${target.id} for ${Math.round(lasts / 1000)} ms`;
    case "guard-kill":
      if (target === undefined) return undefined;
      target.killGuard();
      return `guard of node ${target.id}`;
    case "disk-stall":
      if (target === undefined) return undefined;
      target.disk.stalledUntil = time.now + Math.min(lasts, 20 * timeout);
      return `node ${target.id} for ${Math.round(Math.min(lasts, 20 * timeout) / 1000)} ms`;
    case "disk-error":
      if (target === undefined) return undefined;
      target.disk.failing = true;
      return `node ${target.id}`;
    case "disk-full":
      if (target === undefined) return undefined;
      if (second < 0.8) target.disk.fullUntil = until;
      if (second > 0.4) target.state.fullUntil = until;
      return `node ${target.id} for ${Math.round(lasts / 1000)} ms`;
    case "bit-flip":
      return flip(cluster, target, second);
    case "misdirect":
      return cluster.plan.realFiles ? flip(cluster, target, second * 0.7, fourth) : undefined;
    case "slow-apply":
      if (target === undefined) return undefined;
      target.state.slowUntil = until;
      return `node ${target.id} for ${Math.round(lasts / 1000)} ms`;
    case "clock-step": {
      if (target === undefined) return undefined;
      const ms = Math.round((second - 0.5) * (fourth < 0.7 ? 20_000 : 7_200_000));
      target.stepClock(ms);
      return `node ${target.id} by ${ms} ms`;
    }
    case "isolate":
    case "halves":
    case "random-cuts":
    case "one-way":
    case "bridge":
    case "swizzle":
      return partition(cluster, event, target);
    case "depose":
      return depose(cluster, event, leader);
    case "away":
      return away(cluster, event, up);
    case "diverge":
      return diverge(cluster, event);
    case "clog": {
      const other = pick(up, second);
      if (target === undefined || other === undefined) return undefined;
      const more = Math.round(10_000 + fourth * fourth * 5_000_000);
      network.clog(target.number, other.number, until, more);
      if (fourth < 0.5) network.clog(other.number, target.number, until, more);
      return `node ${target.id} to ${other.id}, ${Math.round(more / 1000)} ms more for ${Math.round(lasts / 1000)} ms`;
    }
    case "move":
      if (target === undefined) return undefined;
      target.move();
      target.crash("killed");
      cluster.restartLater(target, "moved");
      return `node ${target.id} to ${target.address}`;
    case "upgrade": {
      const old = pick(
        cluster.live.filter((host) => host.level < ownLevel),
        first,
      );
      if (old === undefined) return undefined;
      old.level = ownLevel;
      if (old.isUp) {
        old.crash("killed");
        cluster.restartLater(old, "upgraded");
      }
      return `node ${old.id}`;
    }
    case "lose":
      return lose(cluster, event);
    case "wipe":
      return wipe(cluster, target, event.draws[4] ?? 0);
    case "join":
      if (cluster.live.length >= 9) return undefined;
      cluster.join();
      return "one more";
    default:
      return ask(cluster, event, target);
  }
}

/** Now, or in the middle of the next write. */
function end(cluster: Cluster, host: Host, how: "killed" | "power-loss", whileWriting: boolean): void {
  const { process } = host;
  const crash = (): void => {
    if (process === undefined || host.process !== process) return;
    host.crash(how);
    cluster.restartLater(host, how);
  };
  if (whileWriting) host.disk.whileWriting = crash;
  else crash();
}

/**
 * Bits flip on a minority, in what others have as well; or, with `other`, a disk gives what belongs elsewhere for that entry, whole and with its own
 * checksum, as after a write or a read that went astray (D3).
 */
function flip(cluster: Cluster, target: Host | undefined, draw: number, other?: number): string | undefined {
  if (target === undefined || cluster.hosts.some((host) => host.disk.file.repair !== undefined && !host.gone))
    return undefined;
  if (!cluster.canSpare((node) => node === target.id)) return undefined;
  const { base, lastIndex } = target.disk.file;
  if (lastIndex <= base.index) return undefined;
  target.damaged = true;
  // Found at the next start, or when it is read while the node runs.
  if (draw > 0.7 && !cluster.plan.realFiles) {
    const at = base.index + 1 + Math.floor(((draw - 0.7) / 0.3) * (lastIndex - base.index));
    target.disk.file.damage(at);
    return `entry ${at} of node ${target.id}, which goes on`;
  }
  // An entry that its state has is of little interest: what only the log has must come back from others.
  target.crash("power-loss");
  const first = Math.max(target.disk.file.base.index, target.state.durableApplied) + 1;
  const last = target.disk.file.lastIndex;
  const from = first > last ? target.disk.file.base.index + 1 : first;
  const at = from + Math.floor((draw / 0.7) * (last - from));
  const { base: newBase } = target.disk.file;
  const place = other === undefined ? undefined : newBase.index + 1 + Math.floor(other * (last - newBase.index));
  // One that holds another entry's place has at least two.
  const instead = place === at ? (at < last ? at + 1 : at - 1) : place;
  if (instead !== undefined && instead <= newBase.index) target.disk.file.damage(at);
  else target.disk.file.damage(at, instead);
  cluster.restartLater(target, `entry ${at} damaged`);
  return `entry ${at} of node ${target.id}${instead === undefined ? "" : `, which reads as ${instead}`}`;
}

/** The disk is lost: the machine comes back as a new node, and an operator takes the old one out. */
function wipe(cluster: Cluster, target: Host | undefined, draw: number): string | undefined {
  if (target === undefined || cluster.live.length < 2) return undefined;
  if (!cluster.canSpare((node) => node === target.id)) return undefined;
  const { id } = target;
  // Often it asks under its old name, which is refused as long as the old node is a member.
  giveUp(cluster, target, draw < 0.5 ? `host${target.number}` : undefined);
  return `node ${id}`;
}

/** What operators ask for, once, of the node that happens to be asked. */
function ask(cluster: Cluster, { kind, draws }: FaultEvent, target: Host | undefined): string | undefined {
  const [first = 0, second = 0, , fourth = 0] = draws;
  const member = cluster.anyUp("operator");
  if (member === undefined || target === undefined) return undefined;
  const { node } = member.process!;
  const other = pick(cluster.live, second) ?? target;
  const go = (call: () => Promise<{ readonly ok: boolean }>, from?: "consensus"): void => {
    cluster.ask(member, 12_000_000, call, from).answered((outcome) => {
      if (outcome?.ok === true) cluster.count(`done:${kind}`);
    });
  };
  switch (kind) {
    case "transfer":
      go(() => node.transfer(fourth < 0.5 ? undefined : other.id, operator), "consensus");
      return `asked of node ${member.id}`;
    case "remove": {
      if (cluster.live.length < 3 || !cluster.canSpare((one) => one === target.id)) return undefined;
      cluster.effects.givesUp(target.id);
      changesMembers(cluster);
      go(() => node.propose("node.remove", { node: target.id }, operator));
      if (fourth < 0.7) cluster.join();
      return `node ${target.id}, asked of node ${member.id}`;
    }
    case "promote":
      changesMembers(cluster);
      go(() => node.propose("node.promote", { node: other.id, forget: fourth < 0.3 }, operator));
      return `node ${other.id}`;
    case "demote":
      if (!cluster.canSpare((one) => one === target.id)) return undefined;
      changesMembers(cluster);
      go(() => node.propose("node.demote", { node: target.id, forget: fourth < 0.3 }, operator));
      return `node ${target.id}`;
    case "resize": {
      const voters = [1, 3, 3, 5][Math.floor(first * 4)]!;
      // The one that stays might be the wrong one.
      if (voters < 3 && cluster.live.some((host) => host.isOdd)) return undefined;
      changesMembers(cluster);
      go(() => node.propose("cluster.set", { voters }, operator));
      return `${voters} voters`;
    }
    case "drain":
      go(() => node.propose("node.drain", { node: target.id }, operator));
      return `node ${target.id}`;
    case "undrain":
      go(() => node.propose("node.undrain", { node: target.id }, operator));
      return `node ${target.id}`;
    default:
      return undefined;
  }
}

/** Cut off from everybody, from now until then, in both directions. */
function isolate(cluster: Cluster, host: Host, until: number, holds: boolean): void {
  const { network, time, hosts } = cluster;
  for (const { number } of hosts) {
    if (number === host.number) continue;
    network.cut(host.number, number, holds);
    network.cut(number, host.number, holds);
    time.after(until - time.now, undefined, () => {
      if (network.settled) return;
      network.heal(host.number, number);
      network.heal(number, host.number);
    });
  }
}

/**
 * A leader that does not know of its successor is asked for reads while others take writes (R1): cut off; standing still; or both, and heard again
 * only a while after it runs on. What it is asked while it stands still waits for it.
 */
function depose(cluster: Cluster, { lasts, draws }: FaultEvent, leader: Host | undefined): string | undefined {
  const [first = 0, second = 0, third = 0] = draws;
  const { callers, time } = cluster;
  if (leader === undefined || callers === undefined || cluster.live.length < 2) return undefined;
  const until = time.now + lasts;
  const isFrozen = first < 0.6;
  const isCut = first > 0.2;
  const after = isFrozen ? Math.floor(second * timeout) : 0;
  if (isFrozen) leader.freeze(until, false);
  if (isCut) isolate(cluster, leader, until + after, third < 0.5);
  callers.writeBeside(leader, until + after, 250_000);
  // Not from the first moment on: a follower has to miss it first.
  time.after(timeout / 2, undefined, () => callers.readAt(leader, until + after + timeout / 4, 200_000));
  const how = [isFrozen ? "stands still" : "", isCut ? "is cut off" : ""].filter((word) => word !== "").join(" and ");
  return `node ${leader.id} ${how} for ${Math.round(lasts / 1000)} ms, and ${Math.round(after / 1000)} ms more`;
}

/** A host with work under way is cut off or its node stands still; the guard goes on as long as its lease lets it (J3). */
function away(cluster: Cluster, { lasts, draws }: FaultEvent, up: readonly Host[]): string | undefined {
  const [first = 0, second = 0, third = 0] = draws;
  const holders = cluster.effects.holders(second * 4_000_000);
  // A leader that goes takes its own leases with it: another one waits longer.
  const target = pick(
    up.filter((host) => holders.has(host.number) && (third < 0.2 || host !== cluster.leader())),
    first,
  );
  if (target === undefined) return undefined;
  const isFrozen = draws[3]! < 0.3;
  if (isFrozen) target.freeze(cluster.time.now + lasts, false);
  else isolate(cluster, target, cluster.time.now + lasts, draws[4]! < 0.5);
  return `node ${target.id} ${isFrozen ? "stands still" : "is cut off"} for ${Math.round(lasts / 1000)} ms`;
}

function partition(cluster: Cluster, event: FaultEvent, target: Host | undefined): string | undefined {
  const { network, time, hosts } = cluster;
  const { kind, lasts, draws } = event;
  const [, second = 0, third = 0, fourth = 0, fifth = 0] = draws;
  if (target === undefined || hosts.length < 2) return undefined;
  const holds = fifth < 0.5;
  const pairs: [number, number][] = [];
  const numbers = hosts.filter((host) => !host.gone).map((host) => host.number);
  const bits = (draw: number): boolean[] => numbers.map((_, place) => Math.floor(draw * 2 ** (place + 1)) % 2 === 1);
  const both = (a: number, b: number): void => void pairs.push([a, b], [b, a]);
  if (kind === "isolate") for (const other of numbers) both(target.number, other);
  else if (kind === "one-way") {
    for (const other of numbers) pairs.push(second < 0.5 ? [target.number, other] : [other, target.number]);
  } else if (kind === "halves") {
    const side = bits(fourth);
    numbers.forEach((a, i) => numbers.forEach((b, j) => void (i < j && side[i] !== side[j] && both(a, b))));
  } else if (kind === "bridge") {
    // Two halves that meet in one node only.
    const side = bits(fourth);
    const meets = (number: number): boolean => number === target.number;
    numbers.forEach((a, i) =>
      numbers.forEach((b, j) => void (i < j && side[i] !== side[j] && !meets(a) && !meets(b) && both(a, b))),
    );
  } else {
    const random = cluster.random(`cuts at ${event.at}`);
    for (const a of numbers) for (const b of numbers) if (a !== b && random() < 0.35) pairs.push([a, b]);
  }
  const cuts = pairs.filter(([a, b]) => a !== b);
  if (cuts.length === 0) return undefined;
  const random = cluster.random(`swizzle at ${event.at}`);
  for (const [a, b] of cuts) {
    const [from, to] = kind === "swizzle" ? [random() * lasts * 0.5, lasts * (0.5 + random() * 0.5)] : [0, lasts];
    const gap = third < 0.9 ? 0 : random() * 50_000;
    time.after(from + gap, undefined, () => {
      if (!network.settled) network.cut(a, b, holds);
    });
    time.after(to + gap, undefined, () => {
      if (!network.settled) network.heal(a, b);
    });
  }
  return `${cuts.map(([a, b]) => `${a}>${b}`).join(" ")} for ${Math.round(lasts / 1000)} ms${holds ? ", held" : ""}`;
}
