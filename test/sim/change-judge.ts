import { decodeConfiguration } from "../../src/lib/configuration.ts";
import type { Node } from "../../src/node/node.ts";
import { quorumReached } from "../../src/raft/quorum.ts";
import type { Append } from "../../src/raft/types.ts";
import type { Host } from "./host.ts";

/**
 * µs after which a leader knows who is dead: a lease (6 s) and limits.replaceVoterMs (10 s) from its election or from the last sign of life, by a clock
 * that drifts, and the duties' own interval.
 */
const knowsAfter = 20_000_000;

/**
 * "Never below a quorum on one observation": who leads for long enough begins no change to voters of which a quorum is dead, for it would wait for
 * them (docs/status.md, known faults, says when one may).
 */
export function judgeChange(host: Host, node: Node | undefined, { entries }: Append): void {
  if (node?.isLeading !== true) return;
  const { cluster } = host;
  const { term } = node.consensus;
  const since = cluster.reigns.get(term) ?? cluster.time.now;
  cluster.reigns.set(term, since);
  const before = cluster.time.now - knowsAfter;
  if (since > before) return;
  for (const entry of entries) {
    const configuration = entry.kind === "configuration" && entry.term === term && decodeConfiguration(entry.data);
    if (!configuration) continue;
    const reached = (id: number): number => {
      const dead = cluster.hosts.find((one) => one.id === id)?.deadSince;
      return dead !== undefined && dead < before ? 0 : 1;
    };
    cluster.count("changesJudged");
    if (quorumReached({ ...configuration, outgoing: [] }, { reached }) < 1)
      cluster.fail(
        `membership: node ${host.id} begins a change to voters ${configuration.voters.join(",")}, most of which are dead`,
      );
  }
}
