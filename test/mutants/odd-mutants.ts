import type { Plan } from "../sim/plan.ts";
import type { Mutant } from "./mutant.ts";

/** A state is made wrong where a quorum can say so. */
const hasOddState = (plan: Plan): boolean =>
  plan.votersWanted >= 3 && plan.hosts >= 3 && plan.hosts <= 5 && plan.faults.some(({ kind }) => kind === "diverge");

/** Bugs around states that differ (S1); two of them were ours until these simulations found them. */
export const oddMutants: readonly Mutant[] = [
  {
    name: "42",
    title: "a wrong state is given to others while somebody knows that it is wrong",
    source: "ours, found by the simulator",
    bug: "Who differs has made a snapshot before a quorum could judge: whoever gets it has the same wrong state, and together they are the quorum.",
    patches: [{ file: "src/node/snapshot-make.ts", old: "    await ports.vouch(made);\n", new: "" }],
    simulation: "cluster",
    checkers: ["states differ", "S1"],
    isWorth: hasOddState,
  },
  {
    name: "43",
    title: "work is begun again after a return to an older state",
    source: "ours, found by the simulator",
    bug: "The state that replaces a wrong one is of an earlier entry: what it does not know is dropped, and begun a second time when the log comes to it.",
    patches: [
      {
        file: "src/node/node.ts",
        old: "    if (!isReloaded) return this.#work.reconcile();\n    this.#work.pause();",
        new: "    return this.#work.reconcile();",
      },
    ],
    simulation: "cluster",
    checkers: ["J1", "J2", "J3"],
    isWorth: hasOddState,
  },
  {
    name: "44",
    title: "a leader whose state is wrong goes on leading",
    source: "design of this code (S1)",
    bug: "It neither resigns nor hands over: nobody else has a state for it, and it answers nobody.",
    patches: [
      {
        file: "src/raft/raft.ts",
        old: "    this.#timer.stepBack(!isTrusted);\n    if (!isTrusted) this.resign();",
        new: "    this.#timer.stepBack(!isTrusted);",
      },
      {
        file: "src/raft/raft.ts",
        old: "    if (able.length > 0) this.#beginTransfer",
        new: "    if (able.length > 99) this.#beginTransfer",
      },
    ],
    simulation: "cluster",
    checkers: ["S1", "liveness"],
    isWorth: hasOddState,
  },
  {
    name: "45",
    title: "a node in quarantine answers as before",
    source: "design of this code (S1)",
    bug: "Its state is known to be wrong, and clients are still answered by it.",
    patches: [
      {
        file: "src/node/quarantine.ts",
        old: "    if (this.#finding === undefined) return undefined;\n    return refuse(",
        new: "    if (!this.#isRefusing || this.#finding === undefined) return undefined;\n    return refuse(",
      },
      {
        file: "src/node/quarantine.ts",
        old: "  #finding: Finding | undefined;\n",
        new: "  #finding: Finding | undefined;\n  #isRefusing = false;\n",
      },
    ],
    simulation: "cluster",
    checkers: ["S1"],
    isWorth: hasOddState,
  },
  {
    name: "68",
    title: "whoever was in quarantine is given no work any more",
    source: "ours, found by reading",
    bug: "Its state is right again, but the row that keeps work from it is never cleared.",
    patches: [
      {
        file: "src/node/divergence.ts",
        old: "      for (const one of [node, this.#ports.self]) this.#ports.onAgreed(one, report.index);\n",
        new: "",
      },
    ],
    simulation: "cluster",
    checkers: ["liveness"],
    isWorth: hasOddState,
  },
];
