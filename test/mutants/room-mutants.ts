import type { Mutant } from "./mutant.ts";

const admission = { simulation: "test", source: "design of this code (L1)", needsNoFaults: true } as const;
const leases = { ...admission, source: "design of this code (J1)" } as const;

/**
 * Bugs of what a leader keeps in mind and no state tells: what its leases may name while work is taken back, and what was let in and is still under way.
 * What must find them are the tests of these parts, each the one that is named: they know the order of events to the step.
 */
export const roomMutants: readonly Mutant[] = [
  {
    ...leases,
    name: "60",
    title: "a lease names what is being taken back from its node",
    bug: "The node begins what the next entry gives to another one: two attempts of one task are live.",
    patches: [
      {
        file: "src/node/recalls.ts",
        old: "    if (recall === undefined || index < recall.from) return index;\n",
        new: "    if (recall === undefined || index < recall.from || index > 0) return index;\n",
      },
    ],
    test: {
      file: "test/node/recalls.test.ts",
      name: "leases of the node go on, and name nothing that is taken back until they name that it was",
    },
    checkers: ["test"],
  },
  {
    ...leases,
    name: "61",
    title: "what was not answered was not taken back",
    bug: "The outcome of taking work back is not known, and leases name it again: it may be in the log all the same.",
    patches: [
      {
        file: "src/node/recalls.ts",
        old: '    if (typeof recall.index !== "number" || index < recall.index) return recall.from - 1;\n',
        new: '    if (recall.index === "underway" || index < Number(recall.index)) return recall.from - 1;\n',
      },
    ],
    test: {
      file: "test/node/recalls.test.ts",
      name: "a proposal whose outcome is not known is made again, and until one is known nothing is named",
    },
    checkers: ["test"],
  },
  {
    ...leases,
    name: "62",
    title: "a lease names what was taken back before it names that it was",
    bug: "Once the entry is in the log the node is believed to know of it: a lease that was confirmed before ends below it.",
    patches: [
      {
        file: "src/node/recalls.ts",
        old: '"number" || index < recall.index) return',
        new: '"number") return',
      },
    ],
    test: {
      file: "test/node/recalls.test.ts",
      name: "leases of the node go on, and name nothing that is taken back until they name that it was",
    },
    checkers: ["test"],
  },
  {
    ...leases,
    name: "69",
    title: "the leader forgets what it has added to a lease",
    bug: "It takes back, without asking, what the node has begun by its word: two attempts of one task are live.",
    patches: [{ file: "src/node/coverage.ts", old: "    leases.cover(node, index);\n", new: "" }],
    test: {
      file: "test/node/coverage.test.ts",
      name: "whatever comes when, nothing begins that is taken back, whether its lease was asked for or added to (J1)",
    },
    checkers: ["test"],
  },
  {
    ...leases,
    name: "70",
    title: "what is added to a lease moves its end",
    bug: "The node counts from a word that it has not asked for: its lease ends later than the leader can know (J3).",
    patches: [
      {
        file: "src/node/lease.ts",
        old: "    this.#ports.covered(Math.max(...reached));\n",
        new: "    this.#ports.granted(monotonicMs() + limits.leaseMs, Math.max(...reached));\n",
      },
    ],
    test: {
      file: "test/node/lease.test.ts",
      name: "moves neither its end nor the time of one that waits for the state itself",
    },
    checkers: ["test"],
  },
  {
    ...leases,
    name: "71",
    title: "what is added to a lease counts in the middle of the entries that reach it",
    bug: "What they take away from the node is begun before it is taken away.",
    patches: [
      {
        file: "src/node/lease.ts",
        old: "    if (this.#isReached) queueMicrotask(() => this.#release());\n",
        new: "    this.#release();\n",
      },
    ],
    test: {
      file: "test/node/lease.test.ts",
      name: "does not count in the middle of what those entries say: they may take away what it covers",
    },
    checkers: ["test"],
  },
  {
    ...leases,
    name: "72",
    title: "a lease that was confirmed long ago names less than what was added meanwhile",
    bug: "What a node is told falls: it begins by the older index what the newer one would have told it that it has no more.",
    patches: [
      {
        file: "src/node/grant.ts",
        old: "Math.max(confirmed, ports.committed())",
        new: "confirmed",
      },
    ],
    test: {
      file: "test/node/coverage.test.ts",
      name: "a lease that was asked for before a task was taken back, and granted after, does not begin it",
    },
    checkers: ["test"],
  },
  {
    ...admission,
    name: "63",
    title: "what was let in counts when it is in the state",
    bug: "What is under way in the log is forgotten: all nodes together pass the bound by as much as they send before the leader has applied it.",
    patches: [
      {
        file: "src/node/job-admission.ts",
        old: "    if (this.#most !== undefined) this.#most.jobs += jobs;\n",
        new: "",
      },
      {
        file: "src/node/job-admission.ts",
        old: "      if (ticket.index === undefined || ticket.index > applied) jobs += underWay(ticket);\n",
        new: "      if (ticket.index === undefined && applied < 0) jobs += underWay(ticket);\n",
      },
    ],
    test: {
      file: "test/node/job-admission.test.ts",
      name: "all nodes together come up to it, and not past it, though none has applied what the others were let in with",
    },
    checkers: ["test"],
  },
  {
    ...admission,
    name: "64",
    title: "a new leader lets in whatever comes before it has what was logged before it",
    bug: "Its state is behind, and what another leader has logged is counted nowhere.",
    patches: [
      {
        file: "src/node/job-admission.ts",
        old: '      if (this.#unseen + jobs > this.#unseenMost) return { kind: "later" };\n',
        new: "",
      },
    ],
    test: {
      file: "test/node/job-admission.test.ts",
      name: "a new leader lets in few before it has what was logged before, and the rest waits for that instead of being refused",
    },
    checkers: ["test"],
  },
  {
    ...admission,
    name: "65",
    title: "what could not be logged keeps its room",
    bug: "What no entry holds after all goes on counting: the bound is reached by jobs that are nowhere.",
    patches: [
      {
        file: "src/node/job-admission.ts",
        old: "      this.#tickets = this.#tickets.filter((one) => one !== ticket);\n",
        new: "",
      },
    ],
    test: {
      file: "test/node/job-admission.test.ts",
      name: "what could not be logged leaves its room to others",
    },
    checkers: ["test"],
  },
  {
    ...admission,
    name: "66",
    title: "a submitter's limit is asked of one request at a time",
    bug: "What was let in of a submitter since the last look is not added: a hundred requests at once all fit.",
    patches: [
      {
        file: "src/node/job-admission.ts",
        old: "      if (count !== undefined) count.jobs += own;\n",
        new: "",
      },
    ],
    test: {
      file: "test/node/job-admission.test.ts",
      name: "a hundred requests of one who is greedy, at every node, keep nobody else out, and get what their limit is",
    },
    checkers: ["test"],
  },
  {
    ...admission,
    name: "67",
    title: "jobs of a submitter that end are counted for ever",
    bug: "Who has had as many jobs as they may is never let in again.",
    patches: [
      {
        file: "src/state/tables/counter.ts",
        old: "changeLoad(tx, name, -1);",
        new: "changeLoad(tx, name, 0);",
      },
    ],
    test: {
      file: "test/node/job-admission.test.ts",
      name: "an own limit goes before everybody's; what ends makes room; without limits nobody is asked for",
    },
    checkers: ["test"],
  },
];
