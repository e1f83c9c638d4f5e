import type { NodeId } from "../../src/lib/ids.ts";
import { quorumReached } from "../../src/raft/quorum.ts";
import type { Append, Configuration, Entry, Message, SnapshotMeta } from "../../src/raft/types.ts";
import type { ConsensusView } from "../../src/node/node.ts";
import type { StatePlace } from "../../src/storage/state-db.ts";
import type { Odd } from "./odd-state.ts";
import type { LogFile } from "./stored-log.ts";

/**
 * Judges consensus from outside, at every step, and in little time: what did not change is not looked at again.
 *
 *  1 election safety          one leader per term                       7 order      base <= durable state <= applied <= commit <= last
 *  2 log matching             equal (index, term): equal past            8 term never falls
 *  3 leader completeness      a leader has what was committed            9 commit and applied never fall while a process lives
 *  4 state machine safety     one entry per index is applied             10 one vote per node and term, and it is durable when told (D4)
 *  5 committed on a quorum    of durable logs, crashed nodes counted     11 nothing is acknowledged that is not durable (D1)
 *  6 committed is immutable   and only through an own-term entry         12 equal applied index: equal state (rolling hash, S1)
 */

/** One node as the judge follows it, over its processes. */
export interface Watched {
  readonly node: NodeId;
  readonly file: LogFile;
  /** Handed over and not durable. */
  pending(): readonly Append[];
  durableApplied(): number;
}

interface KnownEntry {
  readonly term: number;
  readonly kind: string;
  readonly data: Uint8Array;
  readonly previousTerm: number;
}

interface Seen {
  term: number;
  commit: number;
  applied: number;
  leading: number;
  /** Applied will fall to this, once. */
  reloadedTo: number | undefined;
}

export interface Committed {
  readonly entry: Entry;
  /** The term of the leader that was first seen to know. */
  readonly inTerm: number;
}

export class Judge {
  readonly #fail: (problem: string) => void;
  readonly #watched = new Map<NodeId, Watched>();
  readonly #seen = new Map<NodeId, Seen>();
  /** By index: every entry that was ever handed to a disk, one per term. */
  readonly #entries: (KnownEntry[] | undefined)[] = [];
  readonly #leaders = new Map<number, NodeId>();
  readonly #votes = new Map<string, NodeId>();
  /** Index 1 first. */
  readonly committed: Committed[] = [];
  readonly #hashes = new Map<number, { readonly hash: string; readonly node: NodeId }>();
  readonly #wrongStates = new Set<string>();
  elections = 0;
  comparedHashes = 0;
  highestTerm = 0;

  constructor(fail: (problem: string) => void) {
    this.#fail = fail;
  }

  watch(watched: Watched): void {
    this.#watched.set(watched.node, watched);
  }

