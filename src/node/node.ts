import type { AttemptName, Executor, ExecutorOptions } from "../executor/types.ts";
import { assert } from "../lib/assert.ts";
import { Fault } from "../lib/fault.ts";
import { type Epoch, firstEpoch } from "../lib/epoch.ts";
import { index as toIndex, nobody, type NodeId, term } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import type { Labels } from "../lib/selector.ts";
import type { Survivor } from "../lib/survivors.ts";
import { isVoter } from "../raft/configuration.ts";
import { bytesOf } from "../raft/log.ts";
import { Raft } from "../raft/raft.ts";
import { TracedRaft } from "../raft/trace.ts";
import type { Configuration, Leadership, RaftOptions, Restored, SnapshotMeta } from "../raft/types.ts";
import { isClockOff } from "../scheduler/clock.ts";
import type { Vouched } from "./pinned.ts";
import type { AuthorityView } from "../state/answers.ts";
import { tooEarly } from "../state/commands/check.ts";
import { type CommandInput, type CommandName, type CommandValue, commandByName } from "../state/commands/index.ts";
import {
  appliedIndex,
  assignmentsOf,
  clusterRow,
  findNode,
  findToken,
  listNodes,
  type Timing,
  timingOf,
  stateClock,
  totals,
  newestNode,
  wasRemoved,
} from "../state/queries.ts";
import { entryProblem } from "../state/join-token.ts";
import { principalLevel } from "../state/levels.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Principal, Report } from "../state/types.ts";
import type { JudgedState } from "../storage/snapshot-task.ts";
import type { AuthorityKeys, Certificate, Identity, LogStore } from "../storage/types.ts";
import { type NodeCredentials } from "../transport/certificate.ts";
import type { PeerRefusal, Transport, TransportOptions } from "../transport/types.ts";
import type { AppliedEvent, LogPage, LogRequest, MadeToken, NewTokenOptions, NodeApi, NodeStatus } from "./api.ts";
import { postReissue } from "./api-tls.ts";
import { askVoters } from "./ask-voters.ts";
import { AddressSpread } from "./address-spread.ts";
import { AddressBook, type KnownAddress } from "./address-book.ts";
import { Certification } from "./certification.ts";
import type { Lifetimes } from "./certificates.ts";
import { type Backup, Backups } from "./backup.ts";
import { Clocks } from "./clocks.ts";
import { type CrampedFile, DiskRoom, noRoom } from "./disk-room.ts";
import { Divergence, type Finding } from "./divergence.ts";
import { Driver } from "./drive.ts";
import { Duties } from "./duties.ts";
import { Compaction, type LogBudget } from "./compaction.ts";
import { Events } from "./events.ts";
import { grantLease } from "./grant.ts";
import { admitJoiner, type JoinRequest } from "./join.ts";
import { leaveCluster, OwnRemoval } from "./leave.ts";
import { type LeaseGrant, LeaseHolder, LeaseTable } from "./lease.ts";
import { LogRetention } from "./log-retention.ts";
import { LogClock } from "./log-clock.ts";
import { type LogPorts, readLocalLog, readLog } from "./logs.ts";
import { isOldCopy } from "./old-copy.ts";
import { monotonicMs } from "../lib/clock.ts";
import { Proposer } from "./propose.ts";
import { Quarantine } from "./quarantine.ts";
import { Reader } from "./read.ts";
import { Relay } from "./relay.ts";
import type { RelayLimits } from "./relay-tree.ts";
import type { BatchOutcome, StateWriter } from "./state-writer.ts";
import {
  forwardReply,
  hashAnswer,
  knownLeader,
  leaseGrant,
  readIndex,
  snapshotChunk,
  undecidedAnswer,
} from "./peer-answers.ts";
import { PeerRequests } from "./peer-requests.ts";
import { Principals } from "./principals.ts";
import { recoverToken } from "./recover-token.ts";
import { makeSnapshot } from "./snapshot-make.ts";
import { SnapshotReceiver, type Verdict } from "./snapshot-receive.ts";
import { type MadeSnapshot, SnapshotSender } from "./snapshot-send.ts";
import { StillCounting } from "./still-counting.ts";
import { surveyState } from "./survey.ts";
import { Tokens } from "./tokens.ts";
import { prepareRemoval, transferLeadership, type TransferPorts, type TransferValue } from "./transfer.ts";
import { voterProblem, type VoterRightsPorts } from "./voter-rights.ts";
import { votesAlready } from "./votes-already.ts";
import { Work } from "./work.ts";

/**
 * One node of the mesh: the meeting point of consensus, state, transport, storage and execution. This file only connects
 * them; what each does is in its own file beside it. Awaits stand in propose, read, join and leave, and none of them
 * keeps a decision about leadership across an await: the log decides.
 */

/** How long a removed node's sockets are kept open. */
const departMs = 5000;

/** How old the count of unfinished jobs may be. */
const countEveryMs = 200;

export interface NodeParts {
  readonly identity: Identity;
  readonly certificate: Certificate;
  readonly authority: AuthorityKeys | undefined;
  readonly lifetimes: Lifetimes;
  storeCertificate(certificate: Certificate): void;
  storeAuthority(keys: AuthorityKeys | undefined): void;
  /** The names that a certificate of this node is to hold. */
  hosts(): readonly string[];
  readonly version: string;
  readonly dataDir: string;
  readonly incarnation: string;
  /** The newest level that it understands (S2). */
  readonly level: number;
  /** Epoch ms, for what it says of its clock (J4); absent: the system's. */
  readonly wallClock?: (() => number) | undefined;
  readonly capacity: { readonly slots: number; readonly ioTasks: number };
  readonly labels: Labels;
  readonly restored: Restored;
  /** What state.db had applied at start, and its rolling hash. */
  readonly applied: number;
  readonly stateHash: string;
  readonly logStore: LogStore;
  /** Runs a query in one read transaction of a read-only connection. */
  view<Value>(query: (tx: ReadTx) => Value): Value;
  readonly writer: Pick<StateWriter, "apply" | "install">;
  /** A copy of the state as it is now, in a file for sending. Throws Fault. */
  copyState(purpose: "snapshot" | "backup"): Promise<MadeSnapshot>;
  /** Views are of that file from now on; undefined: of state.db. */
  viewState(path: string | undefined): void;
  /** How much of the log is kept. */
  readonly logBudget: LogBudget;
  /** Gets the steps of consensus, if somebody wants to check them (raft/trace.ts). */
  readonly trace?: ((line: string) => void) | undefined;
  /** From when on, and how wide, learners feed each other. */
  readonly relay: RelayLimits;
  openTransport(hooks: TransportHooks): Transport;
  openExecutor(hooks: ExecutorHooks): Executor;
  /** Reads a state file whole and says what it is. Throws Fault. */
  checkState(path: string): Promise<JudgedState>;
  /** Numbers in [0, 1) for elections. */
  random(): number;
  randomBytes(count: number): Uint8Array;
  readonly log: (level: "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;
  /** The node has left the cluster and is to stop. */
  onLeft(): void;
  /** This node was removed by others. */
  onRemoved(reason: string): void;
  /** The cluster goes on in this newer epoch, without this node. */
  onFenced(newer: Epoch): void;
  /** Its data is an older copy, as another member knows. */
  onOldCopy(): void;
}

export type TransportHooks = Pick<
  TransportOptions,
  "onMessage" | "onDisconnected" | "onConnected" | "onRequest" | "onRefused" | "wasRemoved" | "mayBeNewer" | "isOldCopy"
> & {
  credentials(): NodeCredentials;
};
export type ExecutorHooks = Pick<ExecutorOptions, "report" | "started">;

export type ConsensusView = Pick<
  Raft,
  "role" | "term" | "leader" | "commit" | "lastIndex" | "durableIndex" | "baseIndex" | "configuration" | "isRepairing"
>;

type Committed<Name extends CommandName> = Outcome<{ readonly value: CommandValue<Name>; readonly index: number }>;

/** A running node; HTTP sees it as NodeApi. */
export class Node implements NodeApi {
  readonly id: NodeId;
  readonly name: string;
  readonly cluster: string;
  readonly version: string;
  readonly #parts: NodeParts;
  readonly #self: Principal;
  readonly #driver: Driver;
  readonly #transport: Transport;
  readonly #executor: Executor;
  readonly #events: Events;
  readonly #proposer: Proposer;
  readonly #reader: Reader;
  readonly #leases = new LeaseTable();
  readonly #clocks: Clocks;
  readonly #logClock: LogClock;
  readonly #lease: LeaseHolder;
  readonly #duties: Duties;
  readonly #work: Work;
  readonly #tokens: Tokens;
  readonly #principals: Principals;
  readonly #requests: PeerRequests;
  readonly #voterRights: VoterRightsPorts;
  readonly #certification: Certification;
  /** Told when the credentials change: the listener of the API. */
  readonly #renewedListeners = new Set<() => void>();
  readonly #retention: LogRetention;
  readonly #compaction: Compaction;
  readonly #backups: Backups;
  readonly #sender: SnapshotSender;
  readonly #receiver: SnapshotReceiver;
  readonly #relay: Relay;
  readonly #divergence: Divergence;
  readonly #quarantine: Quarantine;
  /** Members that the state says are in quarantine, and since which entry. */
  #quarantined = new Map<NodeId, number>();
  #takesPart = false;
  #leadership: Leadership = { role: "follower", term: term(0), leader: nobody };
  #configuration: Configuration;
  #applied: number;
  /** Of the cluster, as far as this node has applied. */
  #level: number;
  #timing: Timing;
  /** Whom another member named as the leader, while this node has not heard of one itself. Only a place to send writes to. */
  #hintedLeader: NodeId = nobody;
  #isOldCopy = false;
  #announced = false;
  #announcing = false;
  /** Where this node can be reached, once it listens. */
  #addresses = { api: "", peer: "" };
  readonly #ownRemoval = new OwnRemoval();
  #yielding = false;
  #stopping = false;
  #unfinishedJobs = 0;
  #countedAt = -Infinity;
  readonly #book = new AddressBook();
  readonly #counting: StillCounting;
  readonly #spread: AddressSpread;
  readonly #room = new DiskRoom();
  #peers = new Map<NodeId, string>();
  readonly #departing = new Set<NodeId>();

