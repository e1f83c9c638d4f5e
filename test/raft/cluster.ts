import { assert } from "../../src/lib/assert.ts";
import { index, type Index, nobody, nodeId, term, type NodeId } from "../../src/lib/ids.ts";
import { seededRandom } from "../../src/lib/prng.ts";
import { bootstrap, encodeConfiguration } from "../../src/raft/configuration.ts";
import { Raft } from "../../src/raft/raft.ts";
import { TracedRaft } from "../../src/raft/trace.ts";
import type {
  Append,
  Configuration,
  Entry,
  Leadership,
  Message,
  Proposed,
  RaftOptions,
  ReadReady,
  SnapshotMeta,
} from "../../src/raft/types.ts";
import { ModelStore } from "./model-store.ts";
import type { SqliteState } from "./sqlite-state.ts";
import { Referee } from "./referee.ts";
import { check, Violation } from "./violation.ts";

/** Small numbers, so that limits are met: T is 10 ticks, a heartbeat every 2. */
export const testOptions: Omit<RaftOptions, "id" | "random" | "applied"> = {
  heartbeatTicks: 2,
  electionTicks: 10,
  disconnectTicks: 2,
  retryTicks: 5,
  appendMessageBytes: 1024,
  inflightAppends: 4,
  uncommittedBytes: 64 * 1024,
  logWindowBytes: 1024,
  promoteLagEntries: 10,
  directLearners: 8,
};

/** One node: the machine, its disk, and what its driver keeps. */
export class Member {
  readonly id: NodeId;
  readonly store: ModelStore;
  /** Where the state is a real file. */
  readonly state: SqliteState | undefined;
  raft!: Raft;
  alive = false;
  /** Its state is the right one. */
  isTrusted = true;
  /** Until let go, nothing becomes durable. */
  diskStalled = false;
  /** Until let go, the state takes in nothing of what was handed out. */
  applyStalled = false;
  /** A snapshot took the state's place, and the log may not have been told. */
  installing: number | undefined;
  installToken = 0;
  readonly unapplied: Entry[] = [];
  applied = 0;
  /** What the state had on disk: a restart begins there. */
  appliedDurable = 0;
  readonly log: Entry[] = [];
  held: { readonly token: number; readonly messages: readonly Message[] }[] = [];
  handed = 0;
  durable = 0;
  readonly reads: ReadReady[] = [];
  leadership: Leadership | undefined;
  configuration: Configuration | undefined;

  constructor(id: NodeId, store = new ModelStore(), state?: SqliteState) {
    this.id = id;
    this.store = store;
    this.state = state;
  }

  /** The term of an entry in the log as the machine has it: what is durable, with the pending appends on top. */
  termAt(at: number): number | undefined {
    for (let place = this.store.pending.length - 1; place >= 0; place--) {
      const { snapshot, entries } = this.store.pending[place]!;
      if (entries.length > 0 && at >= entries[0]!.index) return entries[at - entries[0]!.index]?.term;
      if (snapshot !== undefined) return at === snapshot.index ? snapshot.term : undefined;
    }
    return this.store.termAt(at);
  }

  entryAt(at: number): Entry {
    const entry = this.#logical(at);
    assert(entry !== undefined, `node ${this.id} has no entry ${at}`);
    return entry;
  }

  #logical(at: number): Entry | undefined {
    for (let place = this.store.pending.length - 1; place >= 0; place--) {
      const { entries, snapshot } = this.store.pending[place]!;
      if (entries.length > 0 && at >= entries[0]!.index) return entries[at - entries[0]!.index];
      if (snapshot !== undefined) return undefined;
    }
    return this.store.entryAt(at);
  }

  /** The data of applied commands, as text. */
  commands(): string[] {
    return this.log.filter((entry) => entry.kind === "command").map((entry) => Buffer.from(entry.data).toString());
  }
}

/** A real disk of one node. */
export interface NodeFiles {
  readonly store: ModelStore;
  readonly state: SqliteState;
}

/** Drops messages for which it says true. */
export type Filter = (message: Message) => boolean;

/**
 * A cluster in memory: settle() carries everything out in order, until nothing is left to do; time passes only with
 * tick(). Faults are asked for: cut, drop, hold back, stall a disk, crash.
 */
export class Cluster {
  readonly members: Member[] = [];
  readonly referee = new Referee();
  snapshotsInstalled = 0;
  /** By leaders, for nodes whose place they took to be compacted. */
  snapshotsWanted = 0;
  readonly overrides: Partial<RaftOptions>;
  /** Gets the steps of all machines, in their true order (src/raft/trace.ts). */
  readonly #trace: ((line: string) => void) | undefined;
  network: Message[] = [];
  /** Every message that left a node, for tests that look at traffic. */
  sent: Message[] = [];
  #cuts = new Set<string>();
  #filters: Filter[] = [];
  #random: () => number;

