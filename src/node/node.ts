import type { AttemptName, Executor } from "../executor/types.ts";
import { assert } from "../lib/assert.ts";
import { monotonicMs } from "../lib/clock.ts";
import { type Epoch, firstEpoch } from "../lib/epoch.ts";
import { Fault } from "../lib/fault.ts";
import { index as toIndex, nobody, type NodeId, term } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import type { Survivor } from "../lib/survivors.ts";
import { isVoter } from "../raft/configuration.ts";
import { Raft } from "../raft/raft.ts";
import { TracedRaft } from "../raft/trace.ts";
import type { Configuration, Leadership, RaftOptions, SnapshotMeta } from "../raft/types.ts";
import type { AuthorityView } from "../state/answers.ts";
import { type CommandInput, type CommandName, commandByName } from "../state/commands/index.ts";
import { principalLevel } from "../state/levels.ts";
import {
  appliedIndex,
  assignmentsOf,
  clusterRow,
  findNode,
  findToken,
  listNodes,
  stateClock,
  wasRemoved,
} from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Principal, Report } from "../state/types.ts";
import type { PeerRefusal, Transport } from "../transport/types.ts";
import { Admission } from "./admission.ts";
import { Announcer } from "./announcer.ts";
import type { KnownAddress } from "./address-book.ts";
import type { AppliedEvent, LogPage, LogRequest, MadeToken, NewTokenOptions, NodeApi, NodeStatus } from "./api.ts";
import { postReissue } from "./api-tls.ts";
import { type Backup, Backups } from "./backup.ts";
import { Certification } from "./certification.ts";
import { Clocks } from "./clocks.ts";
import { Commands, type Committed } from "./commands.ts";
import { Compactor } from "./compactor.ts";
import { type CrampedFile, DiskRoom, noRoom } from "./disk-room.ts";
import { Divergence } from "./divergence.ts";
import { Driver } from "./drive.ts";
import { Duties } from "./duties.ts";
import { Events } from "./events.ts";
import { grantLease } from "./grant.ts";
import { HandOver } from "./hand-over.ts";
import { KnownPeers } from "./known-peers.ts";
import { type LeaseGrant, LeaseHolder, LeaseTable } from "./lease.ts";
import { leaveCluster, OwnRemoval } from "./leave.ts";
import { LogClock } from "./log-clock.ts";
import { LogRetention } from "./log-retention.ts";
import { type LogPorts, readLog } from "./logs.ts";
import { isOldCopy } from "./old-copy.ts";
import type { NodeParts } from "./parts.ts";
import { forwardReply, hashAnswer, leaseGrant, readIndex, undecidedAnswer } from "./peer-answers.ts";
import { PeerService } from "./peer-service.ts";
import type { Vouched } from "./pinned.ts";
import { Principals } from "./principals.ts";
import { Proposer } from "./propose.ts";
import { Quarantine } from "./quarantine.ts";
import { Reader } from "./read.ts";
import { recoverToken } from "./recover-token.ts";
import { Relay } from "./relay.ts";
import { Settings } from "./settings.ts";
import { Snapshots } from "./snapshots.ts";
import type { BatchOutcome } from "./state-writer.ts";
import { statusOf, survivorOf } from "./status.ts";
import { Tokens } from "./tokens.ts";
import { prepareRemoval, transferLeadership, type TransferPorts, type TransferValue } from "./transfer.ts";
import { Work } from "./work.ts";

/**
 * One node of the mesh: the meeting point of consensus, state, transport, storage and execution. This file connects them and tells, from the top down,
 * what happens when:
 *
 *   put together    the constructor, and what each part is given of the others
 *   life            start, taking part, yielding, stopping
 *   disk            something is synced, or finds no room, or cannot be read
 *   state           entries were applied; another state takes the present one's place
 *   leadership      this node begins to lead, ends, or hears of another; what the leader gives
 *   writes, reads   commands on their way to the log; views that are new enough
 *   work            what runs here, and its output
 *   who comes in    joining nodes, tokens, certificates
 *   looking on      watchers, copies, status
 *   the end         other members refuse this node; it is removed, or leaves
 *
 * What each step does is in a file of its own beside this one. Awaits stand in starting, proposing, reading, joining and leaving, and none of them keeps a
 * decision about leadership across an await: the log decides. Where several parts are told of one event, the order in which they are is part of what holds
 * the invariants, and what it is for is said there.
 */