  get nodes(): readonly Watched[] {
    return [...this.#watched.values()];
  }

  /** The process is a new one: what was not durable may be forgotten. */
  restarted(node: NodeId, applied: number): void {
    const file = this.#watched.get(node)!.file;
    this.#seen.set(node, { term: file.hardState.term, commit: 0, applied, leading: 0, reloadedTo: undefined });
  }

  onAppend(node: NodeId, append: Append): void {
    const { entries, snapshot } = append;
    if (entries.length === 0) return;
    const first = entries[0]!.index;
    let previousTerm: number = snapshot?.index === first - 1 ? snapshot.term : (this.#termOf(node, first - 1) ?? 0);
    for (const entry of entries) {
      const known = (this.#entries[entry.index] ??= []);
      const same = known.find(({ term }) => term === entry.term);
      if (same === undefined) {
        known.push({ term: entry.term, kind: entry.kind, data: entry.data, previousTerm });
      } else if (same.previousTerm !== previousTerm || same.kind !== entry.kind || !equal(same.data, entry.data)) {
        this.#fail(`log matching: node ${node} has another entry at index ${entry.index} of term ${entry.term}`);
      }
      previousTerm = entry.term;
    }
  }

  /** Of the log as its process has it, durable or not. */
  #termOf(node: NodeId, at: number): number | undefined {
    const watched = this.#watched.get(node)!;
    let found = watched.file.termAt(at);
    for (const { entries, snapshot } of watched.pending()) {
      if (snapshot !== undefined) found = snapshot.index === at ? snapshot.term : undefined;
      const first = entries[0]?.index ?? Infinity;
      if (at < first) continue;
      found = entries[at - first]?.term;
    }
    return found;
  }

  onSend(node: NodeId, message: Message): void {
    const { file } = this.#watched.get(node)!;
    const { hardState } = file;
    const isAsking = message.kind === "pre-vote-request" || message.kind === "pre-vote-response";
    if (!isAsking && message.term > hardState.term)
      this.#fail(`node ${node} sent ${message.kind} of term ${message.term}, which is not durable there (D4)`);
    switch (message.kind) {
      case "append-response":
        if (file.lastIndex < message.match && hardState.term <= message.term)
          this.#fail(`node ${node} acknowledged entry ${message.match}, and has ${file.lastIndex} durably (D1)`);
        break;
      case "vote-response":
        if (!message.granted) break;
        if (hardState.term === message.term && hardState.vote !== message.to)
          this.#fail(`node ${node} told a vote for ${message.to} that is not durable (D4)`);
        this.#vote(node, message.term, message.to);
        break;
      case "vote-request":
        this.#vote(node, message.term, node);
        break;
      case "append-request":
      case "heartbeat-request":
      case "timeout-now":
        this.#lead(node, message.term);
        break;
      default:
        break;
    }
  }

  #vote(voter: NodeId, term: number, candidate: NodeId): void {
    const key = `${voter}/${term}`;
    const before = this.#votes.get(key) ?? candidate;
    if (before !== candidate) this.#fail(`node ${voter} voted for ${before} and ${candidate} in term ${term}`);
    this.#votes.set(key, candidate);
  }

  #lead(node: NodeId, term: number): boolean {
    const other = this.#leaders.get(term);
    if (other === node) return false;
    if (other !== undefined) this.#fail(`election safety: term ${term} has leaders ${other} and ${node}`);
    this.#leaders.set(term, node);
    this.elections += 1;
    return true;
  }