  /** Makes the disk of a node, where it is a real one. */
  readonly #files: ((id: number) => NodeFiles) | undefined;

  constructor(
    overrides: Partial<RaftOptions> = {},
    seed = 1,
    trace?: (line: string) => void,
    files?: (id: number) => NodeFiles,
  ) {
    this.#files = files;
    this.overrides = overrides;
    this.#trace = trace;
    this.#random = overrides.random ?? seededRandom(seed);
  }

  /** Nodes 1..voters, with a log that begins with their configuration. */
  static of(voters: number, overrides: Partial<RaftOptions> = {}, seed = 1): Cluster {
    const cluster = new Cluster(overrides, seed);
    const nodes = Array.from({ length: voters }, (_, at) => nodeId(at + 1));
    for (const node of nodes) cluster.addWithLog(node, nodes, [1]);
    return cluster;
  }

  /** A new cluster of one, as the first node makes it. */
  static bootstrapped(
    overrides: Partial<RaftOptions> = {},
    seed = 1,
    trace?: (line: string) => void,
    files?: (id: number) => NodeFiles,
  ): Cluster {
    const cluster = new Cluster(overrides, seed, trace, files);
    const member = cluster.addBlank(1);
    const { append, restored } = bootstrap(member.id);
    member.store.append(append);
    cluster.referee.onAppend(member, append);
    member.raft = cluster.#makeRaft(member, restored);
    return cluster;
  }

  /** A node that joins: it knows nothing. */
  addBlank(id: number): Member {
    const files = this.#files?.(id);
    const member = new Member(nodeId(id), files?.store, files?.state);
    this.members.push(member);
    this.restart(member);
    return member;
  }

  /** A node whose log holds the configuration at 1 and further entries of the given terms. */
  addWithLog(id: NodeId, voters: readonly NodeId[], terms: readonly number[]): Member {
    const member = new Member(id);
    this.members.push(member);
    const configuration = encodeConfiguration({ voters, outgoing: [], learners: [], learnersNext: [] });
    const entries = terms.map((entryTerm, at): Entry => {
      const kind = at === 0 ? "configuration" : "command";
      const data = at === 0 ? configuration : Buffer.from(`${at + 1}/${entryTerm}`);
      return { index: index(at + 1), term: term(entryTerm), kind, data };
    });
    const hardState = { term: term(terms.at(-1) ?? 0), vote: nobody, commit: index(0) };
    const append: Append = { token: 1, hardState, snapshot: undefined, entries };
    member.store.append(append);
    this.referee.onAppend(member, append);
    member.store.sync();
    this.restart(member);
    return member;
  }

  #options(member: Member): RaftOptions {
    return { ...testOptions, id: member.id, random: this.#random, ...this.overrides, applied: index(member.applied) };
  }

  get(id: number): Member {
    const member = this.members.find((other) => other.id === id);
    assert(member !== undefined, `no node ${id}`);
    return member;
  }

  raft(id: number): Raft {
    return this.get(id).raft;
  }

