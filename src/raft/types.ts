import type { Configuration } from "../lib/configuration.ts";
import type { Index, NodeId, Term } from "../lib/ids.ts";

export type { Configuration };

/**
 * The vocabulary of consensus: what is fed to the machine in raft.ts, what is drained from it, and the two ports it
 * reads through. Everything here is plain data; messages are a closed union on `kind`.
 *
 * The contract, in the order the driver (node/drive.ts) must keep:
 *   feed   any number of events: tick, step(message), propose, appended, applied, disconnected ...
 *   drain  one Ready; then, at once and in this order
 *          1. hand `append` (entries and hard state, one transaction) to storage,
 *          2. send `messages` (they promise nothing that is not durable yet; a leader replicates while it writes),
 *          3. send `messagesAfterAppend` only when storage has reported that append durable (D4: votes, acks); a Ready without
 *             an append of its own then means the newest one handed over before,
 *          4. hand `committed` to apply, in order,
 *          5. answer `reads` once the state has applied that index.
 *   report appended(token) when step 1 is synced, applied(index) when step 4 is done.
 * Storage writes are acknowledged in the order they were handed over.
 */

/** What an entry carries: nothing (the new leader's first entry), a batch of commands, or a configuration. */
export type EntryKind = "noop" | "command" | "configuration";

export interface Entry {
  readonly index: Index;
  readonly term: Term;
  readonly kind: EntryKind;
  /** Opaque to raft, but for "configuration": {@link Configuration} through lib/codec. */
  readonly data: Uint8Array;
}

/** What must survive a restart beside the entries. `commit` is a hint that saves replays; term and vote are promises. */
export interface HardState {
  readonly term: Term;
  readonly vote: NodeId;
  readonly commit: Index;
}

export type ConfigurationChange =
  /**
   * Any members instead of the present ones, in one change: through a joint configuration when more than one voter differs, which whoever
   * leads leaves again by itself. A present member that is in neither list is removed; one in both is refused.
   */
  | { readonly kind: "replace"; readonly voters: readonly NodeId[]; readonly learners: readonly NodeId[] }
  | { readonly kind: "add-learner"; readonly node: NodeId }
  | { readonly kind: "promote"; readonly node: NodeId }
  | { readonly kind: "demote"; readonly node: NodeId }
  | { readonly kind: "remove"; readonly node: NodeId };

/** What a snapshot stands for: the state that has applied everything up to `index`. */
export interface SnapshotMeta {
  readonly index: Index;
  readonly term: Term;
  /** The configuration in force at `index`. */
  readonly configuration: Configuration;
}

interface Envelope {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly term: Term;
}

export type Message =
  | (Envelope & { readonly kind: "pre-vote-request"; readonly lastIndex: Index; readonly lastTerm: Term })
  | (Envelope & { readonly kind: "pre-vote-response"; readonly granted: boolean })
  | (Envelope & {
      readonly kind: "vote-request";
      readonly lastIndex: Index;
      readonly lastTerm: Term;
      /** Set on a planned hand-over: the voter answers although it hears a leader. */
      readonly transfer: boolean;
    })
  | (Envelope & { readonly kind: "vote-response"; readonly granted: boolean })
  | (Envelope & {
      readonly kind: "append-request";
      readonly previousIndex: Index;
      readonly previousTerm: Term;
      readonly entries: readonly Entry[];
      readonly commit: Index;
    })
  | (Envelope & { readonly kind: "append-response"; readonly match: Index })
  | (Envelope & {
      readonly kind: "append-rejection";
      /** The previousIndex that did not fit. */
      readonly rejected: Index;
      /** The follower's best guess of where the logs agree: its last index with term <= previousTerm, and that term. */
      readonly hintIndex: Index;
      readonly hintTerm: Term;
      /** Entries that this node had acknowledged are gone (D3): its leader must not count on them. */
      readonly repairing: boolean;
    })
  | (Envelope & {
      readonly kind: "heartbeat-request";
      readonly commit: Index;
      /** Number of the newest read round; grows within a term and is never used twice (ReadIndex). */
      readonly round: number;
    })
  | (Envelope & {
      readonly kind: "heartbeat-response";
      readonly round: number;
      /** Writes take long there: not the one to hand the leadership to. */
      readonly slowDisk: boolean;
    })
  /**
   * The receiver holds a verified copy of that state (it travels beside raft, in chunks, and this message is fed once it is whole):
   * answered with an append-response. `term` of the envelope is the sender's, as everywhere.
   */
  | (Envelope & { readonly kind: "snapshot-request"; readonly snapshot: SnapshotMeta })
  | (Envelope & { readonly kind: "timeout-now" });

