import type { Plan } from "../sim/plan.ts";
import type { Mutant } from "./mutant.ts";

/** A voter's machine dies for good, and a learner is there. */
const losesVoters = (plan: Plan): boolean =>
  plan.votersWanted >= 3 && plan.hosts > plan.votersWanted && plan.faults.some(({ kind }) => kind === "lose");

/** Two of five or more die, and fewer are to vote from a while after that on (lose.ts). */
const shrinksBesideDead = (plan: Plan): boolean =>
  plan.votersWanted >= 5 &&
  plan.faults.some(
    ({ kind, draws }) =>
      kind === "lose" && draws[2]! < 0.8 && draws[3]! > 0.6 && draws[4]! > 0.1 && draws[4]! < 0.4 && draws[5]! < 0.6,
  );

/** Neither the duty nor consensus asks whether a majority of those who would vote is heard. */
const asksNobody: Mutant["patches"] = [
  {
    file: "src/scheduler/voters.ts",
    old: "if (sameNodes(chosen.nodes, configuration.voters)) return asTheyAre();",
    new: "if (size > 0) return withVoters(configuration, chosen.nodes, members);",
  },
  {
    file: "src/raft/raft.ts",
    old: "if (!this.#isQuorumHere(present, next))",
    new: "if (this.#term < 0 && !this.#isQuorumHere(present, next))",
  },
];

/** Bugs of who votes when machines die for good. */
export const membershipMutants: readonly Mutant[] = [
  {
    name: "46",
    title: "the dead keep their vote",
    source: "design of this code (M1)",
    bug: "A voter that is quiet for long counts as one that serves: the next failure ends the quorum, though a learner was ready.",
    patches: [
      {
        file: "src/scheduler/voters.ts",
        old: "return member.quietMs >= limits.replaceVoterMs;",
        new: "return member.quietMs < 0;",
      },
    ],
    simulation: "cluster",
    checkers: ["liveness", "membership"],
    isWorth: losesVoters,
  },
  {
    name: "47",
    title: "voters are chosen by their numbers, dead or alive",
    source: "design of this code (M1)",
    bug: "Fewer are to vote, and the dead are among those that remain: the joint change waits for a quorum that never answers.",
    patches: [
      {
        file: "src/scheduler/voters.ts",
        old: "...serving.filter((member) => member !== leader).map(",
        new: "...[...serving, ...dead].filter((member) => member !== leader).map(",
      },
      ...asksNobody,
    ],
    simulation: "cluster",
    checkers: ["membership"],
    isWorth: shrinksBesideDead,
  },
  {
    name: "59",
    title: "who is away for less than 10 s counts as one that is here",
    source: "design of this code (M1)",
    bug: "Fewer are to vote a moment after two of five died: voters are chosen by their numbers, and nobody asks whether a majority of them is heard.",
    patches: asksNobody,
    // In whole clusters it takes thousands of seeds: the moment is short.
    simulation: "test",
    needsNoFaults: true,
    test: {
      file: "test/raft/membership.test.ts",
      name: "a change that waits for voters who are gone is refused, one that those who are here can carry is taken",
    },
    checkers: ["test"],
  },
];

/** Clocks are set, by up to an hour, where a majority of three or more could say so. */
const setsClocks = (plan: Plan): boolean =>
  plan.votersWanted >= 3 && plan.hosts >= 3 && plan.faults.some(({ kind }) => kind === "clock-step");

/** Bugs of the time in the state. */
export const clockMutants: readonly Mutant[] = [
  {
    name: "48",
    title: "the leader's wall clock is believed as it is",
    source: "design of this code (J4)",
    bug: "One clock that is set wrong moves the time of the state on, for good: tokens end, and what waits for a moment has passed it.",
    patches: [
      {
        file: "src/node/log-clock.ts",
        old: "if (this.#ahead === undefined || this.#isConfirmed(wall - monotonic, monotonic)) return wall;",
        new: "if (this.#ahead === undefined || this.#isConfirmed(wall - monotonic, monotonic) || wall > 0) return wall;",
      },
    ],
    simulation: "cluster",
    checkers: ["J4"],
    isWorth: setsClocks,
  },
];