  #makeRaft(member: Member, restored = member.store.restored()): Raft {
    const options = this.#options(member);
    if (this.#trace === undefined) return new Raft(options, restored, member.store);
    return new TracedRaft(options, restored, member.store, this.#trace);
  }

  // -------------------------------------------------------------------------------------------- faults

  crash(id: number, survivedAppends = 0): void {
    const member = this.get(id);
    member.alive = false;
    const { state, unapplied } = member;
    const applied = state?.crash(unapplied, this.referee.committedEntries) ?? member.appliedDurable;
    const token = member.store.crash(survivedAppends);
    if (token !== undefined) this.#durable(member, token);
    member.held = [];
    member.handed = 0;
    member.durable = 0;
    member.reads.length = 0;
    member.unapplied.length = 0;
    member.log.splice(0, member.log.length, ...this.referee.committedEntries.slice(0, applied));
    member.applied = applied;
  }

  restart(member: Member): void {
    const meta = member.applied === 0 ? undefined : this.referee.metaAt(member.applied);
    try {
      const restored = member.store.open({ applied: member.applied, meta, installing: member.installing });
      member.raft = this.#makeRaft(member, restored);
    } catch (error) {
      if (error instanceof Violation) throw error;
      throw new Violation("starts-again", `node ${member.id} does not start again: ${String(error)}`);
    }
    member.installing = undefined;
    member.alive = true;
    if (!member.isTrusted) member.raft.trustState(false);
    this.referee.onRestart(member);
  }

  /** Everybody else notices that the sockets of a node closed. */
  noticeClosed(id: number): void {
    for (const member of this.members) {
      if (!member.alive || member.id === id) continue;
      member.raft.disconnected(nodeId(id));
      this.#watch(member);
    }
  }

  /** No message from a to b, until healed. */
  cutOneWay(from: number, to: number): void {
    this.#cuts.add(`${from}>${to}`);
  }

  cut(a: number, b: number): void {
    this.cutOneWay(a, b);
    this.cutOneWay(b, a);
  }

  mend(a: number, b: number): void {
    this.#cuts.delete(`${a}>${b}`);
    this.#cuts.delete(`${b}>${a}`);
  }

  isolate(id: number): void {
    for (const member of this.members) if (member.id !== id) this.cut(id, member.id);
  }

  heal(): void {
    this.#cuts.clear();
    this.#filters = [];
  }

  /** Gives the function that ends it. */
  drop(filter: Filter): () => void {
    this.#filters.push(filter);
    return () => {
      this.#filters = this.#filters.filter((other) => other !== filter);
    };
  }

  isLost(message: Message): boolean {
    return this.#cuts.has(`${message.from}>${message.to}`) || this.#filters.some((filter) => filter(message));
  }

  // ------------------------------------------------------------------------------------------ carrying out

  /** What node/drive.ts does: one drain, in the contract's order. True when there was something. */
  drain(member: Member): boolean {
    if (!member.alive || !member.raft.hasReady()) return false;
    const ready = member.raft.drain();
    if (ready.append !== undefined) {
      assert(ready.append.token > member.handed, "tokens grow");
      if (ready.append.snapshot !== undefined) this.#install(member, ready.append.snapshot);
      member.handed = ready.append.token;
      if (ready.append.snapshot !== undefined) member.installToken = member.handed;
      this.referee.onAppend(member, ready.append);
      member.store.append(ready.append);
    }
    for (const message of ready.messages) this.#leave(member, message);
    if (ready.messagesAfterAppend.length > 0) {
      member.held.push({ token: member.handed, messages: ready.messagesAfterAppend });
    }
    if (ready.configuration !== undefined) member.configuration = ready.configuration;
    if (ready.leadership !== undefined) member.leadership = ready.leadership;
    this.#watch(member);
    member.unapplied.push(...ready.committed);
    if (!member.applyStalled) this.apply(member);
    member.reads.push(...ready.reads);
    for (const to of ready.snapshotsWanted) {
      this.snapshotsWanted += 1;
      const envelope = { from: member.id, to, term: member.raft.term };
      this.network.push({ kind: "snapshot-request", ...envelope, snapshot: this.referee.metaAt(member.applied) });
    }
    return true;
  }

  /** The state takes in what was handed out. */
  apply(member: Member): void {
    if (member.unapplied.length === 0) return;
    member.state?.apply(member.unapplied);
    for (const entry of member.unapplied.splice(0)) {
      this.referee.onApply(member, entry);
      member.log.push(entry);
      member.applied = entry.index;
    }
    member.raft.applied(index(member.applied));
    this.#watch(member);
  }

  /** The state of the snapshot takes the place of the member's own, durably, before the log is told. */
  #install(member: Member, { index: at }: SnapshotMeta): void {
    check("nothing-goes-back", at > member.applied, "a state never goes back");
    this.snapshotsInstalled++;
    member.unapplied.length = 0;
    member.installing = at;
    member.applied = member.appliedDurable = at;
    member.state?.install(this.referee.committedEntries.slice(0, at));
    member.log.splice(0, member.log.length, ...this.referee.committedEntries.slice(0, at));
  }

  /** The state of that node is found to be wrong; what it goes on applying stands for what its driver throws away. */
  distrust(member: Member): void {
    member.isTrusted = false;
    if (!member.alive) return;
    member.raft.trustState(false);
    this.#watch(member);
  }

  /** A right state that has applied up to `at` takes the wrong one's place, durably. */
  reload(member: Member, at: number): void {
    member.unapplied.length = 0;
    const known = this.referee.committedEntries.slice(0, at);
    member.state?.install(known);
    member.applied = member.appliedDurable = at;
    member.log.splice(0, member.log.length, ...known);
    member.isTrusted = true;
    member.raft.rewind(index(at));
    member.raft.trustState(true);
    this.#watch(member);
  }

  /** Forgets what that node has applied durably, up to `upTo`. */
  compact(id: number, upTo = this.get(id).appliedDurable): void {
    const member = this.get(id);
    const meta = member.raft.compact(index(upTo));
    if (meta !== undefined) member.store.compact(meta);
  }

  /** The message does not arrive; who streams a snapshot notices. */
  lose(message: Message): void {
    if (message.kind === "snapshot-request") this.#snapshotEnded(message, undefined);
  }

