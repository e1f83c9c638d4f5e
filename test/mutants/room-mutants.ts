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
