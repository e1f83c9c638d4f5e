import { assert } from "../lib/assert.ts";
import { monotonicMs } from "../lib/clock.ts";
import { type Epoch, epochStart, firstEpoch } from "../lib/epoch.ts";
import { index as toIndex, nobody, type NodeId, term } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import type { Survivor } from "../lib/survivors.ts";
import { Raft } from "../raft/raft.ts";
import { TracedRaft } from "../raft/trace.ts";
import type { Configuration, Leadership, RaftOptions, SnapshotMeta } from "../raft/types.ts";
import type { AuthorityView, ExplainView, PlanView } from "../state/answers.ts";
import { type CommandInput, type CommandName, commandByName } from "../state/commands/index.ts";
import type { MadeJob, StepRefusal } from "../state/firing.ts";
import { resourceLevel, scheduleLevel } from "../state/levels.ts";
import type { StoredSchedule } from "../state/tables/schedule.ts";
import {
  appliedIndex,
  assignmentsOf,
  clusterRow,
  findNode,
  findToken,
  listNodes,
  runningByNode,
  readOutcomes,
  wasRemoved,
} from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { JobState, Principal } from "../state/types.ts";
import type { PeerRefusal, Transport } from "../transport/types.ts";
import { Access } from "./access.ts";
import type { KnownAddress } from "./address-book.ts";
import { Announcer } from "./announcer.ts";
import type {
  AppliedEvent,
  LogPage,
  LogRequest,
  MadeToken,
  NewInventory,
  NewTokenOptions,
  NodeApi,
  NodeStatus,
  PastEvents,
  SetInventory,
  SetSecret,
  FireLagCounts,
} from "./api.ts";
import { setInventory } from "./inventories.ts";
import type { Backup } from "./backup.ts";
import { Bundles } from "./bundles.ts";
import { Commands, type Committed } from "./commands.ts";
import { Compactor } from "./compactor.ts";
import { CronDuty } from "./cron-duty.ts";
import { type CrampedFile, DiskRoom, noRoom } from "./disk-room.ts";
import { Driver } from "./drive.ts";
import { Events } from "./events.ts";
import { JobAdmission } from "./job-admission.ts";
import { KnownPeers } from "./known-peers.ts";
import { Leading } from "./leading.ts";
import { leaveCluster, OwnRemoval } from "./leave.ts";
import { readLog } from "./logs.ts";
import { isOldCopy } from "./old-copy.ts";
import { OwnWork } from "./own-work.ts";
import type { NodeParts } from "./parts.ts";
import { forwardReply, readIndex } from "./peer-answers.ts";
import { PeerService } from "./peer-service.ts";
import type { Vouched } from "./pinned.ts";
import { Proposer } from "./propose.ts";
import { Questions } from "./questions.ts";
import { Reader } from "./read.ts";
import { Relay } from "./relay.ts";
import { FireLags } from "./fire-lags.ts";
import { Settings } from "./settings.ts";
import { makeScheduledJob } from "./schedule-jobs.ts";
import { Silence } from "./silence.ts";
import type { BatchOutcome } from "./state-writer.ts";
import { statusOf, survivorOf } from "./status.ts";
import { prepareRemoval, transferLeadership, type TransferValue } from "./transfer.ts";
import { WholeState } from "./whole-state.ts";

