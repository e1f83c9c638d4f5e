import type { CommandInput, CommandName } from "../../src/state/commands/index.ts";
import { ownLevel } from "../../src/state/levels.ts";
import { type Cluster, operator } from "./cluster.ts";
import type { Host } from "./host.ts";
import type { FaultEvent } from "./plan.ts";

/** Carries out the troubles of a plan. Each ends by itself, and none takes what could not be given back: a quorum of every configuration stays. */

/** An election timeout, µs. */
const timeout = 600_000;

function pick<Item>(items: readonly Item[], draw: number): Item | undefined {
  return items[Math.floor(draw * items.length)];
}

/** Starts one trouble. Counts it when it had a target. */
export function disturb(cluster: Cluster, event: FaultEvent): void {
  const done = carryOut(cluster, event);
  if (done === undefined) return;
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

/** Bits flip on a minority, in what others have as well. */
function flip(cluster: Cluster, target: Host | undefined, draw: number): string | undefined {
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
  target.disk.file.damage(at);
  cluster.restartLater(target, `entry ${at} damaged`);
  return `entry ${at} of node ${target.id}`;
}

/** The disk is lost: the machine comes back as a new node, and an operator takes the old one out. */
function wipe(cluster: Cluster, target: Host | undefined, draw: number): string | undefined {
  if (target === undefined || cluster.live.length < 2) return undefined;
  if (!cluster.canSpare((node) => node === target.id)) return undefined;
  const { id } = target;
  cluster.effects.givesUp(id);
  target.wipe();
  // Often it asks under its old name, which is refused as long as the old node is a member.
  cluster.join(draw < 0.5 ? `host${target.number}` : undefined);
  untilDone(cluster, "node.remove", { node: id });
  return `node ${id}`;
}

function untilDone<Name extends CommandName>(
  cluster: Cluster,
  name: Name,
  input: CommandInput<Name>,
  tries = 60,
): void {
  const member = cluster.anyUp("operator");
  const again = (): void => {
    if (tries > 0) cluster.time.after(2_000_000, undefined, () => untilDone(cluster, name, input, tries - 1));
  };
  if (member === undefined) return again();
  cluster
    .ask(member, 6_000_000, () => member.process!.node.propose(name, input, operator))
    .answered((outcome) => {
      if (outcome === undefined || (!outcome.ok && outcome.why.code !== "not-found")) again();
      else cluster.count(`done:${name}`);
    });
}

/** What operators ask for, once, of the node that happens to be asked. */
function ask(cluster: Cluster, { kind, draws }: FaultEvent, target: Host | undefined): string | undefined {
  const [first = 0, second = 0, , fourth = 0] = draws;
  const member = cluster.anyUp("operator");
  if (member === undefined || target === undefined) return undefined;
  const { node } = member.process!;
  const other = pick(cluster.live, second) ?? target;
  const go = (call: () => Promise<{ readonly ok: boolean }>): void => {
    cluster.ask(member, 12_000_000, call).answered((outcome) => {
      if (outcome?.ok === true) cluster.count(`done:${kind}`);
    });
  };
  switch (kind) {
    case "transfer":
      go(() => node.transfer(fourth < 0.5 ? undefined : other.id, operator));
      return `asked of node ${member.id}`;
    case "remove": {
      if (cluster.live.length < 3 || !cluster.canSpare((one) => one === target.id)) return undefined;
      cluster.effects.givesUp(target.id);
      go(() => node.propose("node.remove", { node: target.id }, operator));
      if (fourth < 0.7) cluster.join();
      return `node ${target.id}, asked of node ${member.id}`;
    }
    case "promote":
      go(() => node.propose("node.promote", { node: other.id, forget: fourth < 0.3 }, operator));
      return `node ${other.id}`;
    case "demote":
      if (!cluster.canSpare((one) => one === target.id)) return undefined;
      go(() => node.propose("node.demote", { node: target.id, forget: fourth < 0.3 }, operator));
      return `node ${target.id}`;
    case "resize": {
      const voters = [1, 3, 3, 5][Math.floor(first * 4)]!;
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
