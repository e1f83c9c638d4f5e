import type { NodeId } from "../../src/lib/ids.ts";
import type { CommandInput, CommandName } from "../../src/state/commands/index.ts";
import { type Cluster, operator } from "./cluster.ts";
import type { Host } from "./host.ts";

/** What people do who look after a cluster: they give up machines, ask until it is done, and say which state is wrong where nodes cannot. */

/** µs after which an operator has compared what undecided nodes show. */
export const comparesAfter = 20_000_000;

/**
 * No quorum says which state is right, because too few nodes have a state or are there: people do, and give up the wrong one. It is stopped before it
 * is removed, for what it holds by its wrong state it may hold for ever.
 */
export function takeOut(cluster: Cluster): void {
  const odd = cluster.live.find((host) => host.state.odd?.isSeen === true && !host.isQuarantined);
  const isOpen = cluster.hosts.some((host) => {
    const groups = host.process?.node.status().undecided?.groups ?? [];
    return odd !== undefined && groups.some((group) => group.includes(odd.id));
  });
  if (odd === undefined || !isOpen || !cluster.canSpare(() => false)) return;
  cluster.count("takenOut");
  cluster.note(`an operator gives up node ${odd.id}, whose state is wrong`);
  giveUp(cluster, odd, undefined);
}

/** What is on that machine is lost, and it joins as a new node. */
export function giveUp(cluster: Cluster, target: Host, as: string | undefined): void {
  const { id } = target;
  cluster.effects.givesUp(id);
  target.wipe();
  cluster.join(as);
  removeUntilDone(cluster, id);
}

/** Asks for the removal of a node until it is no member. */
export function removeUntilDone(cluster: Cluster, node: NodeId): void {
  untilDone(cluster, "node.remove", { node });
}

function untilDone<Name extends CommandName>(
  cluster: Cluster,
  name: Name,
  input: CommandInput<Name>,
  tries = 60,
): void {
  const member = cluster.anyUp("operator");
  changesMembers(cluster);
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

/** Who votes may change for a while. */
export function changesMembers(cluster: Cluster): void {
  cluster.membershipUntil = cluster.time.now + 15_000_000;
}
