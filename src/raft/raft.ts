import { assert, unreachable } from "../lib/assert.ts";
import { index, nobody, nodeId, term, type Index, type NodeId, type Term } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import {
  changeConfiguration,
  ConfigurationHistory,
  decodeConfiguration,
  encodeConfiguration,
  isJoint,
  isMember,
  isVoter,
  leaveJoint,
  bootstrapToken,
  sameConfiguration,
} from "./configuration.ts";
import { ElectionTimer } from "./election-timer.ts";
import { bytesOf, entryBytes, lastIndexOf, Log, noEntries } from "./log.ts";
import { isWellFormed } from "./message.ts";
import { Progress } from "./progress.ts";
import { quorumReached, quorumVote, type Reached } from "./quorum.ts";
import { ReadRounds } from "./read-index.ts";
import { Writes } from "./writes.ts";
import type {
  Append,
  Configuration,
  ConfigurationChange,
  Entry,
  EntryKind,
  Fed,
  FedOutcome,
  LogReader,
  Leadership,
  Message,
  MessageOf,
  PeerProgress,
  Proposed,
  ProposeRefusal,
  RaftOptions,
  ReadReady,
  Ready,
  Restored,
  Role,
  SnapshotMeta,
  Transferred,
} from "./types.ts";

const noData = new Uint8Array(0);
const nobodyAbsent: ReadonlySet<NodeId> = new Set();

/** Stands for the sender of what is fed while nobody is known to lead: any member that is not this node. */
const fedBy = nodeId(Number.MAX_SAFE_INTEGER);

/** Appends under way to one follower hold at most this many full messages, whatever their number. */
const inflightFullMessages = 16;

/**
 * After so many heartbeats without anything to replicate every second one is left out: an idle mesh sleeps longer, and T is still many
 * heartbeats long.
 */
const restAfterIntervals = 20;

/** Disk reads for one follower in one drain: catching up must not hold up everybody else. */
const evictedReadsPerDrain = 2;

/**
 * Consensus as a machine: events are fed, one {@link Ready} is drained (types.ts has the contract). The order of this file
 * is the order of a term's life: feeding, votes, leading, following, draining.
 *
 * What it holds to, beside the paper:
 * - Nothing that promises something leaves before it is durable (D4): votes, acknowledgements, and any message that would show
 *   a term which is not synced yet. A leader sends entries while it writes them and counts itself when they are synced (D1).
 * - Pre-vote, check-quorum and stickiness together: who heard the leader less than T ago neither votes nor takes over
 *   a term, except for a planned hand-over.
 * - A configuration holds from its append on, one change at a time, and only after an entry of the leader's own term is committed. One that
 *   replaces several voters is joint; whoever leads when it is committed leaves it again.
 * - A node that lost entries which it had acknowledged does not lead before it has as much again, and votes for nobody who has less (D3).
 * - Only entries that are durable here are handed to apply: state.db is never ahead of log.db (D2).
 */
export class Raft {
  #options: RaftOptions;
  readonly #id: NodeId;
  readonly #log: Log;
  readonly #configurations: ConfigurationHistory;
  readonly #writes: Writes;
  readonly #timer: ElectionTimer;

  // Promises (durable once written) and what is known.
  #term: number;
  #vote: NodeId;
  #savedTerm: number;
  #savedVote: NodeId;
  #savedCommit: number;
  #commit: number;
  #role: Role = "follower";
  #leader: NodeId = nobody;
  /** Who leads was told by a member that feeds this node, and not by the leader itself. */
  #isHearsay = false;
  /** Peers whose socket closed and did not come back: nothing is to be expected of them in a vote. */
  readonly #absent = new Set<NodeId>();
  #lostUntil: Index | undefined;

  // Candidates.
  readonly #votes = new Map<NodeId, boolean>();
  #roundLost = false;

  // Leaders.
  #peers: Progress[] = [];
  readonly #reads = new ReadRounds();
  #heartbeatTicks = 0;
  #restTicks = 0;
  #quorumTicks = 0;
  #transferee: NodeId = nobody;
  #transferTicks = 0;
  #uncommittedBytes = 0;
  /** A configuration change was committed and its consequences were not drawn yet. */
  #changeDone = false;
  /** Something happened after which there may be something to send. */
  #dirty = false;
  readonly #slices = new Map<number, readonly Entry[]>();

  // Apply.
  #handedOut: number;
  #applied: number;
  #unapplied: { readonly last: number; readonly bytes: number }[] = [];
  #unappliedBytes = 0;

  /** With a wrong one this node is no leader to stay (S1): see trustState(). */
  #isStateTrusted = true;
  /** Attempts to hand over for want of a right state: each goes to the next voter that has everything. */
  #handOvers = 0;
  /** A snapshot took the place of the log, and storage was not told yet. */
  #restored: SnapshotMeta | undefined;
  /** The append that tells it; until it is durable the log's base is not. */
  #restoreToken = 0;
  /** Entries that cannot be read any more. What others lack of them comes in a snapshot, once the log begins after them (D3). */
  readonly #damaged = new Set<number>();
  /** Acknowledged entries were lost here, and are not back yet (D3). */
  #repair: Restored["repair"];

  // Output of the next drain.
  #snapshotsWanted: NodeId[] = [];
  #messages: Message[] = [];
  #messagesAfterAppend: Message[] = [];
  #answers: ReadReady[] = [];
  #drainedLeadership: Leadership | undefined;
  #drainedConfiguration: Configuration | undefined;

  #dropped = 0;

  readonly #matches: Reached = {
    reached: (node) => (node === this.#id ? this.#log.durable : (this.#peer(node)?.match ?? 0)),
  };
  readonly #rounds: Reached = {
    reached: (node) => (node === this.#id ? this.#reads.newest : (this.#peer(node)?.round ?? 0)),
  };
  readonly #heard: Reached = {
    reached: (node) => (node === this.#id || this.#peer(node)?.active === true ? 1 : 0),
  };

