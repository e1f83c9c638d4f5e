import { firstEpoch, formatEpoch } from "../../src/lib/epoch.ts";
import type { Node } from "../../src/node/node.ts";
import { seekMembers } from "../../src/node/seek.ts";
import type { Host } from "./host.ts";
import type { Runner } from "./virtual-time.ts";

/**
 * Where hosts get other addresses, a person starts each with `--join` and the names of the others' APIs, as boot.ts then seeks them: when all have moved while
 * none was there to tell the others, nobody knows where anybody is.
 */

/** µs */
const answerTime = 1_000_000;

/** Asks at the other hosts' APIs until somebody leads, as far as this node has heard. */
export function seekOthers(host: Host, node: Node, runner: Runner): void {
  const { cluster } = host;
  const { network, time } = cluster;
  const others = cluster.hosts.filter((other) => other !== host);
  const seen = (other: Host): Promise<unknown> =>
    new Promise((answer) => {
      const later = (value?: unknown): void => {
        time.after(network.delay(other.number, host.number), runner, () => answer(value));
      };
      const isCut = network.isCut(host.number, other.number) || network.isCut(other.number, host.number);
      if (!other.isUp || isCut) return later();
      const asked = other.process!.node;
      cluster.ask(other, answerTime, async () => asked.status().addresses, "consensus").answered(later);
      return undefined;
    });
  void seekMembers(host.identity.cluster, firstEpoch, {
    addresses: () => others.map(({ number }) => String(number)),
    ask: async (number) => {
      const told = await seen(others.find((other) => String(other.number) === number)!);
      if (!Array.isArray(told)) return undefined;
      cluster.count("sought");
      const nodes = told.map(({ node: id, address: peer, starts }) => ({ id, peer, starts }));
      return { cluster: host.identity.cluster, epoch: formatEpoch(firstEpoch), nodes };
    },
    isLed: () => node.hasLeader,
    isOver: () => !runner.alive,
    found: (addresses) => node.learnAddresses(addresses),
    pause: (isLed) => new Promise((resolve) => setTimeout(resolve, isLed ? 10_000 : 500)),
  });
}
