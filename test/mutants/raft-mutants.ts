import type { Mutant } from "./mutant.ts";

const raft = "src/raft/raft.ts";

/** Bugs of elections and of leadership. */
const elections: readonly Mutant[] = [
  {
    name: "12",
    title: "a vote leaves before it is on disk",
    source: "hiqlite#361",
    bug: "Answers to vote requests are sent at once. Power is lost before the sync, and the node votes once more in the same term.",
    patches: [
      {
        file: raft,
        old: `message.kind === "append-response" || message.kind === "vote-response" || this.#term > this.#writes.durableTerm;`,
        new: `message.kind === "append-response" || (message.kind !== "vote-response" && this.#term > this.#writes.durableTerm);`,
      },
    ],
    simulation: "raft",
    checkers: ["durable-before-sent", "one-vote-per-term", "one-leader-per-term"],
  },
  {
    name: "16",
    title: "a leader whose disk hangs leads for ever",
    source: "hashicorp/raft#503, #666, consul#22064, lavinmq#2151",
    bug: "Heartbeats need no disk. The leader's append is never durable, nothing is answered, and nobody else may take over.",
    patches: [{ file: raft, old: "if (this.#isDiskStalled) return this.#stepDown(true);", new: "" }],
    simulation: "raft",
    checkers: ["progress"],
  },
  {
    name: "21",
    title: "a pre-vote that is refused teaches no term",
    source: "openraft#1796",
    bug: "The longest log is in an older term, the newest term has a shorter log: each refuses the other's pre-vote, and nobody learns why.",
    patches: [{ file: raft, old: "if (message.granted) return true; // our own question's term", new: "return true;" }],
    simulation: "raft",
    checkers: ["progress"],
  },
  {
    name: "22",
    title: "a leader of a minority goes on, and a bridge believes in it",
    source: "openraft#2080, cockroach#142994",
    bug: "The leader does not ask itself whether a quorum hears it. A node that hears both sides refuses to vote for the side that has one.",
    patches: [
      {
        file: raft,
        old: "if (quorumReached(this.#configurations.current, this.#heard) < 1) return this.#stepDown(false);",
        new: "",
      },
    ],
    simulation: "raft",
    checkers: ["progress"],
  },
  {
    name: "23",
    title: "a node that misses the leader alone forces elections for ever",
    source: "the outage of Cloudflare in 2020, old-raft-rs#27",
    bug: "Elections begin without a pre-vote and votes are given although a leader is heard: who cannot hear it deposes it, again and again.",
    patches: [
      {
        file: raft,
        old: "else if (this.#timer.tick()) {\n      if (this.#mayLead) this.#startPreVote();",
        new: "else if (this.#timer.tick()) {\n      if (this.#mayLead) this.#startVote(false);",
      },
      { file: raft, old: "message.term > this.#term && !this.#hearsLeader &&", new: "message.term > this.#term &&" },
      { file: raft, old: "if (!message.transfer && this.#hearsLeader) return false;", new: "" },
    ],
    simulation: "raft",
    checkers: ["stable-leader", "progress"],
  },
  {
    name: "24",
    title: "every election timeout is the shortest one",
    source: "etcd#10483",
    bug: "Nodes that lost their leader together ask for votes together, again and again.",
    patches: [
      {
        file: "src/raft/election-timer.ts",
        old: "this.#due = randomInteger(this.#random, this.#electionTicks + 1, 2 * this.#electionTicks);",
        new: "this.#due = this.#electionTicks;",
      },
    ],
    simulation: "raft",
    checkers: ["progress"],
  },
  {
    name: "25",
    title: "a pre-candidate believes in the leader it gave up",
    source: "etcd#8334, #8498, raft-rs#84",
    bug: "Its own round makes a node's timer fresh again while it still names the old leader: it refuses whoever else asks.",
    patches: [
      {
        file: raft,
        old: "    this.#leader = nobody;\n    this.#votes.clear();",
        new: `    if (this.#role === "candidate") this.#leader = nobody;\n    this.#votes.clear();`,
      },
    ],
    simulation: "raft",
    checkers: ["progress"],
  },
  {
    name: "28",
    title: "a node that reaches nobody raises its term",
    source: "hashicorp/raft#524",
    bug: "Elections begin without a pre-vote: who is removed or cut off comes back with a term that deposes the leader.",
    patches: [
      {
        file: raft,
        old: "else if (this.#timer.tick()) {\n      if (this.#mayLead) this.#startPreVote();",
        new: "else if (this.#timer.tick()) {\n      if (this.#mayLead) this.#startVote(false);",
      },
    ],
    simulation: "raft",
    checkers: ["terms-stay", "stable-leader"],
  },
  {
    name: "29",
    title: "a voter that does not know that it is one refuses to vote",
    source: "etcd#10998",
    bug: "Votes are given only by who finds itself in its own newest configuration; the promotion is in the candidate's log alone.",
    patches: [
      {
        file: raft,
        old: "!this.#hearsLeader && this.#isUpToDate(message.lastIndex, message.lastTerm);",
        new: "!this.#hearsLeader && isVoter(this.#configurations.current, this.#id) && this.#isUpToDate(message.lastIndex, message.lastTerm);",
      },
      {
        file: raft,
        old: "const granted = free && this.#isUpToDate(message.lastIndex, message.lastTerm);",
        new: "const granted = free && isVoter(this.#configurations.current, this.#id) && this.#isUpToDate(message.lastIndex, message.lastTerm);",
      },
    ],
    simulation: "raft",
    checkers: ["progress"],
  },
];

