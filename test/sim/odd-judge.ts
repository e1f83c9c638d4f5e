import type { Node } from "../../src/node/node.ts";
import type { Append } from "../../src/raft/types.ts";
import type { Host } from "./host.ts";

/**
 * What is judged of states that differ (S1), by what nodes say and do: whoever has a right state is never held for odd, whoever is held for odd takes
 * and answers nothing.
 */

/** What a node logs about states. */
export function judgeWords(host: Host, message: string): void {
  const { cluster } = host;
  if (message.startsWith("the state of this node differs from that of a quorum")) {
    cluster.count("quarantined");
    if (host.cluster.leader() === host) cluster.count("leaderWasOdd");
    if (host.state.odd === undefined) cluster.fail(`S1: node ${host.id} is quarantined, and its state is right`);
    host.onQuarantined();
    return;
  }
  if (message.startsWith("this node is in quarantine still")) {
    cluster.count("quarantinedAtStart");
    if (!host.state.wasOdd) cluster.fail(`S1: node ${host.id} is in quarantine, and its state was never wrong`);
    return;
  }
  if (message.startsWith("this node has the others' state again")) cluster.count("leftQuarantine");
  if (message.startsWith("leading in term") && host.isQuarantined) cluster.count("ledInQuarantine");
  if (!/\bstates? .*differ/.test(message)) return;
  const named = /^the state of node (\d+) differs/.exec(message)?.[1];
  const accused = cluster.hosts.filter((one) => named === undefined || one.id === Number(named));
  // Of states that were made wrong alone: else somebody has compared what must not be compared.
  if (!accused.some(({ state }) => state.wasOdd)) cluster.fail(`S1: node ${host.id}: ${message}`);
  if (named !== undefined) return;
  cluster.count("undecided");
  cluster.onUndecided();
}

/** Somebody who is right, and is there, knows better than this node's state of that entry. */
export function mayBeContradicted(host: Host, index: number): boolean {
  const { cluster, process } = host;
  const voters = process?.node.consensus.configuration.voters ?? [];
  return cluster.hosts.some((other) => {
    if (other === host || other.isOdd || other.process === undefined || !voters.includes(other.id)) return false;
    const isThere = other.process.runner.frozenUntil <= cluster.time.now && other.state.place.applied >= index;
    const isMet = process?.transport.isConnected(other.id) === true;
    const { network } = cluster;
    return isThere && isMet && !network.isCut(host.number, other.number) && !network.isCut(other.number, host.number);
  });
}

/** A leader in quarantine has its log to give away, and no entries of its own to add but the one that begins its term. */
export function judgeQuarantined(host: Host, node: Node | undefined, { entries }: Append): void {
  if (node?.isLeading !== true || entries.length === 0 || !host.isQuarantined) return;
  const { term } = node.consensus;
  const own = entries.find((entry) => entry.kind === "command" && entry.term === term);
  if (own !== undefined)
    host.cluster.fail(`S1: node ${host.id} leads in quarantine, and proposes entry ${own.index} of term ${term}`);
}

/** An answer other than a refusal. */
export function isAnswer(value: unknown): boolean {
  return typeof value === "object" && value !== null && (value as { readonly ok?: unknown }).ok === true;
}
