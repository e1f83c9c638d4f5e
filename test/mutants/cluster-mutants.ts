import type { Plan } from "../sim/plan.ts";
import type { Mutant } from "./mutant.ts";

/** Several troubles in a small cluster, and guards with work. */
const isTroubled = (plan: Plan): boolean =>
  plan.votersWanted === 3 && plan.hosts <= 5 && plan.faults.length >= 6 && plan.guarded > 0.2;

/** Bugs of what is built on consensus: looked for in whole clusters. Checkers are the words that a problem begins with there. */
export const clusterMutants: readonly Mutant[] = [
  {
    name: "18",
    title: "a new leader takes back leases that another one has renewed",
    source: "etcd#15247, #12528",
    bug: "It counts a node's silence from before its own election: work is given away while its holder has a valid lease from the leader before.",
    patches: [
      {
        file: "src/scheduler/lost.ts",
        old: "(input.quietSince.get(row.id) ?? input.electedAt)",
        new: "(input.quietSince.get(row.id) ?? 0)",
      },
    ],
    simulation: "cluster",
    checkers: ["J1", "J3"],
    isWorth: isTroubled,
  },
  {
    name: "20",
    title: "a report is taken from whoever held the work before",
    source: "the analysis of etcd 3.4.3 by Jepsen",
    bug: "Neither the state nor the node looks at attempt and holder: one that was away past its lease ends the attempt of its successor, which still runs.",
    patches: [
      {
        file: "src/state/commands/task-finish.ts",
        old: 'row?.state !== "running" || row.attempt !== one.attempt || row.node !== node) {',
        new: 'row?.state !== "running") {',
      },
      {
        file: "src/executor/run.ts",
        old: "      if (held === undefined) continue;\n      this.#held.delete(key);",
        new: '      if (held === undefined || held.phase === "ended") continue;\n      this.#held.delete(key);',
      },
    ],
    simulation: "cluster",
    checkers: ["J1", "J2", "J3"],
    isWorth: isTroubled,
  },
  {
    name: "30",
    title: "a machine whose disk was wiped gets its old id back",
    source: "etcd#20269, #21178",
    bug: "The name is enough to be the same node again, without the log and the vote that its id stands for.",
    patches: [
      {
        file: "src/state/commands/node-join.ts",
        old: "if (!isLate && present?.incarnation === incarnation) return accept({ node: present.id });",
        new: "if (present !== undefined) return accept({ node: present.id });",
      },
    ],
    simulation: "cluster",
    checkers: ["node id"],
    isWorth: (plan) => plan.hosts <= 4 && plan.faults.some(({ kind }) => kind === "wipe"),
  },
  {
    name: "38",
    title: "a write that is sent again after a change of leader is applied twice",
    source: "summitdb#5, ra#145, akka-raft#64, openraft PR#2096",
    bug: "Its answer was lost, not the write: the state does not look whether it has this origin's serial already.",
    patches: [
      {
        file: "src/state/apply.ts",
        old: "    if (earlier !== undefined) {",
        new: "    if (earlier !== undefined && serial < 0) {",
      },
      {
        file: "src/state/tables/batch.ts",
        old: '"insert into batch_outcome (origin',
        new: '"insert or replace into batch_outcome (origin',
      },
    ],
    simulation: "cluster",
    checkers: ["once"],
    isWorth: isTroubled,
  },
];