/** Bugs of replication, commit and reads. */
const replication: readonly Mutant[] = [
  {
    name: "1",
    title: "an entry of an earlier term is committed by counting",
    source: "logcabin#44, canonical/raft#220",
    bug: "The commit index advances to whatever a quorum holds. A later leader may overwrite it (the paper's Figure 8).",
    patches: [
      {
        file: raft,
        old: "if (reached <= this.#commit || this.#log.termAt(reached) !== this.#term) return;",
        new: "if (reached <= this.#commit) return;",
      },
    ],
    simulation: "raft",
    checkers: ["own-term-commit", "leader-completeness", "state-machine-safety"],
  },
  {
    name: "2",
    title: "the quorum's index is taken from a list that is not quite sorted",
    source: "openraft#1802",
    bug: "The first place is never moved, so that fewer than a majority may decide.",
    patches: [
      {
        file: "src/raft/quorum.ts",
        old: "for (; at > 0 && sorted[at - 1]! < value; at--)",
        new: "for (; at > 1 && sorted[at - 1]! < value; at--)",
      },
    ],
    simulation: "raft",
    checkers: ["committed-on-quorum", "leader-completeness", "linearizable-reads"],
  },
  {
    name: "2b",
    title: "of a joint configuration the new half decides alone",
    source: "openraft#1802, cockroach PR#105578",
    bug: "Commits and reads do not ask the voters that are about to go.",
    patches: [
      {
        file: "src/raft/quorum.ts",
        old: "return Math.min(incoming, majorityReached(configuration.outgoing, source));",
        new: "return incoming;",
      },
    ],
    simulation: "raft",
    checkers: ["leader-completeness", "state-machine-safety", "linearizable-reads", "one-leader-per-term"],
  },
  {
    name: "3",
    title: "a new leader answers reads before it has committed anything",
    source: "etcd#7331, #12762, rqlite PR#1957",
    bug: "Its commit index may be far behind what its predecessor acknowledged.",
    patches: [
      {
        file: raft,
        old: "if (this.#reads.hasWaiting && this.#hasCommittedOwnTerm) {",
        new: "if (this.#reads.hasWaiting) {",
      },
    ],
    simulation: "raft",
    checkers: ["linearizable-reads"],
  },
  {
    name: "4",
    title: "a read takes the number of an earlier one",
    source: "etcd#20418, etcd-io/raft#397",
    bug: "As long as nothing is committed the round keeps its number, and answers to the old one confirm the new one.",
    patches: [
      {
        file: "src/raft/read-index.ts",
        old: "    this.#number += 1;\n    this.#rounds.push({",
        new: "    if (commit !== this.#lastCommit) this.#number += 1;\n    this.#lastCommit = commit;\n    this.#rounds.push({",
      },
      {
        file: "src/raft/read-index.ts",
        old: "  #number = 0;\n  #pending = 0;\n",
        new: "  #number = 0;\n  #pending = 0;\n  #lastCommit = -1;\n",
      },
    ],
    simulation: "raft",
    checkers: ["linearizable-reads"],
  },
  {
    name: "5",
    title: "a late report of the disk stands for entries that replaced what it wrote",
    source: "etcd, async_storage_writes_append_aba_race",
    bug: "A truncation does not lower what the writes under way prove: an unsynced entry of the same index counts as durable.",
    patches: [
      {
        file: "src/raft/writes.ts",
        old: "for (const write of this.#pending) write.upTo = Math.min(write.upTo, at - 1);",
        new: "",
      },
      {
        file: "src/raft/log.ts",
        old: `assert(upTo <= this.#handedOver, "nothing is durable that was not handed over");`,
        new: "upTo = Math.min(upTo, this.#handedOver);",
      },
    ],
    simulation: "raft",
    checkers: ["durable-before-applied", "committed-on-quorum", "leader-completeness"],
  },
  {
    name: "6",
    title: "of several finished writes the newest is forgotten",
    source: "openraft#1960, PR#1964",
    bug: "One report ends several writes, and only the oldest is believed: with no further traffic the last entry is never committed.",
    patches: [
      {
        file: "src/raft/writes.ts",
        old: "const newest = this.#pending[done - 1]!;",
        new: "const newest = this.#pending[done - 1]!;\n    const oldest = this.#pending[0]!;",
      },
      { file: "src/raft/writes.ts", old: "return newest.upTo;", new: "return oldest.upTo;" },
    ],
    simulation: "raft",
    checkers: ["progress"],
  },
  {
    name: "17",
    title: "the window to a follower stays full after its disk stalled",
    source: "hashicorp/raft#612",
    bug: "What was under way is given up and stays counted: nothing more is sent, while heartbeats are answered.",
    patches: [
      {
        file: "src/raft/progress.ts",
        old: "    this.paused = false;\n    this.#window.clear();",
        new: "    this.paused = false;",
      },
    ],
    simulation: "raft",
    checkers: ["progress"],
  },
  {
    name: "31",
    title: "a follower whose appends were lost is never asked again",
    source: "etcd#10308, #14633, etcd-io/raft#31",
    bug: "A heartbeat's answer does not lead to an append that finds out what is missing.",
    patches: [{ file: "src/raft/progress.ts", old: "if (this.match < last) this.nudge = true;", new: "" }],
    simulation: "raft",
    checkers: ["progress"],
  },
  {
    name: "33",
    title: "every append cuts the log after the entry it follows",
    source: "openraft, commit 9540c904",
    bug: "A delayed append that is contained in the log already takes away what was acknowledged after it.",
    patches: [
      {
        file: raft,
        old: "while (at < entries.length && this.#log.termAt(entries[at]!.index) === entries[at]!.term) at++;",
        new: "",
      },
    ],
    simulation: "raft",
    checkers: ["leader-completeness", "committed-on-quorum", "durable-before-sent", "state-machine-safety"],
  },
  {
    name: "39",
    title: "the leader commits on the next message only",
    source: "camunda PR#8357",
    bug: "Its own disk was the last one a quorum waited for, and the report of it leads to nothing.",
    patches: [
      {
        file: raft,
        old: `if (this.#role === "leader") this.#advanceCommit();\n    // Not only`,
        new: `if (this.#role === "leader" && this.#peers.length === 0) this.#advanceCommit();\n    // Not only`,
      },
    ],
    simulation: "raft",
    checkers: ["progress"],
  },
];

