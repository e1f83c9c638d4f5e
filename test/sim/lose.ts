import { type Cluster, operator } from "./cluster.ts";
import { changesMembers, removeUntilDone } from "./operators.ts";
import type { FaultEvent } from "./plan.ts";

/**
 * A machine that dies for good, without a word: nobody takes it out, or an operator does long after. Meanwhile the leader replaces it as soon as it
 * may, and another member is removed beside it: the moment in which a change could come to wait for somebody who never returns.
 */
export function lose(cluster: Cluster, { lasts, draws }: FaultEvent): string | undefined {
  const [first = 0, second = 0, third = 0, fourth = 0, fifth = 0, sixth = 0] = draws;
  const { time } = cluster;
  const { voters } = cluster.configuration();
  const up = cluster.live.filter((host) => host.isUp && !host.process!.stopping && voters.includes(host.id));
  const target = up[Math.floor(first * up.length)];
  if (target === undefined || voters.length < 3) return undefined;
  if (!cluster.canSpare((node) => node === target.id)) return undefined;
  target.die();
  changesMembers(cluster);
  if (second < 0.5) cluster.join();
  if (third < 0.8) time.after(fourth * 25_000_000, undefined, () => removeBeside(cluster, fifth));
  if (sixth < 0.4) {
    time.after(lasts, undefined, () => {
      if (cluster.network.settled || target.deadSince === undefined) return;
      cluster.effects.givesUp(target.id);
      removeUntilDone(cluster, target.id);
    });
  }
  return `node ${target.id}, for good`;
}

function removeBeside(cluster: Cluster, draw: number): void {
  const dead = cluster.hosts.filter((host) => host.deadSince !== undefined).map((host) => host.id);
  const { voters } = cluster.configuration();
  const member = cluster.anyUp("operator");
  const others = cluster.live.filter((host) => !dead.includes(host.id) && voters.includes(host.id));
  const other = others[Math.floor(draw * others.length)];
  if (cluster.network.settled || member === undefined || other === undefined || cluster.live.length < 4) return;
  if (!dead.some((id) => voters.includes(id)) || !cluster.canSpare((node) => node === other.id)) return;
  cluster.effects.givesUp(other.id);
  changesMembers(cluster);
  cluster.note(`node ${other.id} is to go, while node ${dead.join(" and node ")} is dead`);
  cluster
    .ask(member, 12_000_000, () => member.process!.node.propose("node.remove", { node: other.id }, operator))
    .answered((outcome) => {
      if (outcome?.ok === true) cluster.count("removedBesideDead");
    });
}