  /**
   * `restored` is what storage found: for a new cluster see bootstrap() in configuration.ts; a node that joins starts with an
   * empty one and asks for no votes until the log makes it a voter. `reader` gives entries that left the window.
   */
  constructor(options: RaftOptions, restored: Restored, reader: LogReader) {
    const { hardState } = restored;
    this.#options = options;
    this.#id = options.id;
    this.#log = new Log(restored, reader, options.logWindowBytes);
    this.#configurations = new ConfigurationHistory(
      restored.baseIndex,
      restored.baseConfiguration,
      restored.configurations,
    );
    this.#writes = new Writes(bootstrapToken, hardState.term, hardState.vote);
    this.#timer = new ElectionTimer(options);
    assert(options.applied <= this.#log.lastIndex, "the state is ahead of the log: they are not of the same node");
    assert(options.applied >= restored.baseIndex, "the log begins after what the state has applied");
    assert(hardState.term >= this.#log.lastTerm, "the log holds no entry of a later term than the hard state");
    this.#term = this.#savedTerm = hardState.term;
    this.#vote = this.#savedVote = hardState.vote;
    // A hint only: what the log does not hold (any more) is not committed here, what was applied is.
    this.#commit = Math.max(options.applied, Math.min(hardState.commit, this.#log.lastIndex));
    this.#savedCommit = hardState.commit;
    this.#handedOut = this.#applied = options.applied;
    this.#configurations.committed(this.#commit);
    this.#repair = restored.repair;
  }

  // --------------------------------------------------------------------------------------------- views

  get role(): Role {
    return this.#role;
  }

  get term(): Term {
    return term(this.#term);
  }

  /** Whom this node voted for in its term; {@link nobody} when for none. */
  get vote(): NodeId {
    return this.#vote;
  }

  /** `nobody` when unknown. */
  get leader(): NodeId {
    return this.#leader;
  }

  get commit(): Index {
    return index(this.#commit);
  }

  get lastIndex(): Index {
    return index(this.#log.lastIndex);
  }

  /** The log is synced here up to this index. */
  get durableIndex(): Index {
    return index(this.#log.durable);
  }

  /** Term of the entry at {@link durableIndex}. */
  get durableTerm(): Term {
    return term(this.#log.termAt(this.#log.durable) ?? 0);
  }

  /** The one in force: the newest in the log, committed or not. */
  get configuration(): Configuration {
    return this.#configurations.current;
  }

  /** The newest one that is known to be committed. */
  get committedConfiguration(): Configuration {
    return this.#configurations.at(this.#commit);
  }

  /** Where it was appended, or the log's base if that is later. */
  get configurationIndex(): Index {
    return index(this.#configurations.currentIndex);
  }

  /** A configuration change waits for its commit, or a joint one for being left. */
  get isChangePending(): boolean {
    return !this.#isConfigurationCommitted || isJoint(this.#configurations.current);
  }

  get #isConfigurationCommitted(): boolean {
    return this.#configurations.currentIndex <= this.#commit;
  }

  /**
   * The log ends before this entry, which this node has acknowledged in this term, and nothing says that it was lost: what else is gone, votes among it,
   * nobody knows. From then on the machine is silent; its node is to end. undefined: all is well.
   */
  get lostUntil(): Index | undefined {
    return this.#lostUntil;
  }

  /** Entries that this node had acknowledged are damaged and not replaced yet: it does not lead, and votes for nobody who has less (D3). */
  get isRepairing(): boolean {
    return this.#repair !== undefined;
  }

  /** The entry before the first one that is kept. */
  get baseIndex(): Index {
    return index(this.#log.baseIndex);
  }

  /** Leader only: bytes appended and not committed. */
  get uncommittedBytes(): number {
    return this.#uncommittedBytes;
  }

  /** Messages that made no sense and were dropped. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Leader only: how far that node is; undefined when it is no member or this node does not lead. */
  progress(node: NodeId): PeerProgress | undefined {
    const peer = this.#role === "leader" ? this.#peer(node) : undefined;
    if (peer === undefined) return undefined;
    const { mode, match, slowDisk } = peer;
    const lag = Math.max(0, this.#log.lastIndex - match);
    const isSilent = peer.isSilent || this.#absent.has(node);
    return { mode, match: index(match), lag, slowDisk, isHeard: this.#isHeard(peer), isSilent };
  }

  /** Leader only: entries that this node is not known to have; undefined as for progress(). */
  lag(node: NodeId): number | undefined {
    return this.progress(node)?.lag;
  }

  // ------------------------------------------------------------------------------------------- feeding

  /** Other intervals from now on, in ticks. Safety does not rest on them. */
  retime(intervals: Pick<RaftOptions, "heartbeatTicks" | "electionTicks">): void {
    this.#options = { ...this.#options, ...intervals };
    this.#timer.retime(intervals.electionTicks);
  }

  /** One unit of time passed. */
  tick(): void {
    if (this.#lostUntil !== undefined) return;
    this.#writes.tick();
    if (this.#role === "leader") this.#tickLeader();
    else if (this.#timer.tick()) {
      if (this.#mayLead) this.#startPreVote();
      else if (!this.#isHearsay) {
        // Who is told of the leader by others is told of its end by them (forgetHearsay); its own vote is free after T all the same.
        this.#leader = nobody;
        this.#timer.restart();
      }
    }
  }

  /** A peer's message. Never throws on what a peer may send: nonsense is dropped and counted. */
  step(message: Message): void {
    if (typeof message !== "object" || message === null || !isWellFormed(message, this.#id)) {
      this.#dropped++;
      return;
    }
    if (this.#lostUntil !== undefined) return; // nothing that it says is worth anything any more
    if (this.#absent.size > 0) this.#absent.delete(message.from);
    if (message.term > this.#term && !this.#meetTerm(message)) return;
    if (message.term < this.#term && !this.#answerOld(message)) return;
    switch (message.kind) {
      case "pre-vote-request":
        return this.#onPreVoteRequest(message);
      case "pre-vote-response":
        return this.#onPreVoteResponse(message);
      case "vote-request":
        return this.#onVoteRequest(message);
      case "vote-response":
        return this.#onVoteResponse(message);
      case "append-request":
        return this.#onAppendRequest(message);
      case "append-response":
        return this.#onAppendResponse(message);
      case "append-rejection":
        return this.#onAppendRejection(message);
      case "heartbeat-request":
        return this.#onHeartbeatRequest(message);
      case "heartbeat-response":
        return this.#onHeartbeatResponse(message);
      case "timeout-now":
        return this.#onTimeoutNow();
      case "snapshot-request":
        return this.#onSnapshotRequest(message);
      default:
        return unreachable(message, "message");
    }
  }

  /** Leader: appends one entry; `data` belongs to the machine from now on. */
  propose(data: Uint8Array): Proposed {
    const why = this.#refuseProposal();
    if (why !== undefined) return { ok: false, why };
    if (this.#isBusy(data.length)) return { ok: false, why: "busy" };
    return { ok: true, ...this.#appendOwn("command", data) };
  }

  /**
   * Leader: one change of membership, in force at once, done when its entry is committed. `basedOn` is the
   * configuration that the caller decided on: another one meanwhile makes the decision void.
   */
  proposeConfiguration(change: ConfigurationChange, basedOn: Configuration): Proposed {
    const present = this.#configurations.current;
    const why = this.#refuseProposal() ?? this.#refuseChange(change, basedOn, present);
    if (why !== undefined) return { ok: false, why };
    const next = changeConfiguration(present, change);
    if (typeof next === "string") return { ok: false, why: next };
    if (!this.#isQuorumHere(present, next)) return { ok: false, why: "quorum-absent" };
    return { ok: true, ...this.#appendOwn("configuration", encodeConfiguration(next)) };
  }

  /**
   * Too much is under way, be it to others, to this node's own disk (which may be slower than all the others) or to its state. One entry is
   * always taken when nothing is, whatever its size.
   */
  #isBusy(bytes: number): boolean {
    if (this.#unappliedBytes >= limits.unappliedBytes) return true;
    const underWay = Math.max(this.#uncommittedBytes, this.#writes.bytes);
    return underWay > 0 && underWay + bytes > this.#options.uncommittedBytes;
  }

  #refuseProposal(): ProposeRefusal | undefined {
    if (this.#role !== "leader") return "not-leader";
    return this.#isToStay ? undefined : "transferring";
  }

  /** Leader: nobody else is to take over. */
  get #isToStay(): boolean {
    return this.#isStateTrusted && this.#transferee === nobody;
  }

  #refuseChange(
    change: ConfigurationChange,
    basedOn: Configuration,
    present: Configuration,
  ): ProposeRefusal | undefined {
    // Two leaders that change the same base, neither having committed in its term, could form disjoint quorums.
    if (!this.#hasCommittedOwnTerm) return "no-own-term-commit";
    if (this.isChangePending) return "change-pending";
    if (!sameConfiguration(basedOn, present)) return "stale-configuration";
    if (change.kind === "promote") {
      return !present.learners.includes(change.node) || this.#isCaughtUp(change.node) ? undefined : "not-caught-up";
    }
    if (change.kind !== "replace") return undefined;
    const isReady = (node: NodeId): boolean => present.voters.includes(node) || this.#isCaughtUp(node);
    return change.voters.every(isReady) ? undefined : "not-caught-up";
  }

  /** From its append on a change waits for a majority of the new voters: those that are gone now may never return, and nobody could take it back. */
  #isQuorumHere(present: Configuration, { voters }: Configuration): boolean {
    if (voters.every((node) => present.voters.includes(node)) && voters.length === present.voters.length) return true;
    const here = voters.filter((node) => node === this.#id || this.#isHeard(this.#peer(node)));
    return here.length * 2 > voters.length;
  }

  #isHeard(peer: Progress | undefined): boolean {
    return peer !== undefined && peer.isHeard && !this.#absent.has(peer.node);
  }

  /** A learner that would not hold up a quorum. */
  #isCaughtUp(node: NodeId): boolean {
    const peer = this.#peer(node);
    const near = peer !== undefined && peer.match + this.#options.promoteLagEntries >= this.#log.lastIndex;
    return near && peer.mode === "replicate";
  }

  /** Asks for an index that a linearizable read must have seen; answered in `reads`, with undefined when not leading. */
  readIndex(ticket: number): void {
    if (this.#role !== "leader" || !this.#isStateTrusted || this.#reads.pending >= limits.pendingReads) {
      this.#answers.push({ ticket, index: undefined });
      return;
    }
    this.#reads.add(ticket);
    this.#dirty = true;
  }

  /** Leader: hands over to another voter, once that one has the whole log. Proposals are refused meanwhile. */
  transfer(to: NodeId): Transferred {
    if (this.#role !== "leader") return { ok: false, why: "not-leader" };
    if (this.#transferee !== nobody) return { ok: false, why: "transferring" };
    if (to === this.#id || !this.#configurations.current.voters.includes(to)) return { ok: false, why: "not-voter" };
    const peer = this.#peer(to);
    assert(peer !== undefined, "every other voter has a progress");
    this.#beginTransfer(peer);
    return { ok: true };
  }

  /** Storage has synced every append up to this token. */
  appended(token: number): void {
    const upTo = this.#writes.finished(token);
    if (upTo === undefined) return;
    this.#log.saved(upTo);
    if (this.#repair !== undefined && token >= this.#restoreToken) this.#checkRepair(this.#repair);
    if (this.#role === "leader") this.#advanceCommit();
    // Not only what is applied: memory must stay bounded while apply is behind (L1).
    this.#log.evict(Math.min(this.#commit, this.#log.durable));
    if (this.#role === "candidate" && this.#writes.durableTerm === this.#term && !this.#votes.has(this.#id)) {
      assert(this.#writes.durableVote === this.#id, "a candidate has voted for itself");
      this.#votes.set(this.#id, true);
      this.#countVotes();
    }
  }

  /** The state has applied everything up to this index. */
  applied(upTo: Index): void {
    assert(upTo <= this.#handedOut, "nothing is applied that was not handed out");
    if (upTo <= this.#applied) return;
    this.#applied = upTo;
    while (this.#unapplied.length > 0 && this.#unapplied[0]!.last <= upTo)
      this.#unappliedBytes -= this.#unapplied.shift()!.bytes;
    this.#log.evict(this.#applied);
  }

  /** What was lost is there again, or the log of a leader whom this node did not help to become one (types.ts, Restored). */
  #checkRepair({ until, term: brokenIn }: { readonly until: number; readonly term: number }): void {
    const { durable } = this.#log;
    const isPast = durable >= until || (this.#log.termAt(durable) ?? 0) > brokenIn;
    if (isPast && this.#restored === undefined) this.#repair = undefined;
  }

  /**
   * Forgets the entries up to `upTo`, which the state has durably (D3: the caller sees to it). Gives the log's new base for storage, or
   * undefined when there is nothing to forget.
   */
  compact(upTo: Index): SnapshotMeta | undefined {
    if (upTo <= this.#log.baseIndex) return undefined;
    assert(upTo <= this.#applied, "what is compacted was applied");
    // A snapshot or a write of these entries is under way: later.
    if (upTo > this.#log.durable || this.#restored !== undefined) return undefined;
    const meta = this.#metaAt(upTo);
    this.#log.compactTo(upTo);
    this.#configurations.compactTo(upTo);
    for (const at of this.#damaged) if (at <= upTo) this.#damaged.delete(at);
    return meta;
  }

  #metaAt(at: Index): SnapshotMeta {
    const atTerm = this.#log.termAt(at);
    assert(atTerm !== undefined, "the index lies inside the log");
    return { index: at, term: atTerm, configuration: this.#configurations.at(at) };
  }

  /** Leader: a snapshot for `peer` has come to its end, up to `sent`; undefined: it did not arrive, and is wanted again if need be. */
  snapshotEnded(peer: NodeId, sent: Index | undefined): void {
    this.#peer(peer)?.snapshotEnded(sent ?? 0, this.#log.baseIndex);
  }

  /** Leader: another member feeds that learner, which is said to be as far as `match`. */
  relayed(learner: NodeId, match: Index): void {
    if (!this.#configurations.current.learners.includes(learner)) return;
    this.#peer(learner)?.relayed(match);
  }

  /** Leader: sends to that learner itself from now on, since nobody else does or it is to be promoted. */
  feedDirectly(learner: NodeId): void {
    this.#peer(learner)?.direct();
    this.#dirty = true;
  }

  /** The raft socket of a peer closed: news of a crash, long before a timeout. */
  disconnected(peer: NodeId): void {
    this.#absent.add(peer);
    if (this.#role === "leader") {
      const progress = this.#peer(peer);
      if (progress !== undefined) {
        if (progress.mode !== "relay") progress.probe();
        progress.paused = true;
      }
      if (this.#transferee === peer) this.#transferee = nobody;
    } else if (this.#leader === peer) {
      this.#leader = nobody;
      if (this.#timer.hurry() && this.#mayLead) this.#startPreVote();
    } else if (this.#role !== "follower") this.#countVotes();
  }

  /** A raft socket to a peer is open (again). */
  connected(peer: NodeId): void {
    this.#absent.delete(peer);
    if (this.#role !== "leader") return;
    const progress = this.#peer(peer);
    if (progress === undefined) return;
    progress.paused = false;
    this.#dirty = true;
  }

  /** Steps down, in favour of the voter that is closest if there is one: this node cannot write (disk full). */
  resign(): void {
    if (this.#role === "leader") this.#stepDown(true);
  }

  /**
   * Whether the state that this node has is the right one (S1). A wrong one does not make the log wrong, which may be the longest there is:
   * then nobody else can be elected. So this node asks for votes still, later than others, and leads only to give its log to another voter: it
   * takes no proposals, answers no reads, and hands over as soon as one has everything. Who leads when its state is found to be wrong
   * resigns first.
   */
  trustState(isTrusted: boolean): void {
    this.#isStateTrusted = isTrusted;
    this.#timer.stepBack(!isTrusted);
    if (!isTrusted) this.resign();
  }

  /** The state was replaced by a right one that has applied up to `to`: what follows is handed out again. */
  rewind(to: Index): void {
    assert(
      to >= this.#log.baseIndex && to <= this.#commit,
      "the log follows on from the state, and the state is committed",
    );
    this.#handedOut = this.#applied = to;
    this.#unapplied = [];
    this.#unappliedBytes = 0;
  }

  /** An election at once, without waiting for the timeout: a node that is its cluster's only voter need not wait. */
  campaign(): void {
    if (this.#role !== "leader" && this.#mayLead && this.#isStateTrusted) this.#startPreVote();
  }

  // --------------------------------------------------------------------------------------------- votes

  /**
   * By the configurations that it knows, with a disk that could keep its promises. (Votes are given without asking this: the candidate may know
   * a newer configuration.)
   */
  get #mayLead(): boolean {
    return this.#repair === undefined && !this.#isDiskStalled && this.#configurations.mayLead(this.#id);
  }

  /** Nothing was synced for an election timeout although there is something to sync. */
  get #isDiskStalled(): boolean {
    return this.#writes.age >= this.#options.electionTicks;
  }

  get #isDiskSlow(): boolean {
    return this.#writes.slowness * 2 >= this.#options.electionTicks;
  }

  /** Sticky: there is a leader, so nobody else is helped to become one. */
  get #hearsLeader(): boolean {
    return this.#role === "leader" || (this.#leader !== nobody && this.#timer.isFresh);
  }

  #startPreVote(): void {
    this.#role = "pre-candidate";
    this.#beginRound();
    this.#votes.set(this.#id, true);
    const { lastIndex, lastTerm } = this.#log;
    this.#askVoters((to) => ({
      kind: "pre-vote-request",
      from: this.#id,
      to,
      term: term(this.#term + 1),
      lastIndex: index(lastIndex),
      lastTerm: term(lastTerm),
    }));
    this.#countVotes();
  }

  #startVote(transfer: boolean): void {
    this.#role = "candidate";
    this.#term += 1;
    this.#vote = this.#id;
    this.#beginRound();
    const { lastIndex, lastTerm } = this.#log;
    this.#askVoters((to) => ({
      kind: "vote-request",
      from: this.#id,
      to,
      term: term(this.#term),
      lastIndex: index(lastIndex),
      lastTerm: term(lastTerm),
      transfer,
    }));
    // Its own vote counts when it is durable: see appended().
  }

  #beginRound(): void {
    this.#leader = nobody;
    this.#votes.clear();
    this.#roundLost = false;
    this.#timer.beginRound();
  }

  #askVoters(request: (to: NodeId) => Message): void {
    const { voters, outgoing } = this.#configurations.current;
    for (const voter of voters) if (voter !== this.#id) this.#send(request(voter));
    for (const voter of outgoing) if (voter !== this.#id && !voters.includes(voter)) this.#send(request(voter));
  }

  #countVotes(): void {
    const configuration = this.#configurations.current;
    if (quorumVote(configuration, this.#votes, nobodyAbsent) === "won") {
      if (this.#role === "pre-candidate") this.#startVote(false);
      else this.#becomeLeader();
    } else if (!this.#roundLost && quorumVote(configuration, this.#votes, this.#absent) === "lost") {
      this.#roundLost = true;
      this.#timer.repeat();
    }
  }

  /**
   * A node that lost entries judges by what it may have had, not by what is left: it helps nobody who could lack an entry that it had helped
   * to commit (D3).
   */
  #isUpToDate(lastIndex: number, lastTerm: number): boolean {
    if (this.#repair !== undefined) {
      const { until, term: brokenIn } = this.#repair;
      return lastTerm > brokenIn || (lastTerm === brokenIn && lastIndex >= until);
    }
    return lastTerm > this.#log.lastTerm || (lastTerm === this.#log.lastTerm && lastIndex >= this.#log.lastIndex);
  }

  #onPreVoteRequest(message: MessageOf<"pre-vote-request">): void {
    const granted =
      message.term > this.#term && !this.#hearsLeader && this.#isUpToDate(message.lastIndex, message.lastTerm);
    if (granted && this.#role === "follower") this.#timer.giveWay();
    // A refusal carries the own term: a candidate that is behind must learn it, or nobody might ever win.
    const answered = granted ? message.term : term(this.#term);
    this.#send({ kind: "pre-vote-response", from: this.#id, to: message.from, term: answered, granted });
  }

  #onPreVoteResponse(message: MessageOf<"pre-vote-response">): void {
    if (this.#role !== "pre-candidate") return;
    if (message.granted && message.term !== this.#term + 1) return;
    this.#votes.set(message.from, message.granted);
    this.#countVotes();
  }

  #onVoteRequest(message: MessageOf<"vote-request">): void {
    const free = this.#vote === message.from || (this.#vote === nobody && this.#leader === nobody);
    const granted = free && this.#isUpToDate(message.lastIndex, message.lastTerm);
    if (granted) {
      assert(this.#role === "follower" || this.#role === "pre-candidate", "a candidate's vote is taken");
      this.#role = "follower";
      this.#vote = message.from;
      this.#timer.restart();
    }
    this.#send({ kind: "vote-response", from: this.#id, to: message.from, term: term(this.#term), granted });
  }

  #onVoteResponse(message: MessageOf<"vote-response">): void {
    if (this.#role !== "candidate") return;
    this.#votes.set(message.from, message.granted);
    this.#countVotes();
  }

  /** The leader asks this node to take over now: no pre-vote, and others may answer although they hear a leader. */
  #onTimeoutNow(): void {
    if (this.#role === "leader" || !this.#mayLead || !this.#isStateTrusted) return;
    this.#timer.beginHaste();
    this.#startVote(true);
  }

  // --------------------------------------------------------------------------------------------- terms

  /** A message of a later term. False: it is refused, and so is its term. */
  #meetTerm(message: Message): boolean {
    switch (message.kind) {
      case "pre-vote-request":
        return true; // a question about a term that nobody has begun
      case "pre-vote-response":
        if (message.granted) return true; // our own question's term
        break;
      case "vote-request":
        if (!message.transfer && this.#hearsLeader) return false;
        break;
      case "append-request":
      case "heartbeat-request":
      case "snapshot-request":
        this.#becomeFollower(message.term, message.from);
        return true;
      default:
        break;
    }
    this.#becomeFollower(message.term, nobody);
    return true;
  }

  /** A message of an earlier term: its sender learns the present one if it asks. True: it still counts. */
  #answerOld(message: Message): boolean {
    const { kind, from } = message;
    const envelope = { from: this.#id, to: from, term: term(this.#term) };
    if (kind === "pre-vote-response") return !message.granted;
    if (kind === "append-request" || kind === "heartbeat-request" || kind === "snapshot-request") {
      // A leader that cannot reach this node's term would never get it back: it must hear of the term and step down.
      this.#send({ kind: "heartbeat-response", ...envelope, round: 0, slowDisk: this.#isDiskSlow });
    } else if (kind === "vote-request") this.#send({ kind: "vote-response", ...envelope, granted: false });
    else if (kind === "pre-vote-request") this.#send({ kind: "pre-vote-response", ...envelope, granted: false });
    return false;
  }

  #becomeFollower(newTerm: number, leader: NodeId): void {
    assert(newTerm >= this.#term, "terms never fall");
    this.#isHearsay = false;
    if (this.#role === "leader") this.#stopLeading();
    if (newTerm > this.#term) {
      this.#term = newTerm;
      this.#vote = nobody;
    }
    this.#role = "follower";
    this.#leader = leader;
    if (leader === nobody) this.#timer.repeat();
    else this.#timer.heardLeader();
  }

  // ------------------------------------------------------------------------------------------- leading

  #becomeLeader(): void {
    assert(
      this.#writes.durableTerm === this.#term && this.#writes.durableVote === this.#id,
      "a leader's own vote is durable",
    );
    this.#role = "leader";
    this.#leader = this.#id;
    const granted = new Set([...this.#votes].flatMap(([node, isGranted]) => (isGranted ? [node] : [])));
    this.#votes.clear();
    this.#peers = [];
    this.#heartbeatTicks = 0;
    this.#restTicks = 0;
    this.#quorumTicks = 0;
    this.#transferee = nobody;
    this.#changeDone = false;
    this.#uncommittedBytes = this.#log.bytesBetween(this.#commit + 1, this.#log.lastIndex);
    this.#syncPeers();
    for (const peer of this.#peers) if (granted.has(peer.node)) peer.hope();
    // Entries of earlier terms are committed by way of this one, never by counting.
    this.#appendOwn("noop", noData);
  }

  #stopLeading(): void {
    this.#reads.abandon(this.#answers);
    this.#peers = [];
    this.#transferee = nobody;
    this.#uncommittedBytes = 0;
  }

  /** `handOver`: the voter that is closest, one with a fast disk if possible, is asked to take over, so that nobody waits for a timeout. */
  #stepDown(handOver: boolean): void {
    let best: Progress | undefined;
    for (const peer of this.#peers) {
      const able = this.#configurations.current.voters.includes(peer.node) && !this.#absent.has(peer.node);
      if (!able) continue;
      if (best === undefined || isBetterLeader(peer, best)) best = peer;
    }
    if (handOver && best !== undefined) this.#sendTimeoutNow(best.node);
    this.#becomeFollower(this.#term, nobody);
  }

  #tickLeader(): void {
    const { electionTicks, heartbeatTicks } = this.#options;
    // Leadership is tied to the disk: with a hanging one others must be able to go on.
    if (this.#isDiskStalled) return this.#stepDown(true);
    if (++this.#quorumTicks >= electionTicks) {
      this.#quorumTicks = 0;
      if (quorumReached(this.#configurations.current, this.#heard) < 1) return this.#stepDown(false);
      for (const peer of this.#peers) peer.checked();
    }
    if (this.#transferee !== nobody && ++this.#transferTicks >= electionTicks) this.#transferee = nobody;
    if (!this.#isStateTrusted) this.#handOver();
    this.#restTicks = this.#isAtRest ? this.#restTicks + 1 : 0;
    const every = this.#restTicks > restAfterIntervals * heartbeatTicks ? 2 * heartbeatTicks : heartbeatTicks;
    if (++this.#heartbeatTicks >= every) this.#sendHeartbeats();
  }

  /** Everything is committed and everybody who is there has it. */
  get #isAtRest(): boolean {
    const last = this.#log.lastIndex;
    const isDone = (peer: Progress): boolean =>
      peer.match === last || peer.mode === "relay" || this.#absent.has(peer.node);
    return this.#commit === last && this.#peers.every(isDone);
  }

  get #hasCommittedOwnTerm(): boolean {
    return this.#log.termAt(this.#commit) === this.#term;
  }

  #peer(node: NodeId): Progress | undefined {
    for (const peer of this.#peers) if (peer.node === node) return peer;
    return undefined;
  }

  /** A progress for every other member. Those that a change removes stay until it is committed, to hear of it. */
  #syncPeers(): void {
    const { voters, outgoing, learners } = this.#configurations.current;
    for (const nodes of [voters, outgoing, learners]) {
      for (const node of nodes) {
        if (node === this.#id) continue;
        const isRelayed = nodes === learners && learners.length > this.#options.directLearners;
        const known = this.#peer(node);
        // Who votes is counted by what it says itself.
        if (nodes !== learners) known?.direct();
        if (known !== undefined) continue;
        const { appendMessageBytes, inflightAppends } = this.#options;
        const peer = new Progress(
          node,
          this.#log.lastIndex + 1,
          inflightAppends,
          inflightFullMessages * appendMessageBytes,
        );
        if (isRelayed) peer.relayed(0);
        this.#peers.push(peer);
      }
    }
  }

  #appendOwn(kind: EntryKind, data: Uint8Array): { readonly index: Index; readonly term: Term } {
    const entry: Entry = { index: index(this.#log.lastIndex + 1), term: term(this.#term), kind, data };
    this.#appendToLog(entry);
    this.#uncommittedBytes += entryBytes(entry);
    if (kind === "configuration") this.#syncPeers();
    this.#dirty = true;
    return { index: entry.index, term: entry.term };
  }

  #onAppendResponse(message: MessageOf<"append-response">): void {
    const peer = this.#peer(message.from);
    if (peer === undefined || message.match > this.#log.lastIndex) {
      this.#dropped++;
      return;
    }
    if (peer.acknowledged(message.match, this.#log.baseIndex)) this.#advanceCommit();
    this.#dirty = true;
    this.#continueTransfer(peer);
    if (!this.#isStateTrusted) this.#handOver();
  }

  #onAppendRejection(message: MessageOf<"append-rejection">): void {
    const peer = this.#peer(message.from);
    if (peer === undefined) {
      this.#dropped++;
      return;
    }
    const { hintIndex, hintTerm, rejected, repairing } = message;
    // Before our log begins there is nothing to compare: a snapshot must come, and no further probe.
    const isCompacted = hintIndex < this.#log.baseIndex;
    const candidate = isCompacted ? hintIndex : this.#log.lastIndexWithTermAtMost(hintIndex, hintTerm);
    if (repairing) peer.forgot(hintIndex);
    if (peer.refused(rejected, candidate)) this.#dirty = true;
  }

  #onHeartbeatResponse(message: MessageOf<"heartbeat-response">): void {
    const peer = this.#peer(message.from);
    if (peer === undefined || message.round > this.#reads.newest) {
      this.#dropped++;
      return;
    }
    const wasPaused = peer.paused;
    peer.heartbeatAnswered(this.#log.lastIndex, message.slowDisk);
    if (message.round > peer.round) peer.round = message.round;
    // At rest an answer leads to nothing, and costs no turn of the loop.
    if (peer.nudge || wasPaused || peer.mode === "probe" || this.#reads.hasOpen) this.#dirty = true;
    this.#continueTransfer(peer);
  }

  #beginTransfer(peer: Progress): void {
    this.#transferee = peer.node;
    this.#transferTicks = 0;
    this.#continueTransfer(peer);
  }

  #continueTransfer(peer: Progress): void {
    if (this.#transferee === peer.node && peer.match === this.#log.lastIndex) this.#sendTimeoutNow(peer.node);
  }

  /** A leader with a wrong state: to a voter that has everything; the one that was asked last may have a wrong state too. */
  #handOver(): void {
    if (this.#transferee !== nobody) return;
    const { voters } = this.#configurations.current;
    const able = this.#peers.filter(
      ({ node, match }) => match === this.#log.lastIndex && voters.includes(node) && !this.#absent.has(node),
    );
    if (able.length > 0) this.#beginTransfer(able[this.#handOvers++ % able.length]!);
  }

  #sendTimeoutNow(to: NodeId): void {
    this.#send({ kind: "timeout-now", from: this.#id, to, term: term(this.#term) });
  }

  /** Commits what a quorum has durably, if it is of this term (the paper's Figure 8). */
  #advanceCommit(): void {
    const reached = Math.min(quorumReached(this.#configurations.current, this.#matches), this.#log.lastIndex);
    if (reached <= this.#commit || this.#log.termAt(reached) !== this.#term) return;
    const wasPending = !this.#isConfigurationCommitted;
    this.#uncommittedBytes -= this.#log.bytesBetween(this.#commit + 1, reached);
    this.#commitTo(reached);
    if (wasPending && this.#isConfigurationCommitted) this.#changeDone = true;
    this.#dirty = true;
  }

  /** What a committed change means for the leader, after its followers were told. */
  #finishChange(): void {
    this.#changeDone = false;
    // A joint one has consequences when it was left, not when the entry that leaves it was appended.
    if (!this.#isConfigurationCommitted) return;
    const configuration = this.#configurations.current;
    this.#peers = this.#peers.filter((peer) => isMember(configuration, peer.node));
    if (this.#transferee !== nobody && !isVoter(configuration, this.#transferee)) this.#transferee = nobody;
    if (!isVoter(configuration, this.#id)) this.#stepDown(true);
  }

  #sendHeartbeats(): void {
    this.#heartbeatTicks = 0;
    for (const peer of this.#peers) {
      if (peer.mode === "relay") continue;
      this.#send({
        kind: "heartbeat-request",
        from: this.#id,
        to: peer.node,
        term: term(this.#term),
        // Beyond its match a follower may hold something else.
        commit: index(Math.min(peer.match, this.#commit)),
        round: this.#reads.newest,
      });
    }
  }

  /**
   * A committed joint configuration is left, by whoever leads then, once: the entry that leaves it is pending from its append on. Before
   * that nobody steps down for being removed, or there might be nobody to lead the way out.
   */
  #leaveJointIfDue(): void {
    const present = this.#configurations.current;
    if (!isJoint(present) || !this.#isConfigurationCommitted || !this.#hasCommittedOwnTerm) return;
    if (this.#isToStay) this.#appendOwn("configuration", encodeConfiguration(leaveJoint(present)));
  }

  /** Everything that a leader has to send since the last drain. */
  #lead(): void {
    this.#leaveJointIfDue();
    this.#dirty = false;
    if (this.#reads.hasWaiting && this.#hasCommittedOwnTerm) {
      this.#reads.begin(this.#commit);
      this.#sendHeartbeats();
    }
    if (this.#reads.hasOpen)
      this.#reads.confirm(quorumReached(this.#configurations.current, this.#rounds), this.#answers);
    for (const peer of this.#peers) this.#replicateTo(peer);
    this.#slices.clear();
    if (this.#changeDone) this.#finishChange();
  }

  #replicateTo(peer: Progress): void {
    const last = this.#log.lastIndex;
    if (peer.mode === "relay") return;
    if (peer.mode !== "snapshot" && peer.next <= this.#log.baseIndex) this.#wantSnapshot(peer);
    if (peer.mode === "snapshot" || this.#damaged.has(peer.next)) return;
    if (peer.mode === "probe") {
      if (!peer.paused) this.#sendAppend(peer, this.#slice(peer.next));
      peer.paused = true;
      peer.nudge = false;
      return;
    }
    let sent = false;
    let evictedReads = 0;
    while (peer.next <= last && peer.hasRoom) {
      if (this.#log.isEvicted(peer.next) && ++evictedReads > evictedReadsPerDrain) break;
      const entries = this.#slice(peer.next);
      if (entries.length === 0) break;
      this.#sendAppend(peer, entries);
      peer.sent(lastIndexOf(entries, peer.next), bytesOf(entries));
      sent = true;
    }
    // An empty one finds out what was lost, and tells a new commit index when nothing else is about to.
    if (!sent && (peer.nudge || peer.announced < Math.min(this.#commit, peer.next - 1)))
      this.#sendAppend(peer, noEntries);
    peer.nudge = false;
  }

  /** The entry that the next one follows is compacted. A peer that is absent is not sent for. */
  #wantSnapshot(peer: Progress): void {
    if (peer.paused) return;
    peer.awaitSnapshot();
    this.#snapshotsWanted.push(peer.node);
  }

  /** The same array for every follower that gets the same entries in this drain: it is encoded once. Empty at the end of what there is. */
  #slice(from: number): readonly Entry[] {
    if (from > this.#log.lastIndex || this.#damaged.has(from)) return noEntries;
    let entries = this.#slices.get(from);
    if (entries === undefined) {
      entries = this.#log.slice(from, this.#log.lastIndex + 1, this.#options.appendMessageBytes);
      this.#slices.set(from, entries);
      if (entries.length === 0) this.#damaged.add(from);
    }
    return entries;
  }

  #sendAppend(peer: Progress, entries: readonly Entry[]): void {
    const previousIndex = peer.next - 1;
    const previousTerm = this.#log.termAt(previousIndex);
    assert(previousTerm !== undefined, "whose place is compacted gets a snapshot");
    peer.announced = Math.min(this.#commit, previousIndex + entries.length);
    this.#send({
      kind: "append-request",
      from: this.#id,
      to: peer.node,
      term: term(this.#term),
      previousIndex: index(previousIndex),
      previousTerm,
      entries,
      commit: index(this.#commit),
    });
  }

  // ----------------------------------------------------------------------------------------- following

  /** A message that only the leader of this term sends. */
  #hearLeader(from: NodeId): void {
    assert(this.#role !== "leader", "a term has one leader");
    assert(this.#leader === nobody || this.#leader === from || this.#isHearsay, "a term has one leader");
    if (this.#isHearsay && this.#leader !== from) this.#leader = nobody;
    this.#isHearsay = false;
    if (this.#role === "follower" && this.#leader === from) this.#timer.heardLeader();
    else this.#becomeFollower(this.#term, from);
  }

  #onHeartbeatRequest(message: MessageOf<"heartbeat-request">): void {
    this.#hearLeader(message.from);
    // No further than what this node has acknowledged, durably (D4).
    if (message.commit > this.#log.lastIndex && !this.isRepairing) {
      this.#lostUntil = message.commit;
      return;
    }
    this.#learnCommit(Math.min(message.commit, this.#log.lastIndex));
    const { from, round } = message;
    // Its leader takes the lost entries for stored here, and would never send them.
    if (this.isRepairing) this.#refuseAppend(from, index(this.#log.lastIndex), this.#log.lastTerm);
    const slowDisk = this.#isDiskSlow;
    this.#send({ kind: "heartbeat-response", from: this.#id, to: from, term: term(this.#term), round, slowDisk });
  }

  #onAppendRequest(message: MessageOf<"append-request">): void {
    const { from, previousIndex, previousTerm, entries } = message;
    this.#hearLeader(from);
    const last = previousIndex + entries.length;
    if (last <= this.#commit) return this.#acknowledge(from, this.#commit);
    // Up to the commit index logs are equal, and our own may be compacted there: begin after it.
    const known = Math.max(0, this.#commit - previousIndex);
    if (known === 0 && this.#log.termAt(previousIndex) !== previousTerm) {
      return this.#refuseAppend(from, previousIndex, previousTerm);
    }
    assert(
      known === 0 || entries[known - 1]!.term === this.#log.termAt(this.#commit),
      "committed entries never differ",
    );
    this.#store(entries, known);
    this.#learnCommit(Math.min(message.commit, last));
    this.#acknowledge(from, last);
  }

  /** Stores what is new; overwrites only from the first entry whose term differs: a delayed append must not cut the log. */
  #store(entries: readonly Entry[], begin: number): void {
    let at = begin;
    while (at < entries.length && this.#log.termAt(entries[at]!.index) === entries[at]!.term) at++;
    if (at === entries.length) return;
    const first = entries[at]!.index;
    if (first <= this.#log.lastIndex) this.#truncateFrom(first);
    for (; at < entries.length; at++) this.#appendToLog(entries[at]!);
  }

  #truncateFrom(at: number): void {
    assert(at > this.#commit, "a committed entry is never overwritten");
    this.#log.truncateFrom(at);
    this.#writes.truncateFrom(at);
    this.#configurations.truncateFrom(at);
    // What comes in its place is whole.
    for (const damaged of this.#damaged) if (damaged >= at) this.#damaged.delete(damaged);
  }

  #appendToLog(entry: Entry): void {
    this.#log.append(entry);
    if (entry.kind !== "configuration") return;
    const configuration = decodeConfiguration(entry.data);
    assert(configuration !== undefined, "a configuration entry was checked when it came in");
    this.#configurations.append(entry.index, configuration);
  }

  /** A snapshot whose state this node holds, whole and verified. Refused when the log has as much already: state never goes back. */
  #onSnapshotRequest({ from, snapshot }: MessageOf<"snapshot-request">): void {
    this.#hearLeader(from);
    if (snapshot.index <= this.#commit) return this.#acknowledge(from, this.#commit);
    if (this.#log.termAt(snapshot.index) === snapshot.term) {
      this.#learnCommit(snapshot.index);
      return this.#acknowledge(from, snapshot.index);
    }
    this.#log.restore(snapshot.index, snapshot.term);
    this.#writes.truncateFrom(snapshot.index + 1);
    this.#configurations.restore(snapshot);
    this.#damaged.clear();
    this.#commit = this.#handedOut = this.#applied = snapshot.index;
    this.#unapplied = [];
    this.#unappliedBytes = 0;
    this.#restored = snapshot;
    this.#acknowledge(from, snapshot.index);
  }

  #acknowledge(to: NodeId, match: number): void {
    this.#send({ kind: "append-response", from: this.#id, to, term: term(this.#term), match: index(match) });
  }

  #refuseAppend(to: NodeId, rejected: Index, previousTerm: number): void {
    const hint = this.#log.lastIndexWithTermAtMost(rejected, previousTerm);
    const hintTerm = this.#log.termAt(hint);
    assert(hintTerm !== undefined, "a hint lies inside the log");
    const envelope = { from: this.#id, to, term: term(this.#term) };
    const repairing = this.isRepairing;
    this.#send({ kind: "append-rejection", ...envelope, rejected, hintIndex: index(hint), hintTerm, repairing });
  }

  #learnCommit(upTo: number): void {
    if (upTo > this.#commit) this.#commitTo(upTo);
  }

  #commitTo(upTo: number): void {
    assert(upTo > this.#commit && upTo <= this.#log.lastIndex, "the commit index grows, inside the log");
    this.#commit = upTo;
    this.#configurations.committed(upTo);
  }

  /**
   * Committed entries of [from, to), for a learner that this node feeds, with the term of the one before; undefined: they are compacted here.
   * Throws the log reader's Fault.
   */
  committedFrom(
    from: Index,
    to: Index,
    maxBytes: number,
  ): { readonly previousTerm: Term; readonly entries: readonly Entry[] } | undefined {
    assert(from <= to && to <= this.#commit + 1, "only committed entries are passed on");
    const previousTerm = this.#log.termAt(from - 1);
    if (previousTerm === undefined) return undefined;
    if (from === to) return { previousTerm, entries: noEntries };
    const entries = this.#log.slice(from, to, maxBytes);
    // Damaged: as good as compacted.
    return entries.length === 0 ? undefined : { previousTerm, entries };
  }

  /** A slice from here is read from disk. */
  isEvicted(at: Index): boolean {
    return this.#log.isEvicted(at);
  }

  /**
   * Takes what another member feeds (types.ts, Fed). Whoever feeds may be wrong, so nothing here is asserted of it. An own tail that
   * differs goes: what is committed instead shows that it never will be.
   */
  feed(fed: Fed): FedOutcome {
    const { leader, previousIndex, previousTerm, entries } = fed;
    if (this.#role !== "follower" || isVoter(this.#configurations.current, this.#id)) return "not-learner";
    const message = { kind: "append-request", ...fed, from: leader === nobody ? fedBy : leader, to: this.#id } as const;
    if (!isWellFormed({ ...message, commit: index(previousIndex) }, this.#id)) return "conflict";
    if (fed.term > this.#term) this.#becomeFollower(fed.term, leader);
    if (fed.term === this.#term && (this.#leader === nobody || this.#leader === leader || leader === nobody)) {
      this.#leader = leader;
      this.#isHearsay = true;
      if (leader !== nobody) this.#timer.heardLeader();
    }
    if (entries.length === 0) return "taken";
    const known = this.#commit - previousIndex;
    if (known < 0) return "gap";
    if (known <= entries.length) {
      const agrees = known === 0 ? previousTerm : entries[known - 1]!.term;
      if (this.#log.termAt(this.#commit) !== agrees) return "conflict";
      this.#store(entries, known);
    }
    this.#learnCommit(previousIndex + entries.length);
    return "taken";
  }

  /** Nobody feeds this node any more, so what was told of the leader counts for nothing. */
  forgetHearsay(): void {
    if (!this.#isHearsay) return;
    this.#isHearsay = false;
    this.#leader = nobody;
  }

  /** What this node knows of the leader was told by a member that feeds it. */
  get isHearsay(): boolean {
    return this.#isHearsay;
  }

  // ------------------------------------------------------------------------------------------ draining

  /** True when drain() would give something. */
  hasReady(): boolean {
    return (
      (this.#dirty && this.#role === "leader") ||
      this.#messages.length > 0 ||
      this.#messagesAfterAppend.length > 0 ||
      this.#answers.length > 0 ||
      this.#log.hasUnsaved ||
      this.#restored !== undefined ||
      this.#isHardStateDue ||
      this.#committedEnd > this.#handedOut ||
      this.#isLeadershipDue ||
      this.#drainedConfiguration !== this.#configurations.current
    );
  }

  /** Everything there is to do now; the caller keeps the order of types.ts. Throws only the log reader's Fault. */
  drain(): Ready {
    const committed = this.#takeCommitted();
    if (this.#role === "leader") this.#lead();
    const append = this.#takeAppend();
    const ready: Ready = {
      append,
      messages: this.#messages,
      messagesAfterAppend: this.#messagesAfterAppend,
      committed,
      snapshotsWanted: this.#snapshotsWanted,
      reads: this.#answers,
      leadership: this.#takeLeadership(),
      configuration: this.#takeConfiguration(),
    };
    if (this.#messages.length > 0) this.#messages = [];
    if (this.#messagesAfterAppend.length > 0) this.#messagesAfterAppend = [];
    if (this.#answers.length > 0) this.#answers = [];
    if (this.#snapshotsWanted.length > 0) this.#snapshotsWanted = [];
    return ready;
  }

  /** Now, or once storage has what the message promises: a vote, stored entries, or a term that is not durable yet (D4). */
  #send(message: Message): void {
    const promises =
      message.kind === "append-response" || message.kind === "vote-response" || this.#term > this.#writes.durableTerm;
    if (promises) this.#messagesAfterAppend.push(message);
    else this.#messages.push(message);
  }

  get #isHardStateDue(): boolean {
    return this.#term !== this.#savedTerm || this.#vote !== this.#savedVote;
  }

  #takeAppend(): Append | undefined {
    const entries = this.#log.takeUnsaved();
    const promised = this.#isHardStateDue;
    const snapshot = this.#restored;
    if (entries.length === 0 && !promised && snapshot === undefined) {
      // Nothing is being written that these could wait for.
      if (this.#writes.isIdle) for (const message of this.#messagesAfterAppend.splice(0)) this.#messages.push(message);
      return undefined;
    }
    // The commit index rides along for nothing; it is never worth a sync of its own.
    const withHardState = promised || this.#commit !== this.#savedCommit;
    const hardState = withHardState
      ? { term: term(this.#term), vote: this.#vote, commit: index(this.#commit) }
      : undefined;
    this.#savedTerm = this.#term;
    this.#savedVote = this.#vote;
    this.#savedCommit = this.#commit;
    const token = this.#writes.start(this.#term, this.#vote, this.#log.lastIndex, bytesOf(entries));
    if (snapshot !== undefined) this.#restoreToken = token;
    this.#restored = undefined;
    return { token, hardState, snapshot, entries };
  }

  /** Committed, durable here (D2: state.db never ahead of log.db), and not too far ahead of apply. */
  get #committedEnd(): number {
    if (this.#unappliedBytes >= limits.unappliedBytes || this.#damaged.has(this.#handedOut + 1)) return this.#handedOut;
    return Math.min(this.#commit, this.#log.durable);
  }

  #takeCommitted(): readonly Entry[] {
    const end = this.#committedEnd;
    if (end <= this.#handedOut) return noEntries;
    const entries = this.#log.slice(this.#handedOut + 1, end + 1, limits.entryBatchBytes);
    if (entries.length === 0) this.#damaged.add(this.#handedOut + 1);
    const bytes = bytesOf(entries);
    this.#handedOut = lastIndexOf(entries, this.#handedOut);
    this.#unapplied.push({ last: this.#handedOut, bytes });
    this.#unappliedBytes += bytes;
    return entries;
  }

  get #isLeadershipDue(): boolean {
    const drained = this.#drainedLeadership;
    if (drained === undefined) return true;
    return drained.role !== this.#role || drained.term !== this.#term || drained.leader !== this.#leader;
  }

  #takeLeadership(): Leadership | undefined {
    if (!this.#isLeadershipDue) return undefined;
    this.#drainedLeadership = { role: this.#role, term: term(this.#term), leader: this.#leader };
    return this.#drainedLeadership;
  }

  #takeConfiguration(): Configuration | undefined {
    if (this.#drainedConfiguration === this.#configurations.current) return undefined;
    this.#drainedConfiguration = this.#configurations.current;
    return this.#drainedConfiguration;
  }
}

/** To hand over to: a disk that keeps up first, then what it has of the log. */
function isBetterLeader(peer: Progress, than: Progress): boolean {
  return peer.slowDisk === than.slowDisk ? peer.match > than.match : than.slowDisk;
}