/** Consensus as it stands, only to look at. */
export type ConsensusView = Pick<
  Raft,
  "role" | "term" | "leader" | "commit" | "lastIndex" | "durableIndex" | "baseIndex" | "configuration" | "isRepairing"
>;

/** A running node; HTTP sees it as NodeApi. */
export class Node implements NodeApi {
  readonly id: NodeId;
  readonly name: string;
  readonly cluster: string;
  readonly version: string;
  readonly #parts: NodeParts;
  readonly #self: Principal;

  // Consensus, and whom it is about.
  readonly #driver: Driver;
  readonly #transport: Transport;
  readonly #peers: KnownPeers;
  readonly #relay: Relay;
  readonly #compactor: Compactor;
  readonly #service: PeerService;
  #leadership: Leadership = { role: "follower", term: term(0), leader: nobody };
  #configuration: Configuration;

  // The state, and whether it is right.
  readonly #settings: Settings;
  readonly #events: Events;
  readonly #divergence: Divergence;
  readonly #quarantine: Quarantine;
  readonly #snapshots: Snapshots;
  readonly #backups: Backups;
  readonly #retention: LogRetention;
  readonly #room = new DiskRoom();
  #applied: number;

  // What comes in.
  readonly #commands: Commands;
  readonly #proposer: Proposer;
  readonly #reader: Reader;
  readonly #tokens: Tokens;
  readonly #principals: Principals;
  readonly #certification: Certification;
  readonly #admission: Admission;
  /** Told when the credentials change: the listener of the API. */
  readonly #renewedListeners = new Set<() => void>();

  // Work.
  readonly #executor: Executor;
  readonly #work: Work;
  readonly #lease: LeaseHolder;

  // Leading.
  readonly #duties: Duties;
  readonly #leases = new LeaseTable();
  readonly #clocks: Clocks;
  readonly #logClock: LogClock;
  readonly #handOver: HandOver;

  // Life.
  readonly #announcer: Announcer;
  readonly #ownRemoval = new OwnRemoval();
  /** Where this node can be reached, once it listens. */
  #addresses = { api: "", peer: "" };
  /** It knows what it holds and asks for leases. */
  #takesPart = false;
  #isOldCopy = false;
  #yielding = false;
  #stopping = false;

  // ----------------------------------------------------------------------------------------- put together