/** Bugs of membership and snapshots. */
const membership: readonly Mutant[] = [
  {
    name: "26",
    title: "a leader changes the membership before it has committed in its term",
    source: "copycat#23, braft#182, openraft PR#2051",
    bug: "Leaders of two terms change one voter each, from the same base: their quorums need not meet.",
    patches: [{ file: raft, old: `if (!this.#hasCommittedOwnTerm) return "no-own-term-commit";`, new: "" }],
    simulation: "raft",
    checkers: ["leader-completeness", "state-machine-safety", "one-leader-per-term"],
  },
  {
    name: "27",
    title: "a configuration holds only once it is applied",
    source: "etcd#7625, #5004, etcd-io/raft#80",
    bug: "Nodes act by configurations that differ by more than one change, and their quorums need not meet.",
    patches: [
      {
        file: "src/raft/configuration.ts",
        old: "    return this.#items[this.#items.length - 1]!.configuration;",
        new: "    const known = this.#items[this.#placeAt(this.applied)]!.configuration;\n    return known.voters.length > 0 ? known : this.#items[this.#items.length - 1]!.configuration;",
      },
      { file: "src/raft/configuration.ts", old: "  #commit = 0;\n", new: "  #commit = 0;\n  applied = 0;\n" },
      {
        file: "src/raft/configuration.ts",
        old: "    this.#commit = base;\n",
        new: "    this.#commit = this.applied = base;\n",
      },
      {
        file: raft,
        old: "return !this.#isConfigurationCommitted || isJoint",
        new: "return this.#configurations.currentIndex > this.#applied || isJoint",
      },
      {
        file: raft,
        old: "    this.#configurations.committed(this.#commit);\n    this.#repair",
        new: "    this.#configurations.committed(this.#commit);\n    this.#configurations.applied = options.applied;\n    this.#repair",
      },
      {
        file: raft,
        old: "    this.#applied = upTo;\n",
        new: '    this.#applied = this.#configurations.applied = upTo;\n    if (this.#role === "leader") this.#syncPeers();\n',
      },
    ],
    simulation: "raft",
    checkers: ["leader-completeness", "state-machine-safety", "one-leader-per-term", "linearizable-reads"],
  },
  {
    name: "27b",
    title: "a leader that was removed goes on leading",
    source: "etcd-io/raft#83, raft-rs#584",
    bug: "It sends heartbeats for ever to a cluster that it does not belong to.",
    patches: [{ file: raft, old: "if (!isVoter(configuration, this.#id)) this.#stepDown(true);", new: "" }],
    simulation: "raft",
    checkers: ["leader-is-voter"],
  },
  {
    name: "27c",
    title: "a joint configuration is left by nobody but the leader who began it",
    source: "etcd-io/raft#80, cockroach PR#105578",
    bug: "The leader goes while the configuration is joint, and no other one leads the way out.",
    patches: [
      {
        file: raft,
        old: "if (this.#isToStay) this.#appendOwn(",
        new: "if (this.#log.termAt(this.#configurations.currentIndex) !== this.#term) return;\n    if (this.#isToStay) this.#appendOwn(",
      },
    ],
    simulation: "raft",
    checkers: ["joint-is-left"],
  },
  {
    name: "32",
    title: "an older snapshot takes the place of a newer state",
    source: "openraft PR#543, redpanda#18576",
    bug: "A snapshot that comes late is installed whatever has been applied meanwhile.",
    patches: [
      {
        file: raft,
        old: "if (snapshot.index <= this.#commit) return this.#acknowledge(from, this.#commit);",
        new: "",
      },
    ],
    simulation: "raft",
    checkers: ["nothing-goes-back"],
  },
];

export const raftMutants: readonly Mutant[] = [...elections, ...replication, ...membership];