export type MessageKind = Message["kind"];
export type MessageOf<Kind extends MessageKind> = Extract<Message, { kind: Kind }>;

export type Role = "follower" | "pre-candidate" | "candidate" | "leader";

/** What changed about who leads; drained whenever role, term or leader is not what it was. */
export interface Leadership {
  readonly role: Role;
  readonly term: Term;
  /** {@link nobody} when unknown. */
  readonly leader: NodeId;
}

/** One storage write: synced in one transaction. Entries replace everything stored from the first one's index on. */
export interface Append {
  /** Grows by one per append; given back through appended(). */
  readonly token: number;
  readonly hardState: HardState | undefined;
  /** Before `entries`: the whole log is replaced by nothing, with this as its base. Handed over only once the state of it is in place. */
  readonly snapshot: SnapshotMeta | undefined;
  readonly entries: readonly Entry[];
}

export interface ReadReady {
  /** The number given to readIndex(). */
  readonly ticket: number;
  /** A state applied up to here is new enough; undefined: this node does not lead (any more), ask again. */
  readonly index: Index | undefined;
}

export interface Ready {
  readonly append: Append | undefined;
  readonly messages: readonly Message[];
  readonly messagesAfterAppend: readonly Message[];
  readonly committed: readonly Entry[];
  /**
   * Peers that need a snapshot from now on: what they lack is not in the log any more. The driver makes and sends one, and says through
   * snapshotEnded() how that went. Nothing is sent to such a peer from the log meanwhile.
   */
  readonly snapshotsWanted: readonly NodeId[];
  readonly reads: readonly ReadReady[];
  readonly leadership: Leadership | undefined;
  /** The configuration, when it changed (also at start, and back again when an entry that carried one is overwritten). */
  readonly configuration: Configuration | undefined;
}

/** Why the machine does not take a proposal: a value, never an exception. */
export type ProposeRefusal =
  | "not-leader" // forward to `leader`, or wait for one
  | "transferring" // leadership is being handed over
  | "busy" // too many bytes that are not committed, not on this node's disk, or not in its state: again later
  | "no-own-term-commit" // configuration changes only: the leader has not committed in its term yet
  | "change-pending" // configuration changes only
  | "stale-configuration" // computed on a configuration that is not the present one
  | "not-caught-up" // promote: the learner is further than limit behind
  | "quorum-absent" // configuration changes only: a majority of those that would vote is not connected or not heard; again later
  | "last-voter" // the change would leave no voter
  | "joint" // replace only: the present configuration is joint, or a node is in both lists
  | "no-change"; // the node is already there (or already gone)

export type Proposed =
  | { readonly ok: true; readonly index: Index; readonly term: Term }
  | { readonly ok: false; readonly why: ProposeRefusal };

/** Why leadership is not handed over. */
export type TransferRefusal =
  | "not-leader"
  | "transferring" // another hand-over is under way
  | "not-voter"; // the target could not lead

/** ok: begun. It ends with a change of leadership, or is given up after an election timeout. */
export type Transferred = { readonly ok: true } | { readonly ok: false; readonly why: TransferRefusal };

/**
 * Committed entries that a learner gets from another member than the leader (node/relay-follow.ts), with what that member knows: its term, and who
 * leads in it. Nothing is answered to consensus: who is fed this way counts nowhere.
 */
