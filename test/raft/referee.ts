import type { NodeId } from "../../src/lib/ids.ts";
import { index, term } from "../../src/lib/ids.ts";
import { decodeConfiguration, emptyConfiguration } from "../../src/raft/configuration.ts";
import { quorumReached } from "../../src/raft/quorum.ts";
import type { Append, Configuration, Entry, Message, SnapshotMeta } from "../../src/raft/types.ts";
import type { Member } from "./cluster.ts";
import { check } from "./violation.ts";

interface Seen {
  commit: number;
  term: number;
  leading: number;
  /** The configuration by which it acted before this step: a commit may be what puts another one in force. */
  acting: Configuration;
}

/**
 * Watches a whole cluster and throws at the first broken promise: election safety, log matching, leader completeness,
 * state machine safety, durable on a quorum when committed, votes and acknowledgements durable when sent, and indexes
 * that never go back.
 */
export class Referee {
  readonly #leaders = new Map<number, NodeId>();
  readonly #entries = new Map<string, { readonly data: string; readonly previousTerm: number }>();
  /** Terms of the committed entries, by index - 1, and in which term of its leader each was known to be committed first. */
  readonly #committed: { readonly term: number; readonly inTerm: number; readonly data: string }[] = [];
  /** The committed entries themselves, index 1 first. */
  readonly committedEntries: Entry[] = [];
  readonly #votes = new Map<string, NodeId>();
  readonly #seen = new Map<NodeId, Seen>();

  get committedLength(): number {
    return this.#committed.length;
  }

  /** What a state that has applied everything up to `at` knows of itself. */
  metaAt(at: number): SnapshotMeta {
    const known = this.committedEntries.slice(0, at);
    const changes = known.filter((entry) => entry.kind === "configuration");
    const newest = changes.at(-1);
    return {
      index: index(at),
      term: term(known.at(-1)?.term ?? 0),
      configuration: newest === undefined ? emptyConfiguration : decodeConfiguration(newest.data)!,
    };
  }

  /** Log matching, by induction: equal (index, term) means equal data and an equal entry before. */
  onAppend(member: Member, append: Append): void {
    const first = append.entries[0]?.index ?? 0;
    const { snapshot } = append;
    const before = snapshot?.index === first - 1 ? snapshot.term : member.termAt(first - 1);
    let previousTerm: number = first <= 1 ? 0 : before!;
    for (const entry of append.entries) {
      const known = this.#entries.get(`${entry.index}/${entry.term}`);
      const data = describe(entry);
      if (known === undefined) this.#entries.set(`${entry.index}/${entry.term}`, { data, previousTerm });
      else
        check(
          "log-matching",
          known.data === data && known.previousTerm === previousTerm,
          `log matching broken at ${entry.index}/${entry.term}`,
        );
      previousTerm = entry.term;
    }
  }

  /** D4, when a message leaves the node. */
  onSend(member: Member, message: Message): void {
    const { store } = member;
    check(
      "durable-before-sent",
      message.term <= store.hardState.term || message.kind.startsWith("pre-vote"),
      `${message.kind} shows a term that is not durable`,
    );
    if (message.kind === "append-response") {
      // A later leader may have replaced the entries since: then the term has moved on.
      check(
        "durable-before-sent",
        store.lastIndex >= message.match || member.raft.term > message.term,
        "acknowledged what is not durable",
      );
    }
    if (message.kind === "vote-response" && message.granted) {
      const { hardState } = store;
      check(
        "durable-before-sent",
        hardState.term > message.term || hardState.vote === message.to,
        "a vote left before it was durable",
      );
      this.#oneVote(member.id, message.term, message.to);
    }
    if (message.kind === "vote-request") this.#oneVote(member.id, message.term, member.id);
  }

