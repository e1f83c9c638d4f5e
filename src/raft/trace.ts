import type { Index, NodeId } from "../lib/ids.ts";
import { decodeConfiguration } from "./configuration.ts";
import { Raft } from "./raft.ts";
import type {
  Append,
  Configuration,
  ConfigurationChange,
  Entry,
  Fed,
  FedOutcome,
  LogReader,
  Message,
  Proposed,
  RaftOptions,
  Ready,
  Restored,
  SnapshotMeta,
  Transferred,
} from "./types.ts";

/**
 * The steps of a machine as lines of JSON, for a checker outside: a model checker that replays them against a specification, or the one in
 * test/raft/trace-checker.ts. One line is one step: what was fed, or what was drained, and what the machine is afterwards. Since a machine
 * depends on nothing but what it is fed, its lines are all that there is to know of it; those of several nodes are put in an order by what was
 * sent before it was received. docs/consensus.md describes the format.
 *
 * A machine that is not traced is a plain {@link Raft}: it costs nothing there.
 */
export class TracedRaft extends Raft {
  readonly #node: NodeId;
  readonly #emit: (line: string) => void;
  #steps = 0;
  #before = "";

  constructor(options: RaftOptions, restored: Restored, reader: LogReader, emit: (line: string) => void) {
    super(options, restored, reader);
    this.#node = options.id;
    this.#emit = emit;
    const { hardState, baseIndex, baseTerm, baseConfiguration, lastIndex, termRuns, window, repair } = restored;
    const base = { index: baseIndex, term: baseTerm, configuration: baseConfiguration };
    const log = { base, lastIndex, termRuns, newest: window.map(sayEntry) };
    this.#write("start", { hardState, log, applied: options.applied, repair: repair ?? null });
  }

  override tick(): void {
    super.tick();
    // Time is no step of the protocol; what it leads to is.
    if (this.#state() !== this.#before) this.#write("timeout", {});
  }

  override step(message: Message): void {
    const dropped = this.dropped;
    super.step(message);
    this.#write("receive", { message: sayMessage(message), dropped: this.dropped > dropped });
  }

  override propose(data: Uint8Array): Proposed {
    const proposed = super.propose(data);
    this.#write("propose", { digest: digest(data), answer: proposed });
    return proposed;
  }

  override proposeConfiguration(change: ConfigurationChange, basedOn: Configuration): Proposed {
    const proposed = super.proposeConfiguration(change, basedOn);
    this.#write("propose-configuration", { change, answer: proposed });
    return proposed;
  }

  override readIndex(ticket: number): void {
    super.readIndex(ticket);
    this.#write("read", { ticket });
  }

  override transfer(to: NodeId): Transferred {
    const begun = super.transfer(to);
    this.#write("transfer", { to, answer: begun });
    return begun;
  }

  override appended(token: number): void {
    super.appended(token);
    this.#write("appended", { token });
  }

  override applied(upTo: Index): void {
    super.applied(upTo);
    this.#write("applied", { upTo });
  }

  override compact(upTo: Index): SnapshotMeta | undefined {
    const meta = super.compact(upTo);
    this.#write("compact", { base: meta ?? null });
    return meta;
  }

  override snapshotEnded(peer: NodeId, sent: Index | undefined): void {
    super.snapshotEnded(peer, sent);
    this.#write("snapshot-ended", { peer, sent: sent ?? null });
  }

  override relayed(learner: NodeId, match: Index): void {
    super.relayed(learner, match);
    this.#write("relayed", { learner, match });
  }

  override feedDirectly(learner: NodeId): void {
    super.feedDirectly(learner);
    this.#write("feed-directly", { learner });
  }

  override feed(fed: Fed): FedOutcome {
    const outcome = super.feed(fed);
    this.#write("feed", { fed: { ...fed, entries: fed.entries.map(sayEntry) }, outcome });
    return outcome;
  }

  override disconnected(peer: NodeId): void {
    super.disconnected(peer);
    this.#write("disconnected", { peer });
  }

  override connected(peer: NodeId): void {
    super.connected(peer);
    this.#write("connected", { peer });
  }

  override resign(): void {
    super.resign();
    this.#write("resign", {});
  }

  override trustState(isTrusted: boolean): void {
    super.trustState(isTrusted);
    this.#write("trust-state", { isTrusted });
  }

  override rewind(to: Index): void {
    super.rewind(to);
    this.#write("rewind", { to });
  }

  override forgetHearsay(): void {
    super.forgetHearsay();
    this.#write("forget-hearsay", {});
  }

  override campaign(): void {
    super.campaign();
    this.#write("campaign", {});
  }

  override drain(): Ready {
    const ready = super.drain();
    const { append, messages, messagesAfterAppend, committed, reads, snapshotsWanted } = ready;
    this.#write("ready", {
      append: append === undefined ? null : sayAppend(append),
      send: messages.map(sayMessage),
      sendAfterAppend: messagesAfterAppend.map(sayMessage),
      committed: committed.map(sayEntry),
      reads,
      snapshotsWanted,
    });
    return ready;
  }

  #state(): string {
    const { role, term, vote, leader, commit, lastIndex, durableIndex, baseIndex, configuration } = this;
    return JSON.stringify({ role, term, vote, leader, commit, lastIndex, durableIndex, baseIndex, configuration });
  }

  #write(event: string, what: object): void {
    this.#before = this.#state();
    const head = JSON.stringify({ node: this.#node, step: this.#steps++, event, what });
    this.#emit(`${head.slice(0, -1)},"state":${this.#before}}`);
  }
}

function sayAppend({ token, hardState, snapshot, entries }: Append): object {
  return { token, hardState: hardState ?? null, snapshot: snapshot ?? null, entries: entries.map(sayEntry) };
}

function sayMessage(message: Message): object {
  return message.kind === "append-request" ? { ...message, entries: message.entries.map(sayEntry) } : message;
}

/** Data is not in a trace: equal digests stand for equal data. A configuration is, for the checker needs it. */
function sayEntry({ index, term, kind, data }: Entry): object {
  if (kind !== "configuration") return { index, term, kind, digest: digest(data) };
  return { index, term, kind, digest: digest(data), configuration: decodeConfiguration(data) ?? null };
}

/** 32 bits of FNV-1a: to tell entries apart, no protection against anybody. */
function digest(data: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of data) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