/**
 * One node of the mesh: the meeting point of consensus, state, transport, storage and execution. This file connects them and tells, from the top down,
 * what happens when:
 *
 *   put together    each part, and what it is given of the others
 *   life            start, taking part, yielding, stopping
 *   disk            something is synced, finds no room, or cannot be read
 *   state           entries were applied; another state takes the present one's place
 *   leadership      somebody else leads, or this node does; the configuration changes
 *   writes, reads   commands on their way to the log; views that are new enough
 *   who comes in    joining nodes, tokens, certificates
 *   looking on      output, watchers, backups, status
 *   the end         others let this node in no more; it is removed, or leaves
 *
 * What each step does is in a file of its own beside this one; what members ask is in peer-service.ts. Awaits stand in starting, installing, reading and
 * leaving, and none of them keeps a decision about leadership across an await: the log decides. Where several parts are told of one event, they
 * are told in one turn, and in an order that invariants rest on; why is said there.
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
  /** Brought from outside once the node is there: main.ts. */
  heartbeat: NodeApi["heartbeat"];
  readonly #parts: NodeParts;
  readonly #self: Principal;

  // Consensus, and whom it is with.
  readonly #driver: Driver;
  readonly #transport: Transport;
  readonly #peers: KnownPeers;
  readonly #relay: Relay;
  readonly #leading: Leading;
  #leadership: Leadership = { role: "follower", term: term(0), leader: nobody };
  #configuration: Configuration;

  // What has been decided, and where it is kept.
  readonly #state: WholeState;
  readonly #settings: Settings;
  readonly #events: Events;
  readonly #compactor: Compactor;
  readonly #room = new DiskRoom();
  #applied: number;

  // What comes in, and what runs here.
  readonly #commands: Commands;
  readonly #admission: JobAdmission;
  readonly #proposer: Proposer;
  readonly #reader: Reader;
  readonly #access: Access;
  readonly #questions: Questions;
  readonly #silence: Silence;
  readonly #service: PeerService;
  readonly #work: OwnWork;
  readonly bundles: Bundles;
  readonly #cron: CronDuty;
  readonly #fireLags = new FireLags();

  // Life.
  readonly #announcer: Announcer;
  readonly #ownRemoval = new OwnRemoval();
  /** Where this node can be reached, once it listens. */
  #addresses = { api: "", peer: "" };
  /** It knows what it holds, and asks for leases. */
  #takesPart = false;
  #isOldCopy = false;
  #yielding = false;
  #stopping = false;

  // ----------------------------------------------------------------------------------------- put together

  /**
   * A part is given those that it asks, if they are made before it, and else closures: many tell each other of something. None takes part in anything
   * before start().
   */
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
    this.#events = new Events(parts.applied, { stored: parts.storedEvents, applied: () => this.#applied });

    this.#driver = this.#makeDriver();
    const { raft } = this.#driver;
    this.#configuration = raft.configuration;
    /** What nearly all of them ask, or want to be done. */
    const common = {
      self: this.id,
      raft,
      view: <Value>(query: (tx: ReadTx) => Value): Value => parts.view(query),
      leader: () => this.#leader,
      heardLeader: () => this.#leadership.leader,
      isLeading: () => this.isLeading,
      configuration: () => this.#configuration,
      applied: () => this.#applied,
      address: () => this.#addresses.peer,
      wallClock: () => this.#wallClock(),
      schedule: () => this.#driver.schedule(),
      log: parts.log,
    };

    const transport = this.#openTransport();
    this.#transport = transport;
    this.#peers = new KnownPeers({
      ...common,
      starts: identity.starts,
      remembered: identity.peers,
      transport,
      hasLeader: () => this.hasLeader,
      kept: (node) => this.#relay.kept(node),
    });
    this.#relay = new Relay({
      ...common,
      limits: parts.relay,
      reader: parts.logStore,
      applied: parts.applied,
      leadership: () => this.#leadership,
      told: () => [...this.#peers.nodes],
      isConnected: (node) => transport.isConnected(node),
      request: (peer, method, body, timeoutMs) => transport.request(peer, method, body, { timeoutMs }),
      wantSnapshot: (child) => this.#state.sender.wantStill(child),
    });
    this.#compactor = new Compactor(
      {
        ...common,
        logStore: parts.logStore,
        met: () => this.#peers.met(),
        isHeld: () => this.#state.quarantine.isActive,
        needed: () => this.#relay.needed,
        neededBySnapshot: () => this.#state.sender.needed,
      },
      parts.logBudget,
    );

    this.#admission = new JobAdmission({ ...common, lastIndex: () => raft.lastIndex });
    this.#proposer = new Proposer(
      {
        ...common,
        admission: this.#admission,
        level: () => this.#settings.level,
        principalProblem: (record) => this.#access.principals.problemOf(record) ?? this.#commands.voterProblem(record),
        propose: (data) => raft.propose(data),
        now: () => this.#leading.logClock.now(),
        randomBytes: (count) => parts.randomBytes(count),
        forward: async (to, batch) => forwardReply(await transport.request(to, "propose", batch)),
        remembered: (serial) => {
          const found = parts.view((tx) => readOutcomes(tx, this.id, serial));
          return found && { serial, index: found.entry, outcomes: found.outcomes };
        },
      },
      identity.starts,
    );
    this.#reader = new Reader({
      ...common,
      readIndex: (ticket) => raft.readIndex(ticket),
      askLeader: async (to) => readIndex(await transport.request(to, "read-index", null)),
    });
    this.#leading = new Leading({
      ...common,
      transport,
      relay: this.#relay,
      reader: this.#reader,
      leadership: () => this.#leadership,
      propose: (name, input) => this.#proposeAsLeader(name, input),
      readLog: (request) => this.readLog(request),
      lookAtSource: (look) => this.bundles.lookAtSource(look),
      drain: () => this.#driver.drain(),
      cover: (index) => this.#work.lease.cover(index),
      relieve: (units) => this.#work.relieve(units),
    });
    this.bundles = new Bundles({
      ...common,
      dataDir: parts.dataDir,
      level: () => this.#settings.level,
      transport,
      principal: this.#self,
      catchUp: () => this.#catchUp({ consistency: "linearizable" }),
      propose: (name, input, by) => this.propose(name, input, by),
      secret: (name) => this.#access.secrets.own(name),
      readsSecrets: () => this.#access.secrets.canRead(),
      voters: () => this.#access.certification.otherVoters(),
      random: () => parts.random(),
    });
    this.#work = new OwnWork({
      ...common,
      incarnation: parts.incarnation,
      level: () => this.#settings.level,
      dataDir: parts.dataDir,
      openExecutor: (hooks) => parts.openExecutor(hooks),
      copiesLogs: parts.copiesLogs,
      transport,
      reader: this.#reader,
      leading: this.#leading,
      propose: (name, input) => this.#propose(name, input),
      onDeclaredLost: () => this.#announcer.again(),
      secrets: (attempt) => this.#access.secrets.values(attempt),
      bundle: (attempt, spec) => this.bundles.tree(attempt, spec),
    });
    this.#cron = new CronDuty({
      ...common,
      now: () => (this.isLeading ? this.#leading.logClock.now() : this.#wallClock()),
      silent: () => this.#leading.silent(),
      takesPart: () => this.#takesPart && !this.#state.quarantine.isActive,
      propose: (name, input) => this.#propose(name, input),
      makeJob: (row, at) => makeScheduledJob(row, at, common.view),
    });
    this.#access = new Access({
      ...common,
      parts,
      principal: this.#self,
      settings: this.#settings,
      transport,
      proposer: this.#proposer,
      takesPart: () => this.#takesPart,
      propose: (name, input, by) => this.propose(name, input, by),
      catchUp: () => this.#catchUp({ consistency: "linearizable" }),
      findToken: async (id) => {
        const found = await this.read((tx) => findToken(tx, id), { consistency: "linearizable" });
        return found.ok ? accept(found.value.value) : found;
      },
    });
    this.#state = new WholeState({
      ...common,
      parts,
      epoch: this.#epoch,
      transport,
      settings: this.#settings,
      peers: this.#peers,
      relay: this.#relay,
      reader: this.#reader,
      propose: (name, input) => this.#proposeAsLeader(name, input),
      step: (message) => this.#driver.step(message),
      cutLog: () => this.#compactor.cut(),
      reload: (snapshot) => this.#install(snapshot, true),
    });
    this.#commands = new Commands({
      ...common,
      proposer: this.#proposer,
      quarantine: this.#state.quarantine,
      settings: this.#settings,
      name: this.name,
      catchUp: () => this.#catchUp({ consistency: "linearizable" }),
      prepareRemoval: (reference) => this.#prepareRemoval(reference),
    });
    this.#announcer = new Announcer({
      ...common,
      peers: this.#peers,
      transport,
      announce: () => this.#propose("node.seen", { node: this.id, ...this.#announcement() }),
      onRemoved: (reason) => this.#onRemoved(reason),
    });
    this.#questions = new Questions({
      ...common,
      duties: this.#leading.duties,
      level: () => this.#settings.level,
      catchUp: () => this.#catchUp({ consistency: "linearizable" }),
      ask: (leader, method, body) => transport.request(leader, method, body),
    });
    this.#silence = new Silence({
      leading: this.#leading,
      leader: () => this.#leadership.leader,
      ask: (leader) => transport.request(leader, "silent", null),
    });
    this.#service = new PeerService({
      ...common,
      questions: this.#questions,
      leader: () => this.#leadership.leader,
      proposer: this.#proposer,
      reader: this.#reader,
      leading: this.#leading,
      peers: this.#peers,
      relay: this.#relay,
      state: this.#state,
      access: this.#access,
      work: this.#work,
      bundles: this.bundles,
      onRemoved: (reason) => {
        if (!this.#stopping) this.#onRemoved(reason);
      },
    });
  }

  #makeDriver(): Driver {
    const { logStore, writer } = this.#parts;
    return new Driver(this.#openRaft(), logStore, {
      send: (message) => this.#transport.send(message),
      apply: (entries) => {
        // First, and in quarantine too: the log is right whatever the state is, and others are fed with it.
        this.#relay.onCommitted(entries);
        if (this.#state.quarantine.isActive) {
          // Not under way to a state, so none of the room for that is taken; handed out again once there is a right one to apply them to.
          this.#driver.raft.applied(entries.at(-1)!.index);
          return;
        }
        writer.apply(entries);
        this.#compactor.committed(entries);
      },
      onReads: (reads) => this.#reader.onReads(reads),
      install: (snapshot) => this.#install(snapshot),
      installed: () => this.#state.receiver.installed(),
      onSnapshotsWanted: (peers) => {
        for (const peer of peers) this.#state.sender.want(peer);
      },
      onLeadership: (leadership) => this.#onLeadership(leadership),
      onConfiguration: (configuration) => this.#onConfiguration(configuration),
      onLogLost: (until) => this.#parts.onLogLost(this.#driver.raft.lastIndex, until),
      beforeDrain: () => this.#proposer.logGathered(),
      afterDrain: () => this.#leading.coverage.look(),
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
      hasReachedEpoch: () => this.#applied >= epochStart(this.#epoch.number),
      // What a wrong state says of others is not to end them.
      wasRemoved: (node) =>
        !this.#state.quarantine.isActive && !this.#peers.counts(node) && parts.view((tx) => wasRemoved(tx, node)),
      mayBeNewer: (node) => this.#peers.isNewcomer(node),
      isOldCopy: (node, incarnation) =>
        !this.#state.quarantine.isActive &&
        isOldCopy(
          parts.view((tx) => findNode(tx, node)?.incarnation),
          incarnation,
        ),
      credentials: () => this.#access.certification.credentials(),
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
    this.#access.certification.start();
    this.#relay.start();
    this.#state.quarantine.start(); // before consensus may elect this node
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

  /** Announces this node until the log has it, learns what it holds, and begins to ask for leases: in this order, or it would run what a state of before its start says. */
  async #takePart(): Promise<void> {
    await Promise.all([this.#work.executor.open(), this.#announcer.announce()]);
    await this.#becomesCurrent();
    if (this.#stopping) return;
    this.#takesPart = true;
    this.#access.certification.changed();
    this.#work.reconcile();
    this.#work.lease.start();
    this.#cron.start();
    if (this.#parts.copiesLogs) this.bundles.start();
  }

  /** What this node says of itself at every start. */
  #announcement(): Omit<CommandInput<"node.seen">, "node"> {
    return {
      incarnation: this.#parts.incarnation,
      ...this.#addresses,
      labels: this.#parts.labels,
      ...this.#parts.capacity,
      ...(this.#settings.level >= resourceLevel ? { resources: this.#parts.resources } : {}),
      ...(this.#settings.level >= scheduleLevel && this.#parts.zones !== undefined ? { zones: this.#parts.zones } : {}),
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
    if (this.isLeading && this.#configuration.voters.length > 1) await this.#leading.handOver.to();
  }

  /** Stops taking part; running work stays with the guard. What is still unanswered is answered as unknown. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    await this.yield();
    if (this.#stopping) return; // meanwhile
    this.#stopping = true;
    // Whoever would begin something first, then those who answer and send, and the edges at the end.
    this.#announcer.stop();
    this.#work.stop();
    this.#cron.stop();
    this.bundles.stop();
    this.#leading.stop();
    this.#access.certification.stop();
    this.#relay.stop();
    this.#state.close();
    this.#peers.stop();
    this.#proposer.close();
    this.#driver.stop();
    await this.#work.executor.close();
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
    if (this.#state.quarantine.isActive) return; // of a wrong state
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
   * state: entries up to `applied` are in state.db. What this node is by them comes first: consensus knows that they are applied, members, settings and rights
   * are in force, who was removed and counts no more is shut out (M1), and the hash after them can be asked for (S1). Then those are answered who waited for
   * them, so that whoever has an answer finds all of that (R1). Work and duties come last: they only begin something new, and
   * what begins here does not wait for the planning of what is next.
   */
  onApplied(
    applied: number,
    outcomes: readonly BatchOutcome[],
    events: readonly AppliedEvent[],
    hashes: Uint32Array,
  ): void {
    if (this.#state.quarantine.isActive) return; // what was on its way to a wrong state
    this.#applied = applied;
    this.#wrote("state.db");
    this.#driver.applied(toIndex(applied));
    this.#admission.onApplied(applied);
    this.#onChanges(events);
    this.#peers.onCommitted();
    this.#state.divergence.onApplied(applied, hashes);
    this.#reader.onApplied(applied);
    this.#proposer.onOutcomes(outcomes);
    this.#events.publish(events, Date.now());
    this.#work.onApplied(events);
    this.#leading.duties.onApplied(events);
    this.#cron.onApplied(events);
    this.#fireLags.onApplied(events);
  }

  /** One look over what has changed, however many entries it were. */
  #onChanges(events: readonly AppliedEvent[]): void {
    let members = false;
    let tokens = false;
    if (events.length > 0) this.#leading.logClock.seen(events.at(-1)!.at);
    for (const event of events) {
      for (const change of event.changes) {
        if (change.topic === "node" && change.kind === "removed") this.#peers.onRemoved(change.node);
        if (change.topic === "node" || change.topic === "cluster") members = true;
        else if (change.topic === "token") tokens = true;
      }
    }
    if (tokens || members) this.#access.forget();
    if (!members) return;
    this.#readMembers();
    this.#access.certification.changed();
  }

  #readMembers(): void {
    this.#peers.read();
    this.#admission.forget();
    const before = this.#settings.level;
    if (this.#settings.read()) this.#driver.raft.retime(this.#settings.ticks);
    // What nobody would have understood is said now.
    if (before < resourceLevel && this.#settings.level >= resourceLevel && this.#takesPart) this.#announcer.again();
  }

  /**
   * The received state takes the present one's place, and everything that was derived from that is derived anew, in the order of onApplied and without an
   * await: nobody sees a half of each. `isLogKept`: in quarantine, where the log is right and goes on, and what follows the state is handed out again.
   */
  async #install(snapshot: SnapshotMeta, isLogKept = false): Promise<void> {
    const { path } = this.#state.receiver;
    // Views stay on the old file, under its open handles, until the new one is whole: what is read meanwhile is the state of before.
    const place = await this.#parts.writer.install(path, snapshot, this.#state.quarantine.asideFor(this.#applied));
    assert(place.applied === snapshot.index, "the state that was installed is the one that consensus took");
    this.#parts.viewState(undefined);
    this.#applied = place.applied;
    if (isLogKept) this.#relay.onReloaded(snapshot.index);
    else this.#relay.onInstalled(snapshot.index);
    const isReloaded = this.#state.quarantine.isActive;
    if (isReloaded) {
      this.#driver.raft.rewind(snapshot.index);
      this.#compactor.reset(place.applied);
      this.#state.quarantine.end(place.applied);
    }
    this.#parts.log("info", `goes on from a snapshot of entry ${place.applied}`);
    this.#events.reset(place.applied);
    this.#access.forget();
    this.#readMembers();
    this.#state.divergence.reset(place.applied, place.hash);
    this.#access.certification.changed();
    this.#reader.onApplied(place.applied);
    this.#proposer.onJumped();
    this.#cron.onJump();
    if (!this.#takesPart) return;
    if (!isReloaded) return this.#work.reconcile();
    this.#work.pause(); // what this older state does not know may have been begun here (J1)
    void this.#becomesCurrent().then(() => {
      if (!this.#stopping && !this.#state.quarantine.isActive) this.#work.reconcile();
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
   * Leading is begun or ended before anything else is told, since what the leader judges and stamps by must be of its own term (J3, J4). Then writes that
   * wait are handed to who leads now, reads and reports are asked of it, and last the lease, for which this node may be the leader itself.
   */
  #onLeadership(leadership: Leadership): void {
    const before = this.#leadership;
    this.#leadership = leadership;
    this.#announcer.onLeadership();
    if (leadership.role === "leader") {
      if (before.role !== "leader" || before.term !== leadership.term) {
        this.#leading.begin(leadership);
        this.#cron.onLead();
      }
    } else if (before.role === "leader") this.#leading.end(leadership);
    this.#relay.onLeadership();
    this.#proposer.onLeadership(leadership.term);
    if (leadership.leader === before.leader && leadership.term === before.term) return;
    this.#reader.onLeadership();
    this.#state.divergence.onLeadership();
    // The many that hear of it from others ask in their turn, each at its own time: a new leader must not be met by all of them at once.
    if (leadership.leader !== nobody && !this.#driver.raft.isHearsay) this.#work.lease.renew();
  }

  /** Who votes, or is fed, is another one: whom to meet comes before what to do about it. */
  #onConfiguration(configuration: Configuration): void {
    this.#configuration = configuration;
    this.#relay.onConfiguration();
    this.#peers.onConfiguration();
    this.#leading.duties.onConfiguration();
    this.#access.certification.changed();
  }

  transfer(to: string | number | undefined, by: Principal): Promise<Outcome<TransferValue>> {
    return transferLeadership(to, {
      ...this.#leading.handOver.transferPorts,
      find: (reference) => this.#parts.view((tx) => findNode(tx, reference)),
      note: (from, named) =>
        this.#settings.level < commandByName("cluster.transfer").since
          ? Promise.resolve(accept(undefined)) // not in the audit yet, and possible all the same
          : this.propose("cluster.transfer", { from, to: named }, by),
    });
  }

  // ---------------------------------------------------------------------------------------- writes, reads

  /** This node itself, as the one who asks. */
  get principal(): Principal {
    return this.#self;
  }

  /** What this node has to say to a command comes first (commands.ts), then the batch of this turn (propose.ts), and the outcome from the state here. */
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
    const refusal = this.#state.quarantine.refusal(); // again: it may have been found while this waited
    if (refusal !== undefined) return refusal;
    return accept(this.#parts.view((tx) => ({ index: appliedIndex(tx), value: query(tx) })));
  }

  explain(job: number): Promise<Outcome<{ readonly value: ExplainView; readonly index: number }>> {
    return this.#questions.explain(job);
  }

  plan(
    specs: Pick<CommandInput<"job.submit">, "jobs" | "lists">,
    by: Principal,
  ): Promise<Outcome<{ readonly value: PlanView; readonly index: number }>> {
    return this.#questions.plan(specs, by);
  }

  /** Waits until the local state is as new as was asked for. */
  async #catchUp(options: {
    readonly consistency: "linearizable" | "stale";
    readonly minIndex?: number | undefined;
  }): Promise<Outcome<undefined>> {
    const refusal = this.#state.quarantine.refusal();
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

  // ----------------------------------------------------------------------------------------- who comes in

  join(body: unknown): Promise<Outcome<unknown>> {
    return this.#access.admission.join(body);
  }

  /** Somebody says that members are there: whom this node does not know to have moved since, it dials there. */
  learnAddresses(theirs: readonly KnownAddress[]): void {
    this.#peers.learn(theirs);
  }

  authenticate(text: string): Principal | undefined {
    return this.#access.tokens.authenticate(text);
  }

  createToken(options: NewTokenOptions, by: Principal): Promise<Outcome<MadeToken>> {
    return this.#access.tokens.createToken(options, by);
  }

  createJoinToken(
    options: { readonly ttlMs: number; readonly uses: number },
    by: Principal,
  ): Promise<Outcome<{ readonly token: string }>> {
    return this.#access.tokens.createJoinToken(options, by);
  }

  setSecret(name: string, value: string, by: Principal): Promise<Outcome<SetSecret>> {
    return this.#access.secrets.set(name, value, by);
  }

  setInventory(wanted: NewInventory, by: Principal): Promise<Outcome<SetInventory>> {
    return setInventory(
      {
        read: (query) => this.read(query, { consistency: "linearizable" }),
        propose: (name, input) => this.propose(name, input, by),
      },
      wanted,
    );
  }

  recoverToken(request: unknown): Promise<Outcome<{ readonly id: string }>> {
    return this.#access.recoverToken(request);
  }

  /** What the API shows over TLS, PEM. */
  apiCredentials(): { readonly key: string; readonly cert: string } {
    return { key: this.#access.certification.credentials().key, cert: this.#access.certification.chain() };
  }

  /** The authorities that clients are to believe, PEM. */
  authorityBundle(): string {
    return this.#access.certification.bundle();
  }

  /** Calls the listener whenever what this node shows, or whom it believes, has changed. */
  onRenewed(listener: () => void): void {
    this.#access.onRenewed(listener);
  }

  reissue(request: unknown): Promise<Outcome<string>> {
    return this.#access.certification.reissue(request);
  }

  rotateAuthority(by: Principal): Promise<Outcome<{ readonly authority: string }>> {
    return this.#access.certification.rotate(by);
  }

  authorities(): readonly AuthorityView[] {
    return this.#access.certification.authorities();
  }

  formerAuthorities(): readonly Vouched[] {
    return this.#access.certification.formerAuthorities();
  }

  // ------------------------------------------------------------------------------------------- looking on

  readLog(request: LogRequest): Promise<Outcome<LogPage>> {
    return readLog(request, this.#work.logs);
  }

  watch(listener: (event: AppliedEvent) => void, onJump?: () => void): () => void {
    return this.#events.watch(listener, onJump);
  }

  eventsAfter(from: number): readonly AppliedEvent[] | undefined {
    return this.#events.after(from);
  }

  storedEvents(from: number): AsyncGenerator<PastEvents, void, undefined> | undefined {
    return this.#events.stored(from);
  }

  oldestEvent(): number {
    return this.#events.oldest();
  }

  jobEnded(job: number, timeoutMs: number, signal?: AbortSignal): Promise<JobState | undefined> {
    return this.#events.jobEnded(job, timeoutMs, signal);
  }

  backup(stale: boolean): Promise<Outcome<Backup>> {
    return this.#state.backups.make(stale);
  }

  status(): NodeStatus {
    return statusOf({
      self: this.#nameplate,
      raft: this.#driver.raft,
      leadership: this.#leadership,
      configuration: this.#configuration,
      applied: this.#applied,
      room: this.#room,
      isServing: !this.#yielding && !this.#room.isFull && !this.#state.quarantine.isActive,
      settings: this.#settings,
      peers: this.#peers,
      transport: this.#transport,
      relay: this.#relay,
      leading: this.#leading,
      work: this.#work,
      state: this.#state,
      schedules: this.#cron.owned,
      view: (query) => this.#parts.view(query),
    });
  }

  get fireLags(): FireLagCounts {
    return this.#fireLags.counts;
  }

  get stepsRefused(): Readonly<Record<StepRefusal, number>> {
    return this.#cron.refusals.counts;
  }

  scheduledJob(row: Pick<StoredSchedule, "name" | "definition">, at: number): Promise<MadeJob> {
    return makeScheduledJob(row, at, (query) => this.#parts.view(query));
  }

  silent(): Promise<readonly NodeId[] | undefined> {
    return this.#silence.nodes();
  }

  survivor(): Survivor {
    const quarantinedAt = this.#state.quarantine.finding?.index ?? null;
    return survivorOf(this.#nameplate, this.#driver.raft, quarantinedAt, (query) => this.#parts.view(query));
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
    const { row, members, running } = this.#parts.view((tx) => {
      const row = findNode(tx, reference);
      return {
        row,
        members: listNodes(tx).length,
        running: row === undefined ? 0 : (runningByNode(tx).get(row.id) ?? 0),
      };
    });
    const { transferPorts } = this.#leading.handOver;
    return prepareRemoval(row, { ...transferPorts, members: () => members, running: () => running });
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
      held: () => Math.max(this.#work.executor.running(), this.#parts.view((tx) => assignmentsOf(tx, node)).length),
      isLeading: () => this.isLeading,
      handOver: () => this.#leading.handOver.to(),
      remove: () => this.#ownRemoval.ask(() => this.propose("node.remove", { node }, by)),
      counts: () => !this.#ownRemoval.isHeard && this.#peers.counts(node),
    });
    this.#ownRemoval.answered();
    if (left.ok) this.#parts.onLeft();
    return left;
  }
}
