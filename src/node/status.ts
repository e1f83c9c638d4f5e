import type { Configuration } from "../lib/configuration.ts";
import type { Epoch } from "../lib/epoch.ts";
import { nobody, type NodeId } from "../lib/ids.ts";
import type { Survivor } from "../lib/survivors.ts";
import type { Raft } from "../raft/raft.ts";
import type { Leadership } from "../raft/types.ts";
import { listNodes } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Transport } from "../transport/types.ts";
import type { NodeStatus } from "./api.ts";
import type { DiskRoom } from "./disk-room.ts";
import type { KnownPeers } from "./known-peers.ts";
import type { Leading } from "./leading.ts";
import type { OwnedSchedules } from "./owned-schedules.ts";
import type { OwnWork } from "./own-work.ts";
import type { Relay } from "./relay.ts";
import type { Settings } from "./settings.ts";
import { surveyState } from "./survey.ts";
import type { WholeState } from "./whole-state.ts";

/** Who says it. */
interface Self {
  readonly id: NodeId;
  readonly name: string;
  readonly cluster: string;
  readonly epoch: Epoch;
}

/** What a running node is looked at by. */
export interface StatusSources {
  readonly self: Self;
  readonly raft: Pick<Raft, "role" | "commit" | "lastIndex" | "baseIndex" | "lag">;
  /** As it was last told to this node. */
  readonly leadership: Leadership;
  readonly configuration: Configuration;
  readonly applied: number;
  /** It takes writes and reads, if there is a leader. */
  readonly isServing: boolean;
  readonly room: Pick<DiskRoom, "isFull">;
  readonly settings: Pick<Settings, "level">;
  readonly peers: Pick<KnownPeers, "addresses">;
  readonly transport: Pick<Transport, "isConnected" | "stats">;
  readonly relay: Pick<Relay, "status">;
  readonly leading: Pick<Leading, "leases" | "clocks" | "lag">;
  readonly work: Pick<OwnWork, "executor">;
  readonly state: Pick<WholeState, "quarantine" | "divergence" | "copies">;
  readonly schedules: Pick<OwnedSchedules, "owned" | "moved">;
  view<Value>(query: (tx: ReadTx) => Value): Value;
}

/** What a node says of itself and of the others as it sees them: the local part of 'skein cluster status' and of metrics. */
export function statusOf(from: StatusSources): NodeStatus {
  const { self, raft, leadership, configuration, transport, leading } = from;
  const { quarantine, divergence } = from.state;
  const { leader } = leadership;
  const { voters, outgoing, learners } = configuration;
  const leads = raft.role === "leader";
  const { feeder, children } = from.relay.status;
  return {
    id: self.id,
    cluster: self.cluster,
    epoch: self.epoch,
    level: from.settings.level,
    term: leadership.term,
    leader: leader === nobody ? null : leader,
    role: roleOf(from),
    commit: raft.commit,
    applied: from.applied,
    lastIndex: raft.lastIndex,
    firstIndex: raft.baseIndex + 1,
    voters,
    outgoing,
    learners,
    fedBy: feeder === nobody ? null : feeder,
    feeds: children,
    ready: from.isServing && (leads || (leader !== nobody && transport.isConnected(leader))),
    addresses: from.peers.addresses(),
    peers: from
      .view(listNodes)
      .filter((row) => row.id !== self.id)
      .map((row) => ({
        node: row.id,
        connected: transport.isConnected(row.id),
        lag: leads ? (leading.lag(row.id) ?? raft.lag(row.id) ?? null) : null,
        leaseMs: leads ? leading.leases.leftMs(row.id) : null,
      })),
    clocks: leading.clocks.differences(),
    tasksRunning: from.work.executor.running(),
    schedulesOwned: from.schedules.owned,
    schedulesMoved: from.schedules.moved,
    quarantine: quarantine.finding?.index ?? null,
    compared: divergence.compared,
    quarantines: quarantine.times,
    undecided: divergence.undecided ?? null,
    snapshotTrouble: from.state.copies.trouble ?? null,
    diskFull: from.room.isFull,
    transport: transport.stats(),
  };
}

function roleOf({ self, raft, leadership, configuration }: StatusSources): NodeStatus["role"] {
  if (raft.role === "leader") return "leader";
  if (configuration.learners.includes(self.id)) return "learner";
  return leadership.role === "follower" ? "follower" : "candidate";
}

/** What a running node has, for whoever judges what is left of a cluster (lib/survivors.ts); of a stopped one survey.ts reads it from its files. */
export function survivorOf(
  self: Self,
  raft: Pick<
    Raft,
    | "configuration"
    | "configurationIndex"
    | "durableIndex"
    | "durableTerm"
    | "term"
    | "commit"
    | "isRepairing"
    | "leader"
  >,
  quarantinedAt: number | null,
  view: <Value>(query: (tx: ReadTx) => Value) => Value,
): Survivor {
  const { voters, outgoing, learners } = raft.configuration;
  return {
    cluster: self.cluster,
    epoch: self.epoch,
    node: self.id,
    name: self.name,
    lastIndex: raft.durableIndex,
    lastTerm: raft.durableTerm,
    term: raft.term,
    commit: raft.commit,
    voters,
    outgoing,
    learners,
    configurationIndex: raft.configurationIndex,
    damagedFrom: raft.isRepairing ? raft.durableIndex + 1 : null,
    quarantinedAt,
    leader: raft.leader === nobody ? null : raft.leader,
    ...view((tx) => surveyState(tx, 0)),
  };
}
