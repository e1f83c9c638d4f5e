import { decodeConfiguration } from "../../src/lib/configuration.ts";
import type { Node } from "../../src/node/node.ts";
import { quorumReached } from "../../src/raft/quorum.ts";
import type { Append } from "../../src/raft/types.ts";
import { listNodes } from "../../src/state/queries.ts";
import type { Cluster } from "./cluster.ts";
import { noticedAfterUs } from "./core.ts";
import type { Host } from "./host.ts";

/**
 * "Never below a quorum on one observation": no leader begins a change to voters a quorum of which has been dead for longer than it takes to notice,
 * since it would wait for them.
 */
export function judgeChange(host: Host, node: Node | undefined, { entries }: Append): void {
  if (node?.isLeading !== true) return;
  const { cluster } = host;
  const { term } = node.consensus;
  const before = cluster.time.now - noticedAfterUs;
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

/**
 * "A voter dead for 10 s is replaced by a healthy learner": of the core's configuration, a voter whose machine is down and a learner of the core that
 * could vote in its place, in words. undefined: no such pair.
 */
export function replaceable(cluster: Cluster, core: readonly Host[]): string | undefined {
  const leader = cluster.leader();
  if (leader === undefined || leader.isOdd) return "nobody leads who would know";
  const { voters, learners, outgoing } = cluster.configuration();
  if (outgoing.length > 0) return `the change from voters ${outgoing.join(",")} to ${voters.join(",")} goes on`;
  const dead = voters.filter((id) => cluster.hostOf(id)?.isUp !== true);
  const rows = leader.state.view(listNodes);
  const ready = learners.filter((id) => {
    const row = rows.find((one) => one.id === id);
    const isHere = core.some((host) => host.id === id && host.isUp && !host.isOdd);
    return isHere && row?.state === "up" && row.wish !== "learner" && row.quarantine === undefined;
  });
  if (dead.length === 0 || ready.length === 0) return undefined;
  return `voters ${dead.join(",")} are down, and learners ${ready.join(",")} do not take their place`;
}