  /** Parts that are told of each other's events hold closures, so that each may be made before the others; those that only ask get the other itself. */
  constructor(parts: NodeParts) {
    const { identity } = parts;
    this.#parts = parts;
    this.id = identity.node;
    this.name = identity.name;
    this.cluster = identity.cluster;
    this.version = parts.version;
    this.#self = { token: "", name: identity.name, role: "node" };

    this.#applied = parts.applied;
    this.#settings = new Settings(parts.level, (query) => parts.view(query));
    this.#clocks = new Clocks(this.id, () => this.#wallClock());
    this.#logClock = new LogClock({
      wall: () => this.#wallClock(),
      monotonic: monotonicMs,
      isConfirmed: () => this.#clocks.isConfirmed(this.#configuration),
    });
    this.#logClock.seen(parts.view(stateClock));
    this.#events = new Events(parts.applied);

    this.#driver = this.#makeDriver();
    const { raft } = this.#driver;
    this.#configuration = raft.configuration;
    this.#transport = this.#openTransport();
    this.#peers = new KnownPeers({
      self: this.id,
      starts: identity.starts,
      remembered: identity.peers,
      raft,
      transport: this.#transport,
      view: (query) => parts.view(query),
      address: () => this.#addresses.peer,
      hasLeader: () => this.hasLeader,
      kept: (node) => this.#relay.kept(node),
    });
    this.#relay = this.#makeRelay();
    this.#compactor = new Compactor(
      {
        raft,
        log: parts.logStore,
        met: () => this.#peers.met(),
        needed: () => Math.min(this.#snapshots.sender.needed, this.#relay.needed),
        schedule: () => this.#driver.schedule(),
      },
      parts.logBudget,
    );

    this.#principals = new Principals((id) => parts.view((tx) => findToken(tx, id)));
    this.#proposer = this.#makeProposer();
    this.#reader = new Reader({
      leader: () => this.#leader,
      isLeading: () => this.isLeading,
      schedule: () => this.#driver.schedule(),
      applied: () => this.#applied,
      readIndex: (ticket) => raft.readIndex(ticket),
      askLeader: async (to) => readIndex(await this.#transport.request(to, "read-index", null)),
    });

    this.#executor = parts.openExecutor({
      report: (reports) => this.#report(reports),
      started: (attempts) => this.#started(attempts),
    });
    this.#lease = this.#makeLeaseHolder();
    this.#executor.onLeaseWanted(() => this.#lease.want());
    this.#work = new Work(this.id, this.#executor, (query) => parts.view(query));

    this.#tokens = new Tokens({
      findToken: (id) => parts.view((tx) => findToken(tx, id)),
      authority: () => this.#certification.issuing,
      create: (input, by) => this.propose("token.create", input, by),
      now: () => Date.now(),
    });
    this.#certification = this.#makeCertification();
    this.#admission = this.#makeAdmission();

    this.#divergence = this.#makeDivergence();
    this.#quarantine = new Quarantine({
      dataDir: parts.dataDir,
      leader: () => (this.isLeading ? nobody : this.#leader),
      isReceiving: () => this.#snapshots.receiver.isReceiving,
      want: async (to, finding) =>
        void (await this.#transport.request(to, "snapshot.want", { ...finding, from: raft.baseIndex })),
      trustState: (isTrusted) => {
        raft.trustState(isTrusted);
        this.#driver.schedule();
      },
      log: parts.log,
    });
    this.#snapshots = this.#makeSnapshots();
    this.#backups = new Backups({
      cluster: identity.cluster,
      epoch: this.#epoch,
      node: this.id,
      name: this.name,
      version: parts.version,
      catchUp: () => this.#reader.linearizable(),
      copy: () => this.#snapshots.make("backup", nobody),
      now: () => this.#wallClock(),
    });
    this.#divergence.reset(parts.applied, parts.stateHash);
    this.#retention = new LogRetention(parts.dataDir, (query) => parts.view(query), parts.log);

    this.#commands = new Commands({
      proposer: this.#proposer,
      quarantine: this.#quarantine,
      settings: this.#settings,
      name: this.name,
      applied: () => this.#applied,
      isVoter: (node) => isVoter(this.#configuration, node),
      view: (query) => parts.view(query),
      catchUp: () => this.#catchUp({ consistency: "linearizable" }),
      prepareRemoval: (reference) => this.#prepareRemoval(reference),
    });
    this.#duties = this.#makeDuties();
    this.#handOver = new HandOver({
      self: this.id,
      raft,
      clocks: this.#clocks,
      leader: () => this.#leadership.leader,
      voters: () => this.#configuration.voters,
      isConnected: (node) => this.#transport.isConnected(node),
      drain: () => this.#driver.drain(),
      ask: (leader, to) => this.#transport.request(leader, "transfer", to),
    });
    this.#announcer = new Announcer({
      self: this.id,
      announce: () => this.#propose("node.seen", { node: this.id, ...this.#announcement() }),
      mayBeRemoved: () => parts.view(clusterRow) !== undefined && !this.#peers.counts(this.id),
      onRemoved: (reason) => this.#onRemoved(reason),
      heardLeader: () => this.#leadership.leader,
      peers: () => this.#peers.nodes,
      isConnected: (node) => this.#transport.isConnected(node),
      ask: (node) => this.#transport.request(node, "leader", null, { timeoutMs: 1000 }),
    });
    this.#service = new PeerService({
      proposer: this.#proposer,
      reader: this.#reader,
      handOver: this.#handOver,
      peers: this.#peers,
      clocks: this.#clocks,
      relay: this.#relay,
      divergence: this.#divergence,
      quarantine: this.#quarantine,
      snapshots: this.#snapshots,
      certification: this.#certification,
      logs: this.#logPorts,
      leader: () => this.#leadership.leader,
      grant: (node) => this.#grant(node),
      join: (body) => this.join(body),
      recoverToken: (body) => this.#recoverToken(body),
      onRemoved: (reason) => {
        if (!this.#stopping) this.#onRemoved(reason);
      },
      log: parts.log,
    });
  }

  #makeDriver(): Driver {
    const { logStore, writer } = this.#parts;
    return new Driver(this.#openRaft(), logStore, {
      send: (message) => this.#transport.send(message),
      apply: (entries) => {
        // Told on first: the log is right whatever the state is.
        this.#relay.onCommitted(entries);
        if (this.#quarantine.isActive) return; // handed out again once there is a right state to apply them to
        writer.apply(entries);
        this.#compactor.committed(entries);
      },
      onReads: (reads) => this.#reader.onReads(reads),
      install: (snapshot) => this.#install(snapshot),
      installed: () => this.#snapshots.receiver.installed(),
      onSnapshotsWanted: (peers) => {
        for (const peer of peers) this.#snapshots.sender.want(peer);
      },
      onLeadership: (leadership) => this.#onLeadership(leadership),
      onConfiguration: (configuration) => this.#onConfiguration(configuration),
      beforeDrain: () => this.#proposer.logGathered(),
    });
  }

  #openRaft(): Raft {
    const { restored, logStore, applied, relay, trace } = this.#parts;
    const options: RaftOptions = {
      id: this.id,
      random: () => this.#parts.random(),
      ...this.#settings.ticks,
      disconnectTicks: 2,
      retryTicks: 5,
      appendMessageBytes: limits.appendMessageBytes,
      inflightAppends: limits.inflightAppends,
      uncommittedBytes: limits.uncommittedBytes,
      logWindowBytes: limits.logWindowBytes,
      promoteLagEntries: limits.promoteLagEntries,
      directLearners: relay.directLearners,
      applied: toIndex(applied),
    };
    if (trace === undefined) return new Raft(options, restored, logStore);
    return new TracedRaft(options, restored, logStore, trace);
  }

  #openTransport(): Transport {
    const parts = this.#parts;
    return parts.openTransport({
      onMessage: (message) => this.#driver.step(message),
      onDisconnected: (peer) => this.#driver.disconnected(peer),
      onConnected: (peer) => {
        this.#driver.connected(peer);
        this.#peers.onConnected(peer);
      },
      onRequest: (peer, method, body) => this.#service.onRequest(peer, method, body),
      onRefused: (peer, refusal) => this.#onRefused(peer, refusal),
      wasRemoved: (node) => !this.#peers.counts(node) && parts.view((tx) => wasRemoved(tx, node)),
      mayBeNewer: (node) => this.#peers.isNewcomer(node),
      isOldCopy: (node, incarnation) =>
        // What a wrong state says of others is not to end them.
        !this.#quarantine.isActive &&
        isOldCopy(
          parts.view((tx) => findNode(tx, node)?.incarnation),
          incarnation,
        ),
      credentials: () => this.#certification.credentials(),
    });
  }

  #makeRelay(): Relay {
    const { logStore, applied, relay, log } = this.#parts;
    return new Relay({
      self: this.id,
      limits: relay,
      raft: this.#driver.raft,
      reader: logStore,
      applied,
      leadership: () => this.#leadership,
      told: () => [...this.#peers.nodes],
      isConnected: (node) => this.#transport.isConnected(node),
      request: (peer, method, body, timeoutMs) => this.#transport.request(peer, method, body, { timeoutMs }),
      wantSnapshot: (child) => this.#snapshots.sender.wantStill(child),
      schedule: () => this.#driver.schedule(),
      log,
    });
  }

  #makeProposer(): Proposer {
    const { raft } = this.#driver;
    return new Proposer(
      {
        self: this.id,
        level: () => this.#settings.level,
        leader: () => this.#leader,
        isLeading: () => this.isLeading,
        schedule: () => this.#driver.schedule(),
        principalProblem: (record) => this.#principals.problemOf(record) ?? this.#commands.voterProblem(record),
        propose: (data) => raft.propose(data),
        now: () => this.#logClock.now(),
        randomBytes: (count) => this.#parts.randomBytes(count),
        forward: async (to, batch) => forwardReply(await this.#transport.request(to, "propose", batch)),
      },
      this.#parts.identity.starts,
    );
  }

  #makeLeaseHolder(): LeaseHolder {
    return new LeaseHolder({
      leader: () => this.#leader,
      isLeading: () => this.isLeading,
      askLeader: async (to) => {
        const grant = leaseGrant(await this.#transport.request(to, "lease", this.#wallClock()));
        if (grant?.kind === "granted") this.#clocks.tell(grant.clock);
        return grant;
      },
      grantSelf: () => this.#grant(this.id),
      waitApplied: (index, deadline) => this.#reader.waitApplied(index, deadline),
      granted: (endsAt, index) => this.#executor.lease(endsAt, index),
      onDeclaredLost: () => this.#announcer.again(),
    });
  }

  #makeCertification(): Certification {
    const parts = this.#parts;
    return new Certification(
      {
        cluster: this.cluster,
        self: this.id,
        principal: this.#self,
        lifetimes: parts.lifetimes,
        view: (query) => parts.view(query),
        propose: (name, input, by) => this.propose(name, input, by),
        isLogged: () => this.#settings.level >= commandByName("authority.begin").since && this.#takesPart,
        askedBy: (body) => this.#principals.personOf(body, "cluster:write", Date.now()),
        isVoter: (node) => isVoter(this.#configuration, node),
        voters: () => this.#configuration.voters,
        isConnected: (node) => this.#transport.isConnected(node),
        isLeading: () => this.isLeading,
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
  }

  #makeAdmission(): Admission {
    return new Admission({
      cluster: this.cluster,
      epoch: this.#parts.identity.epoch,
      self: this.id,
      certification: this.#certification,
      address: () => this.#addresses.peer,
      configuration: () => this.#configuration,
      view: (query) => this.#parts.view(query),
      findToken: async (id) => {
        const found = await this.read((tx) => findToken(tx, id), { consistency: "linearizable" });
        return found.ok ? accept(found.value.value) : found;
      },
      join: (input) => this.#propose("node.join", input),
      ask: (voter, body) => this.#transport.request(voter, "join", body),
    });
  }

  #makeDivergence(): Divergence {
    return new Divergence({
      self: this.id,
      level: () => this.#settings.level,
      leader: () => this.#leader,
      isLeading: () => this.isLeading,
      isQuarantined: () => this.#quarantine.isActive,
      configuration: () => this.#configuration,
      report: async (to, report) => undecidedAnswer(await this.#transport.request(to, "hash.report", report)),
      ask: async (node, at) => hashAnswer(await this.#transport.request(node, "hash.at", at)),
      accuse: async (node, finding) => void (await this.#transport.request(node, "hash.odd", finding)),
      onOdd: (finding) => this.#quarantine.begin(finding),
      onAgreed: (node, at) => {
        if (at >= (this.#peers.quarantinedSince(node) ?? Infinity)) void this.#proposeAsLeader("node.return", { node });
      },
      log: this.#parts.log,
    });
  }

  #makeSnapshots(): Snapshots {
    const parts = this.#parts;
    return new Snapshots({
      self: this.id,
      cluster: this.cluster,
      dataDir: parts.dataDir,
      raft: this.#driver.raft,
      transport: this.#transport,
      divergence: this.#divergence,
      quarantine: this.#quarantine,
      isChild: (node) => this.#relay.isChild(node),
      copy: (purpose) => parts.copyState(purpose),
      check: (path) => parts.checkState(path),
      step: (message) => this.#driver.step(message),
      schedule: () => this.#driver.schedule(),
      reload: (snapshot) => this.#install(snapshot, true),
      quarantined: (node, entry) => {
        if (this.#peers.quarantinedSince(node) === undefined)
          void this.#proposeAsLeader("node.quarantine", { node, entry });
      },
      log: parts.log,
    });
  }

  #makeDuties(): Duties {
    const { raft } = this.#driver;
    const { log } = this.#parts;
    return new Duties({
      self: this.id,
      leases: this.#leases,
      clocks: this.#clocks,
      now: () => this.#logClock.now(),
      handOver: () => void this.#handOver.to(),
      view: (query) => this.#parts.view(query),
      propose: (name, input) => this.#proposeAsLeader(name, input),
      configuration: () => this.#configuration,
      proposeConfiguration: (change, basedOn) => {
        if (change.kind === "replace") this.#relay.wantDirect(change.voters);
        const proposed = raft.proposeConfiguration(change, basedOn);
        if (proposed.ok) log("info", "the members change", { ...change, index: proposed.index });
        this.#driver.schedule();
      },
      lag: (node) => this.#lag(node),
      lastIndex: () => raft.lastIndex,
      log,
    });
  }

  // ------------------------------------------------------------------------------------------------- life

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
    this.#peers.read();
    this.#driver.start();
    this.#certification.start();
    this.#relay.start();
    this.#quarantine.start(); // before consensus may elect this node and hand out entries
    if (this.#isOnlyVoter()) this.#driver.raft.campaign();
    this.#driver.drain();
    if (!this.mustFound()) void this.#takePart();
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

  /** Announces this node until the log has it, learns what it holds, and begins to ask for leases: in this order, or work that ended would run again. */
  async #takePart(): Promise<void> {
    await Promise.all([this.#executor.open(), this.#announcer.announce()]);
    await this.#becomesCurrent();
    if (this.#stopping) return;
    this.#takesPart = true;
    this.#certification.changed();
    this.#reconcileWork();
    this.#lease.start();
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

  /** Resolves when the state here is as new as the cluster's was at some moment after the call. */
  async #becomesCurrent(): Promise<void> {
    while (!this.#stopping) {
      const current = await this.#reader.linearizable();
      if (current.ok) return;
    }
  }

  /** The first step of stopping in good order: others lead, while what is under way here still gets its answers, from them. */
  async yield(): Promise<void> {
    if (this.#yielding) return;
    this.#yielding = true;
    if (this.isLeading && this.#configuration.voters.length > 1) await this.#handOver.to();
  }

  /** Stops taking part; running work stays with the guard. What is still unanswered is answered as unknown. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    await this.yield();
    if (this.#stopping) return; // meanwhile
    this.#stopping = true;
    // Whoever would begin something first, then those who answer and send, and the edges at the end.
    this.#announcer.stop();
    this.#lease.stop();
    this.#duties.stop();
    this.#certification.stop();
    this.#relay.stop();
    this.#snapshots.close();
    this.#divergence.close();
    this.#quarantine.close();
    this.#peers.stop();
    this.#proposer.close();
    this.#driver.stop();
    await this.#executor.close();
    await this.#transport.close();
  }

  // ------------------------------------------------------------------------------------------------- disk

  /** storage: everything up to `token` is synced. */
  onDurable(token: number): void {
    this.#driver.durable(token);
    this.#wrote("log.db");
    this.#relay.onDurable();
  }

  /** state: entries up to `applied` are synced in state.db, and not needed in the log for this node's sake (D3). */
  onStateDurable(applied: number): void {
    if (this.#quarantine.isActive) return; // a right state may need what a wrong one has applied
    this.#compactor.stateDurable(applied);
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

  /**
   * log.db: that entry cannot be read any more. True when this node goes on: its state contains the entry, so the log begins after it as soon as
   * the state is durable, and who lacks it gets a snapshot (D3).
   */
  onDamagedEntry(at: number): boolean {
    if (at > this.#applied) return false;
    this.#compactor.damaged(at);
    return true;
  }

  // ------------------------------------------------------------------------------------------------ state

  /** Index of the newest entry in the local state. */
  get applied(): number {
    return this.#applied;
  }

  /**
   * state: entries up to `applied` are in state.db. What this node is by them (members, settings, who may do what) is taken over before anybody is
   * answered, so that a caller who has an answer finds it in force; answers come before duties and work, which only begin something new.
   */
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
    this.#peers.onCommitted();
    this.#divergence.onApplied(applied, hashes);
    this.#reader.onApplied(applied);
    this.#proposer.onOutcomes(outcomes);
    this.#events.publish(events, Date.now());
    this.#duties.onApplied(events);
    this.#work.onApplied(events);
    this.#retention.onApplied(events);
  }

  /** One look over what has changed, however many entries it were. */
  #onChanges(events: readonly AppliedEvent[]): void {
    let members = false;
    let tokens = false;
    if (events.length > 0) this.#logClock.seen(events.at(-1)!.at);
    for (const event of events) {
      for (const change of event.changes) {
        if (change.topic === "node" && change.kind === "removed") this.#peers.onRemoved(change.node);
        if (change.topic === "node" || change.topic === "cluster") members = true;
        else if (change.topic === "token") tokens = true;
      }
    }
    if (tokens || members) this.#forgetRights();
    if (!members) return;
    this.#readMembers();
    this.#certification.changed();
  }

  /** Who may do what is looked up anew: a node's tokens end with it. */
  #forgetRights(): void {
    this.#tokens.forget();
    this.#principals.forget();
  }

  #readMembers(): void {
    this.#peers.read();
    if (this.#settings.read()) this.#driver.raft.retime(this.#settings.ticks);
  }

  /**
   * The received state takes the present one's place; everything that was derived from that is derived anew. `isLogKept`: in quarantine, where the log is
   * right and goes on, and what follows the state is handed out again. Nothing of it is to be seen before the new file is whole, and then all of it at once:
   * no await comes between.
   */
  async #install(snapshot: SnapshotMeta, isLogKept = false): Promise<void> {
    const { path } = this.#snapshots.receiver;
    // Views stay on the old file, under its open handles, until the new one is whole: what is read meanwhile is the state of before.
    const place = await this.#parts.writer.install(path, snapshot, this.#quarantine.asideFor(this.#applied));
    assert(place.applied === snapshot.index, "the state that was installed is the one that consensus took");
    this.#parts.viewState(undefined);
    this.#applied = place.applied;
    if (!isLogKept) this.#relay.onInstalled(snapshot.index);
    const isReloaded = this.#quarantine.isActive;
    if (isReloaded) {
      this.#driver.raft.rewind(snapshot.index);
      this.#compactor.reset(place.applied);
      this.#quarantine.end(place.applied);
    }
    this.#parts.log("info", `goes on from a snapshot of entry ${place.applied}`);
    this.#events.reset(place.applied);
    this.#forgetRights();
    this.#readMembers();
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

  // ------------------------------------------------------------------------------------------- leadership

  get isLeading(): boolean {
    return this.#driver.raft.role === "leader";
  }

  /** Somebody leads, as far as this node has heard. */
  get hasLeader(): boolean {
    return this.#leadership.leader !== nobody;
  }

  /** Where writes and questions for the leader go. */
  get #leader(): NodeId {
    const { leader } = this.#leadership;
    return leader === nobody ? this.#announcer.hintedLeader : leader;
  }

  /** Consensus as it stands, only to look at. */
  get consensus(): ConsensusView {
    return this.#driver.raft;
  }

  #isOnlyVoter(): boolean {
    const { voters, outgoing } = this.#configuration;
    return voters.length === 1 && voters[0] === this.id && outgoing.length === 0;
  }

  /**
   * What the leader judges by is begun anew before anything asks for it: leases of an earlier term count for nothing (J3), and the clock of the log goes on
   * from the state's (J4). Only then are writes and reads handed to the new leader, and the lease is asked for last.
   */
  #onLeadership(leadership: Leadership): void {
    const before = this.#leadership;
    this.#leadership = leadership;
    this.#announcer.onLeadership();
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

  /** Who votes, or is fed, is another one: whom to meet comes before what to do about it. */
  #onConfiguration(configuration: Configuration): void {
    this.#configuration = configuration;
    this.#relay.onConfiguration();
    this.#peers.onConfiguration();
    this.#duties.onConfiguration();
    this.#certification.changed();
  }

  /** Leader: gives the node its lease. */
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

  /** Leader: entries that the node is not known to have; undefined: it is not there. */
  #lag(node: NodeId): number | undefined {
    const { raft } = this.#driver;
    if (raft.progress(node)?.mode === "relay") return this.#relay.lag(node);
    return this.#transport.isConnected(node) ? raft.lag(node) : undefined;
  }

  transfer(to: string | number | undefined, by: Principal): Promise<Outcome<TransferValue>> {
    return transferLeadership(to, {
      ...this.#transferPorts,
      find: (reference) => this.#parts.view((tx) => findNode(tx, reference)),
      note: (from, named) =>
        this.#settings.level < commandByName("cluster.transfer").since
          ? Promise.resolve(accept(undefined)) // not in the audit yet, and possible all the same
          : this.propose("cluster.transfer", { from, to: named }, by),
    });
  }

  get #transferPorts(): Pick<TransferPorts, "leader" | "voters" | "handOver"> {
    return {
      leader: () => (this.#leadership.leader === nobody ? undefined : this.#leadership.leader),
      voters: () => this.#configuration.voters,
      handOver: (leader, to) => this.#handOver.by(leader, to),
    };
  }

  // ---------------------------------------------------------------------------------------- writes, reads

  /** This node itself, as the one who asks. */
  get principal(): Principal {
    return this.#self;
  }

  propose<Name extends CommandName>(name: Name, input: CommandInput<Name>, by: Principal): Promise<Committed<Name>> {
    return this.#commands.propose(name, input, by);
  }

  #propose<Name extends CommandName>(name: Name, input: CommandInput<Name>): Promise<Committed<Name>> {
    return this.#commands.propose(name, input, this.#self);
  }

  #proposeAsLeader<Name extends CommandName>(name: Name, input: CommandInput<Name>): Promise<Committed<Name>> {
    return this.#commands.proposeAsLeader(name, input, this.#self);
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

  // ------------------------------------------------------------------------------------------------- work

  /** The state is as new as the cluster's: what runs here, and whose output is kept, is made what it says. */
  #reconcileWork(): void {
    this.#work.reconcile();
    this.#retention.sweep();
  }

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

  readLog(request: LogRequest): Promise<Outcome<LogPage>> {
    return readLog(request, this.#logPorts);
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

  // ----------------------------------------------------------------------------------------- who comes in

  join(body: unknown): Promise<Outcome<unknown>> {
    return this.#admission.join(body);
  }

  /** Somebody says that members are there: whom this node does not know to have moved since, it dials there. */
  learnAddresses(theirs: readonly KnownAddress[]): void {
    this.#peers.learn(theirs);
  }

  authenticate(text: string): Principal | undefined {
    return this.#tokens.authenticate(text);
  }

  createToken(options: NewTokenOptions, by: Principal): Promise<Outcome<MadeToken>> {
    return this.#tokens.createToken(options, by);
  }

  createJoinToken(
    options: { readonly ttlMs: number; readonly uses: number },
    by: Principal,
  ): Promise<Outcome<{ readonly token: string }>> {
    return this.#tokens.createJoinToken(options, by);
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
      namesNode: () => this.#settings.level >= principalLevel,
      now: () => Date.now(),
      create: (input, by) => this.#proposer.submitAsLeader([tag, "", by, "node", input]),
    });
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

  // ------------------------------------------------------------------------------------------- looking on

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

  status(): NodeStatus {
    return statusOf({
      self: this.#nameplate,
      raft: this.#driver.raft,
      leadership: this.#leadership,
      configuration: this.#configuration,
      applied: this.#applied,
      isServing: !this.#yielding && !this.#room.isFull && !this.#quarantine.isActive,
      settings: this.#settings,
      peers: this.#peers,
      transport: this.#transport,
      relay: this.#relay,
      leases: this.#leases,
      clocks: this.#clocks,
      executor: this.#executor,
      quarantine: this.#quarantine,
      divergence: this.#divergence,
      view: (query) => this.#parts.view(query),
      lag: (node) => this.#lag(node),
    });
  }

  survivor(): Survivor {
    return survivorOf(this.#nameplate, this.#driver.raft, (query) => this.#parts.view(query));
  }

  get #nameplate() {
    return { id: this.id, name: this.name, cluster: this.cluster, epoch: this.#epoch };
  }

  get #epoch(): Epoch {
    return this.#parts.identity.epoch ?? firstEpoch;
  }

  #wallClock(): number {
    return this.#parts.wallClock?.() ?? Date.now();
  }

  // ---------------------------------------------------------------------------------------------- the end

  /** Another member lets this node in no more. What it knows better ends this node: a newer epoch, a later start, a removal. */
  #onRefused(peer: NodeId, { reason, removed, isOldCopy: isOld, newer }: PeerRefusal): void {
    if (newer !== undefined && !this.#stopping) return this.#parts.onFenced(newer);
    if (isOld && !this.#stopping) return this.#onOldCopy();
    if (removed && !this.#stopping) return this.#onRemoved(reason);
    this.#parts.log("warn", `node ${peer} refused this node: ${reason}`);
  }

  /** Several members say so, each on several sockets. */
  #onOldCopy(): void {
    if (this.#isOldCopy) return;
    this.#isOldCopy = true;
    this.#parts.onOldCopy();
  }

  /** Others say that this node is no member any more: news, unless it has asked for that itself. */
  #onRemoved(reason: string): void {
    const heard = this.#ownRemoval.heard();
    if (heard === "late") this.#parts.onLeft();
    else if (heard === "unasked") this.#parts.onRemoved(reason);
  }

  /** Before node.remove is logged, of this node or another. */
  #prepareRemoval(reference: string | number): Promise<Outcome<undefined>> {
    const { row, members } = this.#parts.view((tx) => ({
      row: findNode(tx, reference),
      members: listNodes(tx).length,
    }));
    return prepareRemoval(row, { ...this.#transferPorts, members: () => members });
  }

  async leave(timeoutMs: number, by: Principal): Promise<Outcome<{ readonly left: true }>> {
    const node = this.id;
    // Before it drains and hands over: it is the last step that could be refused.
    const problem = this.#commands.rightsProblem("node.remove", { node }, by);
    if (problem !== undefined) return refuse("forbidden", problem);
    const left = await leaveCluster(timeoutMs, {
      members: () => this.#parts.view(listNodes).length,
      drain: () => this.propose("node.drain", { node }, by),
      undrain: () => this.propose("node.undrain", { node }, by),
      held: () => Math.max(this.#executor.running(), this.#parts.view((tx) => assignmentsOf(tx, node)).length),
      isLeading: () => this.isLeading,
      handOver: () => this.#handOver.to(),
      remove: () => this.#ownRemoval.ask(() => this.propose("node.remove", { node }, by)),
      counts: () => !this.#ownRemoval.isHeard && this.#peers.counts(node),
    });
    this.#ownRemoval.answered();
    if (left.ok) this.#parts.onLeft();
    return left;
  }
}