  #snapshotEnded(message: Message, sent: Index | undefined): void {
    const sender = this.members.find((other) => other.id === message.from);
    if (sender?.alive === true) sender.raft.snapshotEnded(message.to, sent);
  }

  #leave(member: Member, message: Message): void {
    this.referee.onSend(member, message);
    this.network.push(message);
    this.sent.push(message);
  }

  /** Makes up to `count` pending appends durable, reports them, and lets go what waited. */
  sync(member: Member, count?: number): boolean {
    if (!member.alive) return false;
    const token = member.store.sync(count);
    if (token === undefined) return false;
    this.#durable(member, token);
    return true;
  }

  #durable(member: Member, token: number): void {
    member.durable = token;
    if (token >= member.installToken) member.installing = undefined;
    member.raft.appended(token);
    while (member.held.length > 0 && member.held[0]!.token <= member.durable) {
      for (const message of member.held.shift()!.messages) this.#leave(member, message);
    }
    this.#watch(member);
  }

  deliver(message: Message): void {
    const member = this.members.find((other) => other.id === message.to);
    if (member === undefined || !member.alive || this.isLost(message)) return this.lose(message);
    member.raft.step(message);
    if (message.kind === "snapshot-request") this.#snapshotEnded(message, message.snapshot.index);
    this.#watch(member);
  }

  #watch(member: Member): void {
    this.referee.onStep(member, this.members);
  }

  /** Until nothing is left to do without time passing. */
  settle(): void {
    for (let turn = 0; turn < 10_000; turn++) {
      let busy = false;
      for (const member of this.members) {
        while (this.drain(member)) busy = true;
        if (!member.diskStalled && this.sync(member)) busy = true;
      }
      const batch = this.network;
      this.network = [];
      for (const message of batch) this.deliver(message);
      if (!busy && batch.length === 0) return;
    }
    throw new Violation("progress", "the cluster does not come to rest");
  }

  /** Time passes for everybody alive (or for one node), and everything that follows happens at once. */
  tick(count = 1, only?: number): void {
    for (let at = 0; at < count; at++) {
      for (const member of this.members) {
        if (!member.alive || (only !== undefined && member.id !== only)) continue;
        member.raft.tick();
        this.#watch(member);
      }
      this.settle();
    }
  }

  /** Ticks until the condition holds; fails after many. Gives the number of ticks. */
  tickUntil(what: string, holds: () => boolean, ticksMax = 200): number {
    this.settle();
    for (let ticks = 0; ticks <= ticksMax; ticks++) {
      if (holds()) return ticks;
      this.tick();
    }
    throw new Violation("progress", `not after ${ticksMax} ticks: ${what}`);
  }

  // ---------------------------------------------------------------------------------------------- shortcuts

  /** The leader of the highest term, if any. */
  leader(): Member | undefined {
    let found: Member | undefined;
    for (const member of this.members) {
      if (member.alive && member.raft.role === "leader" && (found === undefined || member.raft.term > found.raft.term))
        found = member;
    }
    return found;
  }

  /** Makes this node the leader, by an election that it starts now. */
  elect(id: number): Raft {
    this.settle();
    this.raft(id).campaign();
    this.settle();
    assert(this.raft(id).role === "leader", `node ${id} was not elected`);
    return this.raft(id);
  }

  propose(id: number, text: string): Proposed {
    return this.raft(id).propose(Buffer.from(text));
  }

  /** Proposes at the leader and carries everything out; fails unless committed there. */
  commit(text: string): void {
    const leader = this.leader();
    assert(leader !== undefined, "no leader");
    const proposed = this.propose(leader.id, text);
    assert(proposed.ok, "refused");
    this.settle();
    assert(leader.raft.commit >= proposed.index, `${text} was not committed`);
  }

  /** Proposes a membership change at the leader and carries everything out. */
  change(kind: "add-learner" | "promote" | "demote" | "remove", node: number): Proposed {
    const leader = this.leader();
    assert(leader !== undefined, "no leader");
    const proposed = leader.raft.proposeConfiguration({ kind, node: nodeId(node) }, leader.raft.configuration);
    this.settle();
    return proposed;
  }

  /** Proposes other members at the leader, in one change, and carries everything out, leaving a joint configuration included. */
  replace(voters: readonly number[], learners: readonly number[] = []): Proposed {
    const leader = this.leader();
    assert(leader !== undefined, "no leader");
    const change = { kind: "replace", voters: voters.map(nodeId), learners: learners.map(nodeId) } as const;
    const proposed = leader.raft.proposeConfiguration(change, leader.raft.configuration);
    this.settle();
    return proposed;
  }

  sentKinds(from: number): string[] {
    return this.sent.filter((message) => message.from === from).map((message) => message.kind);
  }
}