  constructor(parts: NodeParts) {
    const { identity } = parts;
    this.#parts = parts;
    this.id = identity.node;
    this.name = identity.name;
    this.cluster = identity.cluster;
    this.version = parts.version;
    this.#self = { token: "", name: identity.name, role: "node" };
    this.#applied = parts.applied;
    this.#level = parts.view(clusterRow)?.level ?? parts.level;
    this.#timing = parts.view(timingOf);
    this.#clocks = new Clocks(this.id, () => this.#wallClock());
    this.#logClock = new LogClock({
      wall: () => this.#wallClock(),
      monotonic: monotonicMs,
      isConfirmed: () => this.#clocks.isConfirmed(this.#configuration),
    });
    this.#logClock.seen(parts.view(stateClock));
    this.#events = new Events(parts.applied);
    this.#compaction = new Compaction(parts.logBudget);
    this.#driver = new Driver(this.#openRaft(), parts.logStore, {
      send: (message) => this.#transport.send(message),
      apply: (entries) => {
        this.#relay.onCommitted(entries);
        if (this.#quarantine.isActive) return; // handed out again once there is a right state to apply them to
        parts.writer.apply(entries);
        this.#compaction.committed(entries.at(-1)!.index, bytesOf(entries));
      },
      onReads: (reads) => this.#reader.onReads(reads),
      install: (snapshot) => this.#install(snapshot),
      installed: () => this.#receiver.installed(),
      onSnapshotsWanted: (peers) => {
        for (const peer of peers) this.#sender.want(peer);
      },
      onLeadership: (leadership) => this.#onLeadership(leadership),
      onConfiguration: (configuration) => {
        this.#configuration = configuration;
        this.#relay.onConfiguration();
        this.#dialPeers();
        this.#counting.look();
        this.#duties.onConfiguration();
        this.#certification.changed();
      },
      beforeDrain: () => this.#proposer.logGathered(),
    });
    const raft = this.#driver.raft;
    this.#configuration = raft.configuration;
    this.#counting = new StillCounting({
      current: () => raft.configuration,
      committed: () => raft.committedConfiguration,
      released: (node) => {
        this.#tellRemoved(node);
        this.#setPeers();
      },
    });
    const schedule = (): void => this.#driver.schedule();
    const leader = (): NodeId => (this.#leadership.leader === nobody ? this.#hintedLeader : this.#leadership.leader);
    const isLeading = (): boolean => raft.role === "leader";
    this.#transport = parts.openTransport({
      onMessage: (message) => this.#driver.step(message),
      onDisconnected: (peer) => this.#driver.disconnected(peer),
      onConnected: (peer) => {
        this.#driver.connected(peer);
        this.#spread.meets(peer);
      },
      onRequest: (peer, method, body) => this.#onRequest(peer, method, body),
      onRefused: (peer, refusal) => this.#onRefused(peer, refusal),
      wasRemoved: (node) => !this.#counting.counts(node) && parts.view((tx) => wasRemoved(tx, node)),
      mayBeNewer: (node) => this.#book.isNewcomer(node),
      isOldCopy: (node, incarnation) =>
        // What a wrong state says of others is not to end them.
        !this.#quarantine.isActive &&
        isOldCopy(
          parts.view((tx) => findNode(tx, node)?.incarnation),
          incarnation,
        ),
      credentials: () => this.#certification.credentials(),
    });
    this.#relay = new Relay({
      self: this.id,
      limits: parts.relay,
      raft,
      reader: parts.logStore,
      applied: parts.applied,
      leadership: () => this.#leadership,
      told: () => [...this.#peers.keys()],
      isConnected: (node) => this.#transport.isConnected(node),
      request: (peer, method, body, timeoutMs) => this.#transport.request(peer, method, body, { timeoutMs }),
      wantSnapshot: (child) => this.#sender.wantStill(child),
      schedule,
      log: parts.log,
    });
    this.#requests = new PeerRequests((message) => parts.log("warn", message));
    this.#voterRights = {
      find: (reference) => parts.view((tx) => findNode(tx, reference)),
      isVoter: (node) => isVoter(this.#configuration, node),
      nodeOfToken: (id) => parts.view((tx) => findToken(tx, id))?.node,
    };
    this.#spread = new AddressSpread({
      hasLeader: () => this.hasLeader,
      met: () => [...this.#peers.keys()].filter((node) => this.#transport.isConnected(node)),
      exchange: (peer) => this.#transport.request(peer, "addresses", this.#book.list()),
      learn: (told) => this.learnAddresses(told),
      later: (action, ms) => {
        const timer = setTimeout(action, ms);
        return () => clearTimeout(timer);
      },
    });
    this.#principals = new Principals((id) => parts.view((tx) => findToken(tx, id)));
    this.#proposer = new Proposer(
      {
        self: this.id,
        level: () => this.#level,
        leader,
        isLeading,
        schedule,
        principalProblem: (record) => this.#principals.problemOf(record) ?? voterProblem(record, this.#voterRights),
        propose: (data) => raft.propose(data),
        now: () => this.#logClock.now(),
        randomBytes: (count) => parts.randomBytes(count),
        forward: async (to, batch) => forwardReply(await this.#transport.request(to, "propose", batch)),
      },
      identity.starts,
    );
    this.#reader = new Reader({
      leader,
      isLeading,
      schedule,
      applied: () => this.#applied,
      readIndex: (ticket) => raft.readIndex(ticket),
      askLeader: async (to) => readIndex(await this.#transport.request(to, "read-index", null)),
    });
    this.#executor = parts.openExecutor({
      report: (reports) => this.#report(reports),
      started: (attempts) => this.#started(attempts),
    });
    this.#lease = new LeaseHolder({
      leader,
      isLeading,
      askLeader: async (to) => {
        const grant = leaseGrant(await this.#transport.request(to, "lease", this.#wallClock()));
        if (grant?.kind === "granted") this.#clocks.tell(grant.clock);
        return grant;
      },
      grantSelf: () => this.#grant(this.id),
      waitApplied: (index, deadline) => this.#reader.waitApplied(index, deadline),
      granted: (endsAt, index) => this.#executor.lease(endsAt, index),
      onDeclaredLost: () => this.#announceAgain(),
    });
    this.#executor.onLeaseWanted(() => this.#lease.want());
    this.#work = new Work(this.id, this.#executor, (query) => parts.view(query));
    this.#tokens = new Tokens({
      findToken: (id) => parts.view((tx) => findToken(tx, id)),
      authority: () => this.#certification.issuing,
      create: (input, by) => this.propose("token.create", input, by),
      now: () => Date.now(),
    });
    this.#certification = new Certification(
      {
        cluster: identity.cluster,
        self: this.id,
        principal: this.#self,
        lifetimes: parts.lifetimes,
        view: (query) => parts.view(query),
        propose: (name, input, by) => this.propose(name, input, by),
        isLogged: () => this.#level >= commandByName("authority.begin").since && this.#takesPart,
        askedBy: (body) => this.#principals.personOf(body, "cluster:write", Date.now()),
        isVoter: (node) => isVoter(this.#configuration, node),
        voters: () => this.#configuration.voters,
        isConnected: (node) => this.#transport.isConnected(node),
        isLeading,
        ask: (peer, method, body) => this.#transport.request(peer, method, body),
        askApi: (request) => {
          const others = parts.view(listNodes).filter((row) => row.id !== this.id && row.api !== "");
          return postReissue(
            others.map((row) => row.api),
            request,
            this.authorityBundle(),
          );
        },
        hosts: () => parts.hosts(),
        renewed: () => {
          this.#transport.renewed();
          for (const tell of this.#renewedListeners) tell();
        },
        storeCertificate: (certificate) => parts.storeCertificate(certificate),
        storeKeys: (keys) => parts.storeAuthority(keys),
        now: () => Date.now(),
        log: parts.log,
      },
      parts.certificate,
      parts.authority,
    );
    this.#backups = new Backups({
      cluster: identity.cluster,
      epoch: this.#epoch,
      node: this.id,
      name: this.name,
      version: parts.version,
      catchUp: () => this.#reader.linearizable(),
      copy: () => this.#makeSnapshot("backup", nobody),
      now: () => this.#wallClock(),
    });
    this.#sender = new SnapshotSender({
      cluster: identity.cluster,
      make: (peer) => this.#makeSnapshot("snapshot", peer),
      baseIndex: () => raft.baseIndex,
      serves: (peer) => isLeading() || this.#relay.isChild(peer),
      offer: async (peer, offer) => void (await this.#transport.request(peer, "snapshot.offer", offer)),
      ended: (peer, sent) => {
        raft.snapshotEnded(peer, sent);
        schedule();
      },
      log: parts.log,
    });
    this.#receiver = new SnapshotReceiver({
      dataDir: parts.dataDir,
      cluster: identity.cluster,
      oldest: () => (this.#quarantine.isActive ? raft.baseIndex : raft.commit + 1),
      check: (path) => parts.checkState(path),
      chunk: async (peer, id, number) =>
        snapshotChunk(await this.#transport.request(peer, "snapshot.chunk", { id, number }, { channel: "bulk" })),
      done: async (peer, id, ok) => void (await this.#transport.request(peer, "snapshot.done", { id, ok })),
      offerToRaft: (snapshot) => this.#offerToRaft(snapshot),
      log: parts.log,
    });
    this.#divergence = new Divergence({
      self: this.id,
      level: () => this.#level,
      leader,
      isLeading,
      isQuarantined: () => this.#quarantine.isActive,
      configuration: () => this.#configuration,
      report: async (to, report) => undecidedAnswer(await this.#transport.request(to, "hash.report", report)),
      ask: async (node, at) => hashAnswer(await this.#transport.request(node, "hash.at", at)),
      accuse: async (node, finding) => void (await this.#transport.request(node, "hash.odd", finding)),
      onOdd: (finding) => this.#quarantine.begin(finding),
      onAgreed: (node, at) => {
        if (at >= (this.#quarantined.get(node) ?? Infinity)) void this.#proposeAsLeader("node.return", { node });
      },
      log: parts.log,
    });
    this.#quarantine = new Quarantine({
      dataDir: parts.dataDir,
      leader: () => (isLeading() ? nobody : leader()),
      isReceiving: () => this.#receiver.isReceiving,
      want: async (to, finding) =>
        void (await this.#transport.request(to, "snapshot.want", { ...finding, from: raft.baseIndex })),
      trustState: (isTrusted) => {
        raft.trustState(isTrusted);
        schedule();
      },
      log: parts.log,
    });
    this.#divergence.reset(parts.applied, parts.stateHash);
    this.#retention = new LogRetention(parts.dataDir, (query) => parts.view(query), parts.log);
    this.#duties = new Duties({
      self: this.id,
      leases: this.#leases,
      clocks: this.#clocks,
      now: () => this.#logClock.now(),
      handOver: () => void this.#handOver(),
      view: (query) => parts.view(query),
      propose: (name, input) => this.#proposeAsLeader(name, input),
      configuration: () => this.#configuration,
      proposeConfiguration: (change, basedOn) => {
        if (change.kind === "replace") this.#relay.wantDirect(change.voters);
        const proposed = raft.proposeConfiguration(change, basedOn);
        if (proposed.ok) parts.log("info", "the members change", { ...change, index: proposed.index });
        this.#driver.schedule();
      },
      lag: (node) => this.#lag(node),
      lastIndex: () => raft.lastIndex,
      log: parts.log,
    });
  }

  #openRaft(): Raft {
    const { restored, logStore, applied, trace } = this.#parts;
    const options: RaftOptions = {
      id: this.id,
      random: () => this.#parts.random(),
      ...ticksOf(this.#timing),
      disconnectTicks: 2,
      retryTicks: 5,
      appendMessageBytes: limits.appendMessageBytes,
      inflightAppends: limits.inflightAppends,
      uncommittedBytes: limits.uncommittedBytes,
      logWindowBytes: limits.logWindowBytes,
      promoteLagEntries: limits.promoteLagEntries,
      directLearners: this.#parts.relay.directLearners,
      applied: toIndex(applied),
    };
    if (trace === undefined) return new Raft(options, restored, logStore);
    return new TracedRaft(options, restored, logStore, trace);
  }

  // ---------------------------------------------------------------------------------------------- life

  /** Binds the peer port; gives its address. Throws Fault "port". */
  listen(at: {
    readonly host: string;
    readonly port: number;
  }): Promise<{ readonly host: string; readonly port: number }> {
    return this.#transport.listen(at);
  }

  /** Starts to take part. `addresses` are what other members and clients use to reach this node. */
  async start(addresses: { readonly api: string; readonly peer: string }): Promise<void> {
    this.#addresses = addresses;
    this.#setPeers();
    this.#driver.start();
    this.#certification.start();
    this.#relay.start();
    this.#quarantine.start();
    if (this.#isOnlyVoter()) this.#driver.raft.campaign();
    this.#driver.drain();
    if (!this.mustFound()) void this.#takePart();
  }

  /** The first step of stopping in good order: others lead, while what is under way here still gets its answers, from them. */
  async yield(): Promise<void> {
    if (this.#yielding) return;
    this.#yielding = true;
    if (this.isLeading && this.#configuration.voters.length > 1) await this.#handOver();
  }

  /** Stops taking part; running work stays with the guard. What is still unanswered is answered as unknown. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    await this.yield();
    if (this.#stopping) return; // meanwhile
    this.#stopping = true;
    this.#lease.stop();
    this.#duties.stop();
    this.#certification.stop();
    this.#relay.stop();
    this.#sender.close();
    this.#receiver.close();
    this.#divergence.close();
    this.#quarantine.close();
    this.#spread.stop();
    this.#proposer.close();
    this.#driver.stop();
    await this.#executor.close();
    await this.#transport.close();
  }

  /** Index of the newest entry in the local state. */
  get applied(): number {
    return this.#applied;
  }

  /** This node itself, as the one who asks. */
  get principal(): Principal {
    return this.#self;
  }

  #wallClock(): number {
    return this.#parts.wallClock?.() ?? Date.now();
  }

  get isLeading(): boolean {
    return this.#driver.raft.role === "leader";
  }

  /** Consensus as it stands, only to look at. */
  get consensus(): ConsensusView {
    return this.#driver.raft;
  }

  /** Steps down in favour of the voter that is closest, or of this one, and waits a moment for it to lead. */
  async #handOver(named?: NodeId): Promise<boolean> {
    const raft = this.#driver.raft;
    const differences = this.#clocks.differences();
    const isOff = (node: NodeId): number => Number(isClockOff(differences.get(node)));
    const isSlow = (node: NodeId): number => Number(raft.progress(node)?.slowDisk ?? false);
    const candidates = this.#configuration.voters
      .filter((node) => node !== this.id && this.#transport.isConnected(node))
      .filter((node) => named === undefined || node === named)
      .sort(
        (a, b) => isOff(a) - isOff(b) || isSlow(a) - isSlow(b) || (raft.lag(a) ?? Infinity) - (raft.lag(b) ?? Infinity),
      );
    const to = candidates[0];
    if (to === undefined) return false;
    raft.transfer(to);
    this.#driver.drain();
    const deadline = monotonicMs() + 2000;
    while (monotonicMs() < deadline) {
      if (!this.isLeading && this.#leadership.leader !== nobody) return true;
      if (!candidates.some((node) => this.#transport.isConnected(node))) return false; // they are stopping as well
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return false;
  }

  #isOnlyVoter(): boolean {
    const { voters, outgoing } = this.#configuration;
    return voters.length === 1 && voters[0] === this.id && outgoing.length === 0;
  }

  /** Announces this node until the log has it, learns what it holds, and begins to ask for leases. */
  async #takePart(): Promise<void> {
    await Promise.all([this.#executor.open(), this.#announce()]);
    await this.#becomesCurrent();
    if (this.#stopping) return;
    this.#takesPart = true;
    this.#certification.changed();
    this.#reconcileWork();
    this.#lease.start();
  }

  async #becomesCurrent(): Promise<void> {
    while (!this.#stopping) {
      const current = await this.#reader.linearizable();
      if (current.ok) return;
    }
  }

  #reconcileWork(): void {
    this.#work.reconcile();
    this.#retention.sweep();
  }

  /** What this node says of itself at every start. */
  #announcement(): Omit<CommandInput<"node.seen">, "node"> {
    return {
      incarnation: this.#parts.incarnation,
      ...this.#addresses,
      labels: this.#parts.labels,
      ...this.#parts.capacity,
      level: this.#parts.level,
      version: this.version,
    };
  }

  #announceAgain(): void {
    if (this.#announcing) return;
    this.#announced = false;
    void this.#announce();
  }

  async #announce(): Promise<void> {
    if (this.#announcing) return;
    this.#announcing = true;
    const asking = setInterval(() => void this.#askWhoLeads(), 50);
    while (!this.#announced && !this.#stopping) {
      const outcome = await this.#propose("node.seen", {
        node: this.id,
        ...this.#announcement(),
      });
      if (outcome.ok) this.#announced = true;
      else if (outcome.why.code === "not-found" && this.#parts.view(clusterRow) !== undefined && !this.#counts) {
        this.#onRemoved(outcome.why.message);
        break;
      } else await new Promise((resolve) => setTimeout(resolve, 100));
    }
    clearInterval(asking);
    this.#announcing = false;
  }

  /**
   * The leader dials the address that it knows. A node that has a new one (or none in the log yet) hears of no leader by itself, so
   * it asks whom it can reach, and sends its announcement there.
   */
  async #askWhoLeads(): Promise<void> {
    if (this.#leadership.leader !== nobody) return;
    for (const node of this.#peers.keys()) {
      if (!this.#transport.isConnected(node)) continue;
      try {
        const named = knownLeader(await this.#transport.request(node, "leader", null, { timeoutMs: 1000 }));
        if (named !== nobody && named !== this.id) this.#hintedLeader = named;
      } catch (error) {
        if (!(error instanceof Fault)) throw error; // the next one may answer, or this one later
      }
    }
  }

  // ---------------------------------------------------------------------------------------- the two hooks

  /** storage: everything up to `token` is synced. */
  onDurable(token: number): void {
    this.#driver.durable(token);
    this.#wrote("log.db");
    this.#relay.onDurable();
  }

  /** The disk is full and nothing was written: lead no longer, refuse until there is room (D4). */
  onDiskFull(file: CrampedFile, message: string): void {
    if (this.#room.full(file)) this.#parts.log("error", message);
    this.#proposer.standStill(noRoom);
    this.#driver.raft.resign();
    this.#driver.drain();
  }

  #wrote(file: CrampedFile): void {
    if (!this.#room.written(file)) return;
    this.#parts.log("info", "there is room on the disk again");
    this.#proposer.resume();
  }

  /** state: entries up to `applied` are synced in state.db, and not needed in the log for this node's sake (D3). */
  onStateDurable(applied: number): void {
    if (this.#quarantine.isActive) return; // a right state may need what a wrong one has applied
    this.#compaction.durable(applied);
    this.#compact();
  }

  #compact(): void {
    const { raft } = this.#driver;
    const needed = Math.min(this.#slowestPeer(), this.#sender.needed, this.#relay.needed);
    const target = this.#compaction.target(raft.baseIndex, this.#compaction.durableIndex, needed);
    const base = target === undefined ? undefined : raft.compact(toIndex(target));
    if (base === undefined) return;
    this.#parts.logStore.compact(base);
    this.#driver.schedule();
  }

  /**
   * log.db: that entry cannot be read any more. True when this node goes on: its state contains the entry, so the log begins after it as soon as
   * the state is durable, and who lacks it gets a snapshot (D3).
   */
  onDamagedEntry(at: number): boolean {
    if (at > this.#applied) return false;
    this.#compaction.damaged(at);
    setImmediate(() => this.#compact()); // not in the middle of a drain
    return true;
  }

  /** Leader: entries that the node is not known to have; undefined: it is not there. */
  #lag(node: NodeId): number | undefined {
    const { raft } = this.#driver;
    if (raft.progress(node)?.mode === "relay") return this.#relay.lag(node);
    return this.#transport.isConnected(node) ? raft.lag(node) : undefined;
  }

  /**
   * What the slowest member that is there has of this leader's log; one that gets a snapshot needs what follows that, and one that others feed is
   * waited for by them.
   */
  #slowestPeer(): number {
    const { raft } = this.#driver;
    let slowest = Infinity;
    for (const node of this.#peers.keys()) {
      const progress = this.#transport.isConnected(node) ? raft.progress(node) : undefined;
      if (progress?.mode === "probe" || progress?.mode === "replicate") slowest = Math.min(slowest, progress.match);
    }
    return slowest;
  }

  /** A whole state that was received: consensus decides, once there is a leader to hear it from. */
  async #offerToRaft(snapshot: SnapshotMeta): Promise<Verdict> {
    const { raft } = this.#driver;
    const { leader, baseIndex } = raft;
    if (leader === nobody) return "later";
    if (leader !== this.id)
      this.#driver.step({ kind: "snapshot-request", from: leader, to: this.id, term: raft.term, snapshot });
    // A log that was cut there before has not been told of the snapshot, and will not be.
    if (baseIndex !== snapshot.index && raft.baseIndex === snapshot.index) return "installing";
    // Never ahead of the log on this disk (D2): what is not synced here yet is asked for again.
    const isHere = snapshot.index <= Math.min(raft.commit, raft.durableIndex);
    if (this.#quarantine.isActive && isHere) await this.#reload(snapshot);
    return "ended"; // the log had come as far meanwhile
  }

  /** In quarantine: the log is right and goes on, a right state of an entry that it holds takes the wrong one's place. */
  async #reload(snapshot: SnapshotMeta): Promise<void> {
    const { raft } = this.#driver;
    if (snapshot.index < raft.baseIndex) return;
    await this.#install(snapshot, true);
    this.#driver.schedule();
  }

  /** A copy of the state, which is what this node has said that it is, and what others say as well if one of them is to get it. */
  #makeSnapshot(purpose: "snapshot" | "backup", receiver: NodeId): Promise<MadeSnapshot> {
    return makeSnapshot({
      copy: () => this.#parts.copyState(purpose),
      isRight: ({ snapshot, hash }) =>
        !this.#quarantine.isActive && [undefined, hash].includes(this.#divergence.hashAt(snapshot.index)),
      vouch: ({ snapshot, hash }) =>
        purpose === "backup" ? Promise.resolve() : this.#divergence.vouch(snapshot.index, hash, receiver),
    });
  }

  /** Leader: a node in quarantine asks for a state. Throws Fault when this one is not known to be right. */
  #onStateWanted(node: NodeId, { index, quorum, from }: Finding & { readonly from: number }): void {
    const own = this.#divergence.hashAt(index);
    if (!this.isLeading || this.#quarantine.isActive || (own !== undefined && quorum !== "" && own !== quorum))
      throw new Fault("peer-refused", "this node has no state for others", "safe");
    if (!this.#quarantined.has(node))
      void this.#proposeAsLeader("node.quarantine", { node, entry: Math.max(1, index) });
    this.#sender.want(node, from);
  }

  /** The received state takes the present one's place; everything that was derived from that is derived anew. */
  async #install(snapshot: SnapshotMeta, isLogKept = false): Promise<void> {
    const { path } = this.#receiver;
    // Views stay on the old file, under its open handles, until the new one is whole: what is read meanwhile is the state of before.
    const place = await this.#parts.writer.install(path, snapshot, this.#quarantine.asideFor(this.#applied));
    assert(place.applied === snapshot.index, "the state that was installed is the one that consensus took");
    this.#parts.viewState(undefined);
    this.#applied = place.applied;
    if (!isLogKept) this.#relay.onInstalled(snapshot.index);
    const isReloaded = this.#quarantine.isActive;
    if (isReloaded) {
      this.#driver.raft.rewind(snapshot.index);
      this.#compaction.reset(place.applied);
      this.#quarantine.end(place.applied);
    }
    this.#parts.log("info", `goes on from a snapshot of entry ${place.applied}`);
    this.#events.reset(place.applied);
    this.#tokens.forget();
    this.#principals.forget();
    this.#setPeers();
    this.#readSettings();
    this.#divergence.reset(place.applied, place.hash);
    this.#certification.changed();
    this.#reader.onApplied(place.applied);
    this.#proposer.onJumped();
    if (!this.#takesPart) return;
    if (!isReloaded) return this.#reconcileWork();
    this.#work.pause();
    void this.#becomesCurrent().then(() => {
      if (!this.#stopping && !this.#quarantine.isActive) this.#reconcileWork();
    });
  }

  /** state: entries up to `applied` are in state.db. */
  onApplied(
    applied: number,
    outcomes: readonly BatchOutcome[],
    events: readonly AppliedEvent[],
    hashes: Uint32Array,
  ): void {
    if (this.#quarantine.isActive) return; // what was on its way to a wrong state
    this.#applied = applied;
    this.#wrote("state.db");
    this.#driver.applied(toIndex(applied));
    this.#onChanges(events);
    this.#counting.look();
    this.#divergence.onApplied(applied, hashes);
    this.#reader.onApplied(applied);
    this.#proposer.onOutcomes(outcomes);
    this.#events.publish(events, Date.now());
    this.#duties.onApplied(events);
    this.#work.onApplied(events);
    this.#retention.onApplied(events);
  }

  #onChanges(events: readonly AppliedEvent[]): void {
    let members = false;
    let tokens = false;
    if (events.length > 0) this.#logClock.seen(events.at(-1)!.at);
    for (const event of events) {
      for (const change of event.changes) {
        if (change.topic === "node" && change.kind === "removed") this.#counting.removed(change.node);
        if (change.topic === "node" || change.topic === "cluster") members = true;
        else if (change.topic === "token") tokens = true;
      }
    }
    if (tokens || members) {
      this.#tokens.forget();
      this.#principals.forget();
    }
    if (!members) return;
    this.#setPeers();
    this.#readSettings();
    this.#certification.changed();
  }

  /** Of the cluster, as far as this node has applied. */
  #readSettings(): void {
    this.#level = this.#parts.view(clusterRow)?.level ?? this.#parts.level;
    const timing = this.#parts.view(timingOf);
    if (timing.heartbeatMs === this.#timing.heartbeatMs && timing.electionTimeoutMs === this.#timing.electionTimeoutMs)
      return;
    this.#timing = timing;
    this.#driver.raft.retime(ticksOf(timing));
  }

  #setPeers(): void {
    const rows = this.#parts.view(listNodes);
    this.#quarantined = new Map(
      rows.flatMap(({ id, quarantine }) => (quarantine === undefined ? [] : [[id, quarantine]])),
    );
    // A member's row is newer than what identity.json remembers; before the first entry only the latter is known.
    const members: KnownAddress[] =
      rows.length > 0
        ? rows.map((row) => ({ node: row.id, address: row.peer, starts: startsOf(row.incarnation) }))
        : this.#parts.identity.peers.map((peer) => ({ ...peer, starts: 0 }));
    const self = { node: this.id, address: this.#addresses.peer, starts: this.#parts.identity.starts };
    const newest =
      rows.length > 0 ? this.#parts.view(newestNode) : Math.max(this.id, ...members.map(({ node }) => node));
    // One that was removed and votes yet is met as before; where it is, it says itself if nobody remembers.
    const counting = this.#counting.nodes().filter((node) => !members.some((member) => member.node === node));
    for (const node of counting) members.push({ node, address: "", starts: 0 });
    this.#book.setMembers([...members.filter(({ node }) => node !== this.id), self], newest);
    this.#dialPeers();
  }

  #dialPeers(): void {
    const known = this.#book.addresses();
    for (const [node, address] of this.#peers) {
      if (known.has(node)) continue;
      // A node that has just been removed is still told so: it learns of the entry before its sockets close.
      known.set(node, address);
      if (!this.#departing.has(node)) {
        this.#departing.add(node);
        setTimeout(() => {
          this.#departing.delete(node);
          this.#peers.delete(node);
          if (!this.#stopping) this.#dialPeers();
        }, departMs);
      }
    }
    known.delete(this.id);
    this.#peers = known;
    this.#transport.setPeers([...known].map(([node, address]) => ({ node, address, kept: this.#relay.kept(node) })));
  }

  /** Somebody says that members are there: whom this node does not know to have moved since, it dials there. */
  learnAddresses(theirs: readonly KnownAddress[]): void {
    if (this.#stopping || !this.#book.learn(theirs)) return;
    this.#dialPeers();
    this.#spread.learnt();
  }

  /** Somebody leads, as far as this node has heard. */
  get hasLeader(): boolean {
    return this.#leadership.leader !== nobody;
  }

  #onLeadership(leadership: Leadership): void {
    const before = this.#leadership;
    this.#leadership = leadership;
    this.#hintedLeader = nobody;
    if (leadership.role === "leader") {
      if (before.role !== "leader" || before.term !== leadership.term) {
        this.#parts.log("info", `leading in term ${leadership.term}`);
        this.#leases.elected();
        this.#clocks.lead(true);
        this.#logClock.lead();
        this.#logClock.seen(this.#parts.view(stateClock));
        this.#relay.lead(true);
        void this.#startDuties(leadership.term);
      }
    } else if (before.role === "leader") {
      this.#parts.log("info", `leading no longer, term ${leadership.term}`);
      this.#duties.stop();
      this.#clocks.lead(false);
      this.#relay.lead(false);
    }
    this.#relay.onLeadership();
    this.#proposer.onLeadership(leadership.term);
    if (leadership.leader === before.leader && leadership.term === before.term) return;
    this.#reader.onLeadership();
    this.#divergence.onLeadership();
    // The many that hear of it from others ask in their turn, each at its own time: a new leader must not be met by all of them at once.
    if (leadership.leader !== nobody && !this.#driver.raft.isHearsay) this.#lease.renew();
  }

  /** Duties begin once the state has everything that earlier leaders committed. */
  async #startDuties(of: number): Promise<void> {
    const isDue = (): boolean => this.isLeading && this.#leadership.term === of && !this.#stopping;
    while (isDue()) {
      const index = await this.#reader.confirm();
      const reached = index !== undefined && (await this.#reader.waitApplied(index, monotonicMs() + limits.readWaitMs));
      if (!isDue()) return;
      if (reached) return this.#duties.start();
      // Too many reads wait, or the state is far behind: without duties nothing would be started in this whole term.
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Several members say so, each on several sockets. */
  #onOldCopy(): void {
    if (this.#isOldCopy) return;
    this.#isOldCopy = true;
    this.#parts.onOldCopy();
  }

  #onRefused(peer: NodeId, { reason, removed, isOldCopy, newer }: PeerRefusal): void {
    if (newer !== undefined && !this.#stopping) return this.#parts.onFenced(newer);
    if (isOldCopy && !this.#stopping) return this.#onOldCopy();
    if (removed && !this.#stopping) return this.#onRemoved(reason);
    this.#parts.log("warn", `node ${peer} refused this node: ${reason}`);
  }

  /** A quorum's hash is the leader's to tell, and nobody else's. Throws Fault: told again, once it is known here who leads. */
  #onAccused(peer: NodeId, finding: Finding): void {
    if (peer !== this.#leadership.leader)
      throw new Fault("peer-refused", `node ${peer} does not lead, as far as this node knows`, "safe");
    if (this.#divergence.isOddBy(finding)) this.#quarantine.begin(finding);
  }

  /** It may be in no configuration any more, and so hear nothing of the entry: whoever meets it says so, while its certificate is good yet. */
  #tellRemoved(node: NodeId): void {
    if (node !== this.id && this.#transport.isConnected(node))
      this.#transport.request(node, "removed", null).catch(() => {}); // it is told when it dials
  }

  get #counts(): boolean {
    return this.#counting.counts(this.id);
  }

  /** Others say that this node is no member any more: news, unless it has asked for that itself. */
  #onRemoved(reason: string): void {
    const heard = this.#ownRemoval.heard();
    if (heard === "late") this.#parts.onLeft();
    else if (heard === "unasked") this.#parts.onRemoved(reason);
  }

  // ---------------------------------------------------------------------------------------------- peers

  async #onRequest(peer: NodeId, method: string, body: unknown): Promise<unknown> {
    const request = this.#requests.parse(peer, method, body);
    switch (request.method) {
      case "propose":
        return this.#proposer.onForwarded(peer, request.body);
      case "removed":
        if (!this.#stopping) this.#onRemoved(`node ${peer} says that it was removed`);
        return null;
      case "leader":
        return this.#leadership.leader;
      case "addresses":
        this.learnAddresses(request.body);
        return this.#book.list();
      case "transfer":
        return this.#handOver(request.body === nobody ? undefined : request.body);
      case "read-index":
        return this.#reader.confirm();
      case "lease": {
        this.#clocks.heard(peer, request.body);
        const grant = await this.#grant(peer);
        return grant?.kind === "granted" ? { ...grant, clock: this.#clocks.newsFor(peer) } : grant;
      }
      case "relay.pull":
        return this.#relay.onPull(peer, request.body);
      case "relay.report":
        return this.#relay.onReport(request.body);
      case "hash.report":
        return this.#divergence.heard(peer, request.body) ?? null;
      case "hash.at":
        return this.#divergence.hashAt(request.body) ?? null;
      case "hash.odd":
        this.#onAccused(peer, request.body);
        return null;
      case "snapshot.want":
        this.#onStateWanted(peer, request.body);
        return null;
      case "snapshot.offer":
        this.#receiver.offered(peer, request.body);
        return null;
      case "snapshot.chunk":
        return this.#sender.chunk(peer, request.body.id, request.body.number);
      case "snapshot.done":
        return this.#sender.done(peer, request.body.id, request.body.ok) ?? null;
      case "join":
        return this.join(request.body);
      case "token.recover":
        return this.#recoverToken(request.body);
      case "log.read":
        return readLocalLog(request.body, this.#logPorts);
      default:
        return this.#certification.onRequest(peer, request);
    }
  }

  #grant(node: NodeId): Promise<LeaseGrant | undefined> {
    return grantLease(node, {
      confirm: () => this.#reader.confirm(),
      isLeading: () => this.isLeading,
      isLosing: (one) => this.#duties.isLosing(one),
      stateOf: (one) => this.#parts.view((tx) => findNode(tx, one))?.state,
      granted: (one) => {
        this.#leases.grant(one);
        this.#duties.onLease();
      },
    });
  }

  // ------------------------------------------------------------------------------------ commands and reads

  async propose<Name extends CommandName>(
    name: Name,
    input: CommandInput<Name>,
    by: Principal,
  ): Promise<Committed<Name>> {
    const problem = voterProblem([commandByName(name).tag, by.token, by.name, by.role, input], this.#voterRights);
    if (problem !== undefined) return refuse("forbidden", problem);
    if (name === "node.promote") {
      const already = await votesAlready(input as CommandInput<"node.promote">, {
        ...this.#voterRights,
        catchUp: () => this.#catchUp({ consistency: "linearizable" }),
      });
      if (already !== undefined) return accept({ value: already as CommandValue<Name>, index: this.#applied });
    }
    if (name === "node.remove") {
      const prepared = await this.#prepareRemoval((input as CommandInput<"node.remove">).node);
      if (!prepared.ok) return prepared;
    }
    return this.#submit(name, input, by);
  }

  #submit<Name extends CommandName>(name: Name, input: CommandInput<Name>, by: Principal): Promise<Committed<Name>> {
    if (name === "job.submit" && this.#hasTooManyJobs()) {
      const message = `${limits.unfinishedJobs} jobs are unfinished, and no more are taken: wait for some to finish`;
      return Promise.resolve(refuse("busy", message, { retryAfterMs: 1000, retry: "safe" }));
    }
    const refusal = this.#quarantine.refusal();
    if (refusal !== undefined) return Promise.resolve(refusal);
    const definition = commandByName(name);
    if (definition.since > this.#level) return Promise.resolve(tooEarly(definition, this.#level));
    const payload = definition.prepare(input as never, by);
    return this.#proposer.submit([definition.tag, by.token, by.name, by.role, payload]) as Promise<Committed<Name>>;
  }

  /** Decided before the log (S3), from a count that is at most a moment old. */
  #hasTooManyJobs(): boolean {
    const now = monotonicMs();
    if (now - this.#countedAt > countEveryMs) {
      this.#countedAt = now;
      this.#unfinishedJobs = this.#parts.view(totals).jobsUnfinished;
    }
    return this.#unfinishedJobs >= limits.unfinishedJobs;
  }

  #propose<Name extends CommandName>(name: Name, input: CommandInput<Name>): Promise<Committed<Name>> {
    return this.propose(name, input, this.#self);
  }

  #proposeAsLeader<Name extends CommandName>(name: Name, input: CommandInput<Name>): Promise<Committed<Name>> {
    const definition = commandByName(name);
    const payload = definition.prepare(input as never, this.#self);
    return this.#proposer.submitAsLeader([definition.tag, "", this.name, "node", payload]) as Promise<Committed<Name>>;
  }

  /** The log has no cluster.create yet, and this node alone is to write it. */
  mustFound(): boolean {
    return this.id === 1 && this.#isOnlyVoter() && this.#parts.view(clusterRow) === undefined;
  }

  /** The first entry of a new cluster; refused as conflict when it is there already. */
  async createCluster(input: Omit<CommandInput<"cluster.create">, "node">): Promise<Committed<"cluster.create">> {
    const outcome = await this.#propose("cluster.create", {
      ...input,
      node: { name: this.name, ...this.#announcement() },
    });
    void this.#takePart();
    return outcome;
  }

  /** Resolves once the local state knows this node: its own token is good here from then on. */
  async becomesMember(): Promise<void> {
    while (this.#parts.view((tx) => findNode(tx, this.id)) === undefined && !this.#stopping) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async read<Value>(
    query: (tx: ReadTx) => Value,
    options: { readonly consistency: "linearizable" | "stale"; readonly minIndex?: number | undefined },
  ): Promise<Outcome<{ readonly value: Value; readonly index: number }>> {
    const current = await this.#catchUp(options);
    if (!current.ok) return current;
    const refusal = this.#quarantine.refusal(); // again: it may have been found while this waited
    if (refusal !== undefined) return refusal;
    return accept(this.#parts.view((tx) => ({ index: appliedIndex(tx), value: query(tx) })));
  }

  /** Waits until the local state is as new as was asked for. */
  async #catchUp(options: {
    readonly consistency: "linearizable" | "stale";
    readonly minIndex?: number | undefined;
  }): Promise<Outcome<undefined>> {
    const refusal = this.#quarantine.refusal();
    if (refusal !== undefined) return refusal;
    if (options.minIndex !== undefined && options.minIndex > this.#applied) {
      const there = await this.#reader.waitApplied(options.minIndex, monotonicMs() + limits.readWaitMs);
      if (!there) {
        return refuse(
          "unavailable",
          `this node has not reached index ${options.minIndex} yet: repeat, or ask another node`,
          {
            retryAfterMs: 1000,
          },
        );
      }
    }
    if (options.consistency === "linearizable") {
      if (this.#room.isFull) return { ok: false, why: noRoom };
      const reached = await this.#reader.linearizable();
      if (!reached.ok) return reached;
    }
    return accept(undefined);
  }

  authenticate(text: string): Principal | undefined {
    return this.#tokens.authenticate(text);
  }

  createToken(options: NewTokenOptions, by: Principal): Promise<Outcome<MadeToken>> {
    return this.#tokens.createToken(options, by);
  }

  /** What the API shows over TLS, PEM. */
  apiCredentials(): { readonly key: string; readonly cert: string } {
    return { key: this.#certification.credentials().key, cert: this.#certification.chain() };
  }

  /** The authorities that clients are to believe, PEM. */
  authorityBundle(): string {
    return this.#certification.bundle();
  }

  /** Calls the listener whenever what this node shows, or whom it believes, has changed. */
  onRenewed(listener: () => void): void {
    this.#renewedListeners.add(listener);
  }

  reissue(request: unknown): Promise<Outcome<string>> {
    return this.#certification.reissue(request);
  }

  rotateAuthority(by: Principal): Promise<Outcome<{ readonly authority: string }>> {
    return this.#certification.rotate(by);
  }

  authorities(): readonly AuthorityView[] {
    return this.#certification.authorities();
  }

  formerAuthorities(): readonly Vouched[] {
    return this.#certification.formerAuthorities();
  }

  /** The leader judges the proof itself: it would not take another node's word for it. */
  async recoverToken(request: unknown): Promise<Outcome<{ readonly id: string }>> {
    const { leader } = this.#leadership;
    if (leader === this.id || leader === nobody) return this.#recoverToken(request);
    try {
      return (await this.#transport.request(leader, "token.recover", request)) as Outcome<{ id: string }>;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return refuse("unavailable", `the leader, node ${leader}, gave no answer: ${error.message}`);
    }
  }

  #recoverToken(request: unknown): Promise<Outcome<{ readonly id: string }>> {
    const { tag } = commandByName("token.create");
    return recoverToken(request, {
      cluster: this.cluster,
      trusted: this.#certification.credentials().trusted,
      isMember: (node) => this.#parts.view((tx) => findNode(tx, node)) !== undefined,
      isVoter: (node) => isVoter(this.#configuration, node),
      namesNode: () => this.#level >= principalLevel,
      now: () => Date.now(),
      create: (input, by) => this.#proposer.submitAsLeader([tag, "", by, "node", input]),
    });
  }

  createJoinToken(
    options: { readonly ttlMs: number; readonly uses: number },
    by: Principal,
  ): Promise<Outcome<{ readonly token: string }>> {
    return this.#tokens.createJoinToken(options, by);
  }

  /** A node that cannot issue certificates passes the request on to a voter, which checks it as if it had come there. */
  join(body: unknown): Promise<Outcome<unknown>> {
    if (this.#certification.authority.signer === undefined) return this.#joinElsewhere(body);
    const trusted = (): readonly string[] => this.#certification.credentials().trusted;
    return admitJoiner(body, {
      fingerprints: () => this.#certification.pins(),
      findToken: async (id) => {
        const found = await this.read((tx) => findToken(tx, id), { consistency: "linearizable" });
        return found.ok ? accept(found.value.value) : found;
      },
      votersWanted: () => this.#parts.view(clusterRow)?.votersWanted ?? 0,
      admit: (joinToken, request) => this.#admit(joinToken, request),
      entryProblem: (node, joinToken) => this.#parts.view((tx) => entryProblem(tx, node, joinToken, Date.now())),
      issue: (request, node) => this.#certification.authority.issue(request, node),
      answer: (node, certificate) => ({
        cluster: this.cluster,
        epoch: this.#parts.identity.epoch,
        node,
        certificate,
        trusted: trusted(),
        authorities: this.#certification.authorities(),
        former: this.#certification.formerAuthorities(),
        peers: [
          { node: this.id, address: this.#addresses.peer },
          ...this.#parts
            .view(listNodes)
            .filter((row) => row.id !== this.id && row.id !== node && row.peer !== "")
            .map((row) => ({ node: row.id, address: row.peer })),
        ],
      }),
    });
  }

  async #joinElsewhere(body: unknown): Promise<Outcome<unknown>> {
    if (isVoter(this.#configuration, this.id))
      return refuse("unavailable", "this node has only just begun to vote: try again", {
        retryAfterMs: 500,
        retry: "safe",
      });
    return askVoters(this.#configuration.voters, (voter) => this.#transport.request(voter, "join", body));
  }

  async #admit(joinToken: string, request: JoinRequest): Promise<Outcome<NodeId>> {
    const { apiToken, votersWanted: _, certificate: __, ...rest } = request;
    const input = commandByName("node.join").input.safeParse({
      ...rest,
      api: "",
      peer: "",
      joinToken,
      token: { ...apiToken, name: `node ${rest.name}`.slice(0, limits.nameLength) },
    });
    if (!input.success)
      return refuse("invalid", "the join request is not complete: use the same version of skein on all hosts");
    const outcome = await this.#propose("node.join", input.data);
    return outcome.ok ? accept(outcome.value.value.node) : outcome;
  }

  // ------------------------------------------------------------------------------------------------- work

  /** task.finish: settles when the reports are in the log; the executor keeps and repeats what was not. */
  async #report(reports: readonly Report[]): Promise<void> {
    const outcome = await this.#propose("task.finish", { node: this.id, reports: [...reports] });
    if (outcome.ok) return;
    // Reports are fenced by their attempt: what may have been logged is repeated freely.
    const { code, message } = outcome.why;
    throw new Fault("peer-refused", message, code === "unavailable" || code === "busy" ? "safe" : "never");
  }

  /** In pieces that an entry holds; what is lost of it is only shown late. */
  #started(attempts: readonly (AttemptName & { readonly startedAt: number })[]): void {
    for (let at = 0; at < attempts.length; at += limits.assignmentsPerEntry) {
      void this.#propose("task.start", { node: this.id, tasks: attempts.slice(at, at + limits.assignmentsPerEntry) });
    }
  }

  get #logPorts(): LogPorts {
    return {
      self: this.id,
      dataDir: this.#parts.dataDir,
      view: (query) => this.#parts.view(query),
      ask: (node, request) =>
        this.#transport.request(node, "log.read", request, {
          channel: "bulk",
          timeoutMs: request.waitMs + limits.rpcTimeoutMs,
        }),
    };
  }

  readLog(request: LogRequest): Promise<Outcome<LogPage>> {
    return readLog(request, this.#logPorts);
  }

  // ------------------------------------------------------------------------------------------------ watch

  watch(listener: (event: AppliedEvent) => void): () => void {
    return this.#events.watch(listener);
  }

  eventsAfter(from: number): readonly AppliedEvent[] | undefined {
    return this.#events.after(from);
  }

  oldestEvent(): number {
    return this.#events.oldest();
  }

  jobChanged(jobs: readonly number[], timeoutMs: number, signal?: AbortSignal): Promise<void> {
    return this.#events.jobChanged(jobs, timeoutMs, signal);
  }

  backup(stale: boolean): Promise<Outcome<Backup>> {
    return this.#backups.make(stale);
  }

  survivor(): Survivor {
    const { raft } = this.#driver;
    const { voters, outgoing, learners } = raft.configuration;
    return {
      cluster: this.cluster,
      epoch: this.#epoch,
      node: this.id,
      name: this.name,
      lastIndex: raft.durableIndex,
      lastTerm: raft.durableTerm,
      term: raft.term,
      commit: raft.commit,
      voters,
      outgoing,
      learners,
      configurationIndex: raft.configurationIndex,
      damagedFrom: raft.isRepairing ? raft.durableIndex + 1 : null,
      leader: raft.leader === nobody ? null : raft.leader,
      ...this.#parts.view((tx) => surveyState(tx, 0)),
    };
  }

  get #epoch(): Epoch {
    return this.#parts.identity.epoch ?? firstEpoch;
  }

  status(): NodeStatus {
    const raft = this.#driver.raft;
    const { leader, role } = this.#leadership;
    const { voters, outgoing, learners } = this.#configuration;
    const leading = this.isLeading;
    const rows = this.#parts.view(listNodes);
    const { feeder, children } = this.#relay.status;
    return {
      id: this.id,
      cluster: this.cluster,
      epoch: this.#epoch,
      level: this.#level,
      term: this.#leadership.term,
      leader: leader === nobody ? null : leader,
      role: leading
        ? "leader"
        : learners.includes(this.id)
          ? "learner"
          : role === "follower"
            ? "follower"
            : "candidate",
      commit: raft.commit,
      applied: this.#applied,
      lastIndex: raft.lastIndex,
      firstIndex: raft.baseIndex + 1,
      voters,
      outgoing,
      learners,
      fedBy: feeder === nobody ? null : feeder,
      feeds: children,
      ready:
        !this.#yielding &&
        !this.#room.isFull &&
        !this.#quarantine.isActive &&
        (leading || (leader !== nobody && this.#transport.isConnected(leader))),
      addresses: this.#book.list(),
      peers: rows
        .filter((row) => row.id !== this.id)
        .map((row) => ({
          node: row.id,
          connected: this.#transport.isConnected(row.id),
          lag: leading ? (this.#lag(row.id) ?? raft.lag(row.id) ?? null) : null,
          leaseMs: leading ? this.#leases.leftMs(row.id) : null,
        })),
      clocks: this.#clocks.differences(),
      tasksRunning: this.#executor.running(),
      quarantine: this.#quarantine.finding?.index ?? null,
      compared: this.#divergence.compared,
      quarantines: this.#quarantine.times,
      undecided: this.#divergence.undecided ?? null,
      transport: this.#transport.stats(),
    };
  }

  // ------------------------------------------------------------------------------------------------ leave

  transfer(to: string | number | undefined, by: Principal): Promise<Outcome<TransferValue>> {
    return transferLeadership(to, {
      ...this.#transferPorts,
      find: (reference) => this.#parts.view((tx) => findNode(tx, reference)),
      note: (from, named) =>
        this.#level < commandByName("cluster.transfer").since
          ? Promise.resolve(accept(undefined)) // not in the audit yet, and possible all the same
          : this.propose("cluster.transfer", { from, to: named }, by),
    });
  }

  #prepareRemoval(reference: string | number): Promise<Outcome<undefined>> {
    const { row, members } = this.#parts.view((tx) => ({
      row: findNode(tx, reference),
      members: listNodes(tx).length,
    }));
    return prepareRemoval(row, { ...this.#transferPorts, members: () => members });
  }

  get #transferPorts(): Pick<TransferPorts, "leader" | "voters" | "handOver"> {
    return {
      leader: () => (this.#leadership.leader === nobody ? undefined : this.#leadership.leader),
      voters: () => this.#configuration.voters,
      handOver: async (leader, to) => {
        if (leader === this.id) return this.#handOver(to);
        try {
          return (await this.#transport.request(leader, "transfer", to ?? nobody)) === true;
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
          return this.#leadership.leader !== leader; // its answer may have been lost with its leadership
        }
      },
    };
  }

  async leave(timeoutMs: number, by: Principal): Promise<Outcome<{ readonly left: true }>> {
    const node = this.id;
    // Before it drains and hands over: it is the last step that could be refused.
    const { tag } = commandByName("node.remove");
    const problem = voterProblem([tag, by.token, by.name, by.role, { node }], this.#voterRights);
    if (problem !== undefined) return refuse("forbidden", problem);
    const left = await leaveCluster(timeoutMs, {
      members: () => this.#parts.view(listNodes).length,
      drain: () => this.propose("node.drain", { node }, by),
      undrain: () => this.propose("node.undrain", { node }, by),
      held: () => Math.max(this.#executor.running(), this.#parts.view((tx) => assignmentsOf(tx, node)).length),
      isLeading: () => this.isLeading,
      handOver: () => this.#handOver(),
      remove: () => this.#ownRemoval.ask(() => this.propose("node.remove", { node }, by)),
      counts: () => !this.#ownRemoval.isHeard && this.#counting.counts(node),
    });
    this.#ownRemoval.answered();
    if (left.ok) this.#parts.onLeft();
    return left;
  }
}

/** The number of starts that an incarnation begins with. */
function startsOf(incarnation: string): number {
  return Number.parseInt(incarnation, 10) || 0;
}

/** In the unit that the machine of consensus counts. */
function ticksOf({ heartbeatMs, electionTimeoutMs }: Timing) {
  return { heartbeatTicks: heartbeatMs / limits.tickMs, electionTicks: electionTimeoutMs / limits.tickMs };
}
