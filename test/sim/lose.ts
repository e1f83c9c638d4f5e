import type { NodeId } from "../../src/lib/ids.ts";
import type { CommandInput, CommandName } from "../../src/state/commands/index.ts";
import { type Cluster, operator } from "./cluster.ts";
import type { Host } from "./host.ts";
import { changesMembers, removeUntilDone } from "./operators.ts";
import type { FaultEvent } from "./plan.ts";

/**
 * Machines die for good, one or two of five, without a word: nobody takes them out, or an operator does long after. Meanwhile the leader replaces them
 * as soon as it may, and another member is removed beside them, or fewer are to vote: moments in which a change could come to wait for somebody who
 * never returns.
 */
export function lose(cluster: Cluster, { lasts, draws }: FaultEvent): string | undefined {
  const [first = 0, second = 0, third = 0, fourth = 0, fifth = 0, sixth = 0] = draws;
  const { time } = cluster;
  const { voters } = cluster.configuration();
  if (voters.length < 3) return undefined;
  const dead: Host[] = [];
  for (const draw of voters.length > 3 && sixth < 0.6 ? [first, sixth / 0.6] : [first]) {
    const up = cluster.live.filter((host) => host.isUp && !host.process!.stopping && voters.includes(host.id));
    const target = up[Math.floor(draw * up.length)];
    if (target === undefined || !cluster.canSpare((node) => node === target.id)) continue;
    target.die();
    dead.push(target);
  }
  if (dead.length === 0) return undefined;
  changesMembers(cluster);
  if (second < 0.5) cluster.join();
  if (third < 0.8) {
    const change = fifth < 0.4 ? resizeBeside : removeBeside;
    time.after(fourth * 60_000_000, undefined, () => {
      if (!cluster.network.settled && deadVoters(cluster).length > 0) change(cluster, fifth);
    });
  }
  if (third > 0.5) {
    time.after(lasts, undefined, () => {
      if (cluster.network.settled) return;
      for (const { id, deadSince } of dead) {
        if (deadSince === undefined) continue;
        cluster.effects.givesUp(id);
        removeUntilDone(cluster, id);
      }
    });
  }
  return `${dead.map(({ id }) => `node ${id}`).join(" and ")}, for good`;
}

function deadVoters(cluster: Cluster): NodeId[] {
  return cluster.configuration().voters.filter((id) => cluster.hostOf(id)?.deadSince !== undefined);
}

function removeBeside(cluster: Cluster, draw: number): void {
  const { voters } = cluster.configuration();
  const others = cluster.live.filter((host) => host.deadSince === undefined && voters.includes(host.id));
  const other = others[Math.floor(draw * others.length)];
  if (other === undefined || cluster.live.length < 4 || !cluster.canSpare((node) => node === other.id)) return;
  cluster.effects.givesUp(other.id);
  ask(cluster, "removedBesideDead", "node.remove", { node: other.id });
}

function resizeBeside(cluster: Cluster, draw: number): void {
  // The one that stays might be the wrong one.
  if (!cluster.live.some((host) => host.isOdd))
    ask(cluster, "resizedBesideDead", "cluster.set", { voters: draw < 0.1 ? 1 : 3 });
}

function ask<Name extends CommandName>(cluster: Cluster, counter: string, name: Name, input: CommandInput<Name>): void {
  const member = cluster.anyUp("operator");
  if (member === undefined) return;
  changesMembers(cluster);
  cluster.note(`${name} ${JSON.stringify(input)}, while node ${deadVoters(cluster).join(" and node ")} is dead`);
  cluster
    .ask(member, 12_000_000, () => member.process!.node.propose(name, input, operator))
    .answered((outcome) => {
      if (outcome?.ok === true) cluster.count(counter);
    });
}