  onApply(node: NodeId, entries: readonly Entry[]): void {
    for (const entry of entries) {
      const committed = this.committed[entry.index - 1]?.entry;
      if (committed === undefined) this.#fail(`node ${node} applies entry ${entry.index}, which nobody committed`);
      else if (committed.term !== entry.term || !equal(committed.data, entry.data))
        this.#fail(`state machine safety: node ${node} applies another entry at ${entry.index}`);
      if (this.#watched.get(node)!.file.termAt(entry.index) !== entry.term)
        this.#fail(`node ${node} applies entry ${entry.index}, which is not durable there (D2)`);
    }
  }

  /** A state that was made wrong says nothing of the others; that it differs is noted. */
  onState(node: NodeId, place: StatePlace, odd: Odd | undefined): void {
    const known = this.#hashes.get(place.applied);
    if (odd === undefined && this.#wrongStates.has(`${place.applied} ${place.hash}`))
      this.#fail(`states differ: node ${node} was given a wrong state of entry ${place.applied}`);
    if (odd !== undefined) odd.isSeen ||= known !== undefined && known.hash !== place.hash;
    else if (known === undefined) this.#hashes.set(place.applied, { hash: place.hash, node });
    else {
      this.comparedHashes += 1;
      if (known.hash !== place.hash)
        this.#fail(
          `states differ at index ${place.applied}: node ${known.node} ${known.hash}, node ${node} ${place.hash}`,
        );
    }
  }

  /** A copy was made of a state that is known to be wrong: nobody must take it for theirs. */
  wrongCopy(applied: number, hash: string): void {
    this.#wrongStates.add(`${applied} ${hash}`);
  }

  /** The state of a node in quarantine was replaced by one of an earlier entry, or of a later one. */
  reloaded(node: NodeId, applied: number): void {
    this.#seen.get(node)!.reloadedTo = applied;
  }

  /** After every step of a node's process. */
  onStep(node: NodeId, view: ConsensusView, applied: number): void {
    const seen = this.#seen.get(node)!;
    const { term, commit, role } = view;
    if (term !== seen.term) {
      if (term < seen.term) this.#fail(`the term of node ${node} fell from ${seen.term} to ${term}`);
      seen.term = term;
      if (term > this.highestTerm) this.highestTerm = term;
    }
    if (role === "leader" && seen.leading !== term) {
      seen.leading = term;
      this.#lead(node, term);
      this.#checkComplete(node, term);
    }
    if (commit !== seen.commit) {
      if (commit < seen.commit) this.#fail(`the commit index of node ${node} fell from ${seen.commit} to ${commit}`);
      if (role === "leader" && seen.commit > 0 && this.#termOf(node, commit) !== term)
        this.#fail(`leader ${node} of term ${term} committed entry ${commit} of another term by counting`);
      seen.commit = commit;
      if (commit > this.committed.length) this.#onCommit(node, view);
    }
    if (applied !== seen.applied) {
      if (applied < seen.applied && applied !== seen.reloadedTo) this.#fail(`the applied index of node ${node} fell`);
      seen.reloadedTo = undefined;
      seen.applied = applied;
    }
    const durable = this.#watched.get(node)!.durableApplied();
    // A snapshot that consensus has taken is ahead of the state until that is in its place.
    const isOrdered = applied < view.baseIndex || view.baseIndex <= durable;
    if (!isOrdered || applied > commit || commit > view.lastIndex)
      this.#fail(
        `order at node ${node}: base ${view.baseIndex} <= durable state ${durable}, applied ${applied} <= commit ${commit} <= last ${view.lastIndex}`,
      );
  }

  #checkComplete(node: NodeId, term: number): void {
    const { base } = this.#watched.get(node)!.file;
    for (let at = base.index + 1; at <= this.committed.length; at++) {
      const { entry, inTerm } = this.committed[at - 1]!;
      if (inTerm < term && this.#termOf(node, at) !== entry.term)
        this.#fail(`leader completeness: leader ${node} of term ${term} lacks entry ${at} of term ${entry.term}`);
    }
  }

  /** Somebody is the first to know more as committed: a quorum must have it on disk. */
  #onCommit(node: NodeId, view: ConsensusView): void {
    const watched = this.#watched.get(node)!;
    for (let at = this.committed.length + 1; at <= view.commit; at++) {
      const term = this.#termOf(node, at);
      const known = this.#entries[at]?.find((one) => one.term === term);
      if (known === undefined) {
        this.#fail(`node ${node} knows entry ${at} as committed and does not have it`);
        return;
      }
      this.committed.push({
        entry: { index: at, term: known.term, kind: known.kind, data: known.data } as Entry,
        inTerm: view.term,
      });
    }
    const last = this.committed.length;
    const { term } = this.committed[last - 1]!.entry;
    if (quorumReached(view.configuration, { reached: (voter) => (this.#holds(voter, last, term) ? 1 : 0) }) < 1)
      this.#fail(`entry ${last} is known as committed to node ${watched.node}, and no quorum has it durably`);
  }

  #holds(node: NodeId, at: number, term: number): boolean {
    const file = this.#watched.get(node)?.file;
    if (file === undefined) return false;
    // It was acknowledged, and damaged since; or it is part of a state already.
    if (at <= file.base.index || (file.repair !== undefined && at <= file.repair.until)) return true;
    return file.termAt(at) === term;
  }

  /** What a state that has applied everything up to `at` knows of itself. */
  metaAt(at: number): Pick<SnapshotMeta, "index" | "term"> | undefined {
    return this.committed[at - 1]?.entry;
  }

  /** Every configuration in any log. */
  configurations(): Configuration[] {
    return this.nodes.flatMap(({ file }) => file.configurations());
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || Buffer.compare(a, b) === 0;
}