  #oneVote(voter: NodeId, inTerm: number, candidate: NodeId): void {
    const before = this.#votes.get(`${voter}/${inTerm}`) ?? candidate;
    check(
      "one-vote-per-term",
      before === candidate,
      `node ${voter} voted for ${before} and ${candidate} in term ${inTerm}`,
    );
    this.#votes.set(`${voter}/${inTerm}`, candidate);
  }

  /** State machine safety, when a node applies. */
  onApply(member: Member, entry: Entry): void {
    check(
      "state-machine-safety",
      entry.index === member.applied + 1,
      `node ${member.id} applied ${entry.index} after ${member.applied}`,
    );
    const committed = this.#committed[entry.index - 1];
    check("state-machine-safety", committed !== undefined, "applied an entry that nobody committed");
    check(
      "state-machine-safety",
      committed.term === entry.term && committed.data === describe(entry),
      `two entries applied at ${entry.index}`,
    );
    check(
      "durable-before-applied",
      member.store.holds(entry.index, entry.term),
      "applied an entry that is not durable here (D2)",
    );
  }

  /** After every step of a node. */
  onStep(member: Member, members: readonly Member[]): void {
    const { raft, id } = member;
    let seen = this.#seen.get(id);
    if (seen === undefined) this.#seen.set(id, (seen = { commit: 0, term: 0, leading: 0, acting: raft.configuration }));
    check("nothing-goes-back", raft.term >= seen.term, `term of node ${id} fell`);
    check("nothing-goes-back", raft.commit >= seen.commit, `commit of node ${id} fell`);
    if (raft.role === "leader" && seen.leading === raft.term && raft.commit > seen.commit) {
      check(
        "own-term-commit",
        member.termAt(raft.commit) === raft.term,
        `leader ${id} committed an entry of an earlier term by counting`,
      );
    }
    seen.term = raft.term;
    seen.commit = raft.commit;
    if (raft.role === "leader" && seen.leading !== raft.term) {
      seen.leading = raft.term;
      const other = this.#leaders.get(raft.term) ?? id;
      check("one-leader-per-term", other === id, `term ${raft.term} has leaders ${other} and ${id}`);
      this.#leaders.set(raft.term, id);
      this.#checkCompleteness(member);
    }
    if (raft.commit > this.#committed.length) this.#onCommit(member, members, seen.acting);
    seen.acting = raft.configuration;
  }

  #checkCompleteness(member: Member): void {
    for (let at = 1; at <= this.#committed.length; at++) {
      const { term, inTerm } = this.#committed[at - 1]!;
      if (inTerm < member.raft.term && at >= member.raft.baseIndex)
        check("leader-completeness", member.termAt(at) === term, `leader ${member.id} lacks committed entry ${at}`);
    }
  }

  /** Somebody is the first to know more as committed: a quorum of the configuration that it acted by must have it on disk, crashed nodes counted. */
  #onCommit(member: Member, members: readonly Member[], acting: Configuration): void {
    for (let at = this.#committed.length + 1; at <= member.raft.commit; at++) {
      const entry = member.entryAt(at);
      this.committedEntries.push(entry);
      this.#committed.push({ term: entry.term, inTerm: member.raft.term, data: describe(entry) });
    }
    const last = this.#committed.length;
    const holds = (node: NodeId): number => {
      const store = members.find((other) => other.id === node)?.store;
      // Acknowledged, and damaged since: it was there.
      if (store?.repair !== undefined && last <= store.repair.until) return 1;
      return store?.holds(last, this.#committed[last - 1]!.term) === true ? 1 : 0;
    };
    check(
      "committed-on-quorum",
      quorumReached(acting, { reached: holds }) >= 1,
      `entry ${last} is committed without a durable quorum`,
    );
  }

  /** A restarted node may know less as committed; what it applied durably it still knows. */
  onRestart(member: Member): void {
    const seen = this.#seen.get(member.id);
    if (seen === undefined) return;
    seen.commit = member.applied;
    seen.term = member.store.hardState.term;
    seen.acting = member.raft.configuration;
  }
}

function describe(entry: Entry): string {
  return `${entry.kind}:${Buffer.from(entry.data).toString("latin1")}`;
}
