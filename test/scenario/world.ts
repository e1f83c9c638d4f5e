import { assert } from "../../src/lib/assert.ts";
import { index, nobody, nodeId, term, type NodeId } from "../../src/lib/ids.ts";
import { bootstrap, encodeConfiguration } from "../../src/raft/configuration.ts";
import { Raft } from "../../src/raft/raft.ts";
import type { Append, Configuration, Entry, Message, RaftOptions, Ready } from "../../src/raft/types.ts";
import { Member, testOptions } from "../raft/cluster.ts";
import { Referee } from "../raft/referee.ts";
import { sayAppend, sayConfiguration, sayEntries, sayMessage } from "./words.ts";

/** One node of a script: the machine, its disk (writes wait there until they are processed) and its state (entries wait as well). */
export class Host extends Member {
  /** Handed to apply and not applied. */
  toApply: Entry[] = [];
  /** What its next draws give: 0 draws the shortest timeout, T + 1. */
  draw = 0;
}

/**
 * A cluster in which nothing happens by itself: what is ready is taken, written, applied and delivered when a script says so, and each step
 * says what it did. The referee of test/raft looks at every step.
 */
export class World {
  readonly hosts: Host[] = [];
  readonly referee = new Referee();
  readonly options: Partial<RaftOptions> = {};
  /** Who sends a snapshot learns how that ended. */
  areSnapshotsReported = true;
  /** On their way, oldest first. */
  network: Message[] = [];
  /** Taken off their way, by name. */
  readonly delayed = new Map<string, Message[]>();
  readonly #cuts = new Set<string>();
  /** What does not arrive, whoever sends it. */
  blocked: ((message: Message) => boolean)[] = [];
  readonly #say: (line: string) => void;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  host(id: number): Host {
    const host = this.hosts.find((other) => other.id === id);
    assert(host !== undefined, `there is no node ${id}`);
    return host;
  }

  // --------------------------------------------------------------------------------------------- nodes

  /** A node whose log holds the configuration and, after it, an entry of each of the terms. */
  add(id: number, configuration: Configuration, terms: readonly number[], hardTerm: number): void {
    const host = new Host(nodeId(id));
    const entries = [1, ...terms].map((entryTerm, at): Entry => {
      const data = at === 0 ? encodeConfiguration(configuration) : Buffer.from(`${at + 1}.${entryTerm}`);
      return { index: index(at + 1), term: term(entryTerm), kind: at === 0 ? "configuration" : "command", data };
    });
    const hardState = { term: term(hardTerm), vote: nobody, commit: index(0) };
    this.#begin(host, { token: 1, hardState, snapshot: undefined, entries });
    this.#start(host);
  }

  /** A node that has joined and knows nothing yet. */
  addBlank(id: number): void {
    const host = new Host(nodeId(id));
    this.hosts.push(host);
    this.#start(host);
  }

  /** The first node of a new cluster. */
  bootstrap(): void {
    const host = new Host(nodeId(1));
    this.#begin(host, bootstrap(host.id).append);
    this.#start(host);
  }

  #begin(host: Host, append: Append): void {
    this.hosts.push(host);
    host.store.append(append);
    this.referee.onAppend(host, append);
    host.store.sync();
  }

  #start(host: Host): void {
    const options = {
      ...testOptions,
      ...this.options,
      id: host.id,
      random: () => host.draw,
      applied: index(host.applied),
    };
    host.raft = new Raft(options, host.store.restored(), host.store);
    host.alive = true;
    this.referee.onRestart(host);
  }

  /** The process ends; of its writes the first `survived` had reached the disk. */
  crash(host: Host, survived: number): void {
    host.alive = false;
    host.store.crash(survived);
    host.held = [];
    host.handed = host.durable = 0;
    host.toApply = [];
    host.applied = host.appliedDurable;
    host.log.length = host.applied;
  }

  /** Its data directory is gone: log, promises and state. */
  wipe(host: Host): void {
    assert(!host.alive, `node ${host.id} is running`);
    host.store.wipe();
    host.applied = host.appliedDurable = 0;
    host.log.length = 0;
  }

  restart(host: Host): void {
    assert(!host.alive, `node ${host.id} is running`);
    const meta = this.referee.metaAt(host.applied);
    if (host.applied > 0 && host.store.termAt(host.applied) !== meta.term) host.store.beginAnew(meta);
    this.#start(host);
  }

  // -------------------------------------------------------------------------------------------- network

  cut(from: number, to: number): void {
    this.#cuts.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cuts.clear();
    this.blocked = [];
  }

  isCut(message: Message): boolean {
    if (this.blocked.some((isBlocked) => isBlocked(message))) return true;
    return (
      this.#cuts.has(`${message.from}>${message.to}`) ||
      !(this.hosts.find(({ id }) => id === message.to)?.alive ?? false)
    );
  }

  /** It does not arrive. Who streams a snapshot notices. */
  lose(message: Message): void {
    this.#say(`lost: ${sayMessage(message)}`);
    if (message.kind === "snapshot-request") this.#snapshotEnded(message, false);
  }

  /** `isSaid`: in a settling cluster every message arrives, and it was said when it left. */
  deliver(message: Message, isSaid = true): void {
    if (this.isCut(message)) return this.lose(message);
    if (isSaid) this.#say(sayMessage(message));
    const { raft } = this.host(message.to);
    const before = raft.dropped;
    raft.step(message);
    if (raft.dropped > before) this.#say(`  ${message.to} drops it`);
    if (message.kind === "snapshot-request") this.#snapshotEnded(message, true);
    this.watch(message.to);
  }

  #snapshotEnded(message: Extract<Message, { kind: "snapshot-request" }>, arrived: boolean): void {
    const sender = this.hosts.find((other) => other.id === message.from);
    if (sender?.alive === true && this.areSnapshotsReported)
      sender.raft.snapshotEnded(message.to, arrived ? message.snapshot.index : undefined);
  }

  send(host: Host, message: Message): void {
    this.referee.onSend(host, message);
    this.network.push(message);
  }

  // --------------------------------------------------------------------------------------------- driving

  /** Takes what is ready. False: nothing is. */
  ready(host: Host): boolean {
    if (!host.alive || !host.raft.hasReady()) return false;
    const ready = host.raft.drain();
    this.#say(`${host.id} is ready`);
    this.#write(host, ready);
    for (const message of ready.messages) this.#sendNow(host, message);
    if (ready.messagesAfterAppend.length > 0) {
      host.held.push({ token: host.handed, messages: ready.messagesAfterAppend });
      for (const message of ready.messagesAfterAppend)
        this.#say(`  after write ${host.handed}: ${sayMessage(message)}`);
    }
    this.#tell(host, ready);
    this.watch(host.id);
    return true;
  }

  #write(host: Host, { append }: Ready): void {
    if (append === undefined) return;
    this.#say(`  ${sayAppend(append)}`);
    host.handed = append.token;
    const { snapshot } = append;
    if (snapshot !== undefined) {
      assert(snapshot.index > host.applied, "a state never goes back");
      host.applied = host.appliedDurable = snapshot.index;
      host.toApply = [];
      host.log.splice(0, host.log.length, ...this.referee.committedEntries.slice(0, snapshot.index));
      this.#say(`  state is now that of ${snapshot.index}/${snapshot.term}`);
    }
    this.referee.onAppend(host, append);
    host.store.append(append);
  }

  #sendNow(host: Host, message: Message): void {
    this.#say(`  sends ${sayMessage(message)}`);
    this.send(host, message);
  }

  #tell(host: Host, ready: Ready): void {
    const { leadership, configuration, committed, reads, snapshotsWanted } = ready;
    if (leadership !== undefined) {
      const { role, term, leader } = leadership;
      const of = role !== "follower" ? "" : leader === nobody ? " without a leader" : ` of ${leader}`;
      this.#say(`  is ${role}${of} in term ${term}`);
    }
    if (configuration !== undefined) this.#say(`  configuration ${sayConfiguration(configuration)}`);
    if (committed.length > 0) this.#say(`  to apply ${sayEntries(committed)}`);
    host.toApply.push(...committed);
    for (const { ticket, index } of reads)
      this.#say(`  read ${ticket} ${index === undefined ? "must ask again" : `sees ${index}`}`);
    for (const to of snapshotsWanted) this.#say(`  wants a snapshot for ${to}`);
  }

  /** The oldest `count` writes become durable, and what waited for them leaves. */
  disk(host: Host, count?: number): boolean {
    if (!host.alive) return false;
    const token = host.store.sync(count);
    if (token === undefined) return false;
    this.#say(`${host.id} has write ${token} on disk`);
    host.durable = token;
    host.raft.appended(token);
    while (host.held.length > 0 && host.held[0]!.token <= token) {
      for (const message of host.held.shift()!.messages) this.#sendNow(host, message);
    }
    this.watch(host.id);
    return true;
  }

  apply(host: Host): boolean {
    if (!host.alive || host.toApply.length === 0) return false;
    for (const entry of host.toApply) {
      this.referee.onApply(host, entry);
      host.log.push(entry);
      host.applied = entry.index;
    }
    this.#say(`${host.id} applied ${host.applied}`);
    host.toApply = [];
    host.appliedDurable = host.applied;
    host.raft.applied(index(host.applied));
    return true;
  }

  /** The state of `from`, as it is, begins its way to `to`. */
  sendSnapshot(from: Host, to: NodeId, at = from.appliedDurable): void {
    const envelope = { from: from.id, to, term: from.raft.term };
    this.network.push({ kind: "snapshot-request", ...envelope, snapshot: this.referee.metaAt(at) });
  }

  watch(id: number): void {
    this.referee.onStep(this.host(id), this.hosts);
  }
}