export interface Fed {
  readonly term: Term;
  /** {@link nobody}: not known there. */
  readonly leader: NodeId;
  readonly previousIndex: Index;
  readonly previousTerm: Term;
  /** Committed, all of them. */
  readonly entries: readonly Entry[];
}

/** What became of it. "gap": they do not follow on from the log; "conflict": they differ from what is committed here, or make no sense. */
export type FedOutcome = "taken" | "not-learner" | "gap" | "conflict";

/** How far another node is, as its leader sees it. */
export interface PeerProgress {
  readonly mode: "probe" | "replicate" | "snapshot" | "relay";
  /** Durable there and equal to the leader's log up to here. */
  readonly match: Index;
  /** Entries that the leader has and the node is not known to have. */
  readonly lag: number;
  /** Its disk is slow, as it says itself: it should lead only while nobody else can. */
  readonly slowDisk: boolean;
  /** Its socket is open, and it was heard since the quorum check before the last one. */
  readonly isHeard: boolean;
  /** Its socket was closed, or it was not heard for an election timeout at least. Whoever has had no time yet to be heard is neither. */
  readonly isSilent: boolean;
}

/**
 * Port: synchronous reads of entries that are durable and no longer in the machine's own window. The
 * implementation must give exactly the entries of [from, to), stopping early past maxBytes but never before the
 * first, and before one that is damaged: none at all when that is the first (D3). It throws a Fault when the disk fails.
 */
export interface LogReader {
  entries(from: Index, to: Index, maxBytes: number): readonly Entry[];
}

/** A run of entries with one term: they begin at `first` and end before the next run's. */
export interface TermRun {
  readonly first: Index;
  readonly term: Term;
}

/** What storage found at start. An empty log has first = last + 1 = 1 and no runs. */
export interface Restored {
  readonly hardState: HardState;
  /** The entry before the first one kept: (0, 0) for a whole log, later the snapshot's. */
  readonly baseIndex: Index;
  readonly baseTerm: Term;
  readonly lastIndex: Index;
  readonly termRuns: readonly TermRun[];
  /** The configuration at baseIndex; empty lists when the log starts from nothing. */
  readonly baseConfiguration: Configuration;
  /** Every configuration entry kept, oldest first. */
  readonly configurations: readonly { readonly index: Index; readonly configuration: Configuration }[];
  /** The newest entries, at most limits.logWindowBytes, ending at lastIndex; may be empty. */
  readonly window: readonly Entry[];
  /**
   * Entries up to `until` were stored and acknowledged here and then damaged on disk; the log above ends before the first of them (D3). The
   * node follows and stores, but does not ask for votes, and gives its own only to a log that ends at or after (`term`, `until`), before its
   * durable log reaches `until` again or ends in a term later than `term` (the hard state's when the damage was found): the leader of such a
   * term has all that this node had helped to commit.
   */
  readonly repair: { readonly until: Index; readonly term: Term } | undefined;
}

export interface RaftOptions {
  readonly id: NodeId;
  /** Numbers in [0, 1): the only randomness, given from outside. */
  readonly random: () => number;
  /** Ticks between heartbeats (default timing: tick 10 ms, heartbeat 5). */
  readonly heartbeatTicks: number;
  /** T in ticks: timeouts are drawn from (T, 2T]; never exactly T. Default 60. */
  readonly electionTicks: number;
  /** After the leader's socket closed: pre-vote after 0..this ticks. Default 2 (20 ms). */
  readonly disconnectTicks: number;
  /** A lost or split round that followed a closed socket is repeated after 1..this ticks. Default 5 (50 ms). */
  readonly retryTicks: number;
  readonly appendMessageBytes: number;
  readonly inflightAppends: number;
  readonly uncommittedBytes: number;
  readonly logWindowBytes: number;
  /** A learner may be promoted when it is at most this many entries behind. Default 100. */
  readonly promoteLagEntries: number;
  /** A configuration with more learners than this has them fed by other members: the leader sends them nothing, unless it is told to. */
  readonly directLearners: number;
  /** What had been applied before the restart; committed entries after it are handed out again. */
  readonly applied: Index;
}
