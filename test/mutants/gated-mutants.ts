import type { Plan } from "../sim/plan.ts";
import type { Mutant } from "./mutant.ts";

/** Every member understands jobs that wait, and little else happens. */
const hasGates = (plan: Plan): boolean => plan.oldHosts === 0 && plan.hosts <= 5;

const ours = {
  source: "design of this code (gates)",
  simulation: "cluster",
  needsNoFaults: true,
  isWorth: hasGates,
} as const;

/** Bugs of what jobs wait for (src/state/gates.ts). Clients need no faults to run into them. */
export const gatedMutants: readonly Mutant[] = [
  {
    ...ours,
    name: "50",
    title: "a key is had by two jobs",
    bug: "Who comes to wait for nothing but the key is given it, whoever has it.",
    patches: [{ file: "src/state/gates.ts", old: "    if (holderOf(tx, key) !== undefined) return;\n", new: "" }],
    checkers: ["alone"],
  },
  {
    ...ours,
    name: "51",
    title: "a job starts when the first of those that it waits for has ended",
    bug: "The gate opens with the first parent that ended as it was to, and not with the last one.",
    patches: [
      {
        file: "src/state/gates.ts",
        old: "    if (gate.after_left === 1) this.open(job, shut.after);",
        new: "    this.open(job, shut.after);",
      },
    ],
    checkers: ["early", "in vain"],
  },
  {
    ...ours,
    name: "52",
    title: "who waits for a skipped job is not told",
    bug: "An end that is no run of its own is not handed on: children of a skipped job wait for ever.",
    patches: [
      {
        file: "src/state/gates.ts",
        old: "    if ((ties & tied.children) !== 0) this.#ended.push",
        new: '    if ((ties & tied.children) !== 0 && state !== "skipped") this.#ended.push',
      },
    ],
    checkers: ["liveness"],
  },
  {
    ...ours,
    name: "53",
    title: "a job starts before its instant",
    bug: "The leader looks a second ahead, and the state believes it without asking the log's clock (J4).",
    patches: [
      {
        file: "src/scheduler/gates.ts",
        old: "  const starts = startsDue(tx, now, limits.releasesPerCommand);",
        new: "  const starts = startsDue(tx, now + 1000, limits.releasesPerCommand);",
      },
      {
        file: "src/state/gates.ts",
        old: "instant !== null && instant <= this.#context.at",
        new: "instant !== null",
      },
    ],
    checkers: ["early"],
  },
  {
    ...ours,
    name: "54",
    title: "a deadline never passes",
    bug: "It is shown and forgotten: nothing in the state says when it is.",
    patches: [
      {
        file: "src/state/gating.ts",
        old: "    const deadlineAt = spec.deadlineMs === undefined ? null : context.at + spec.deadlineMs;",
        new: "    const deadlineAt = null;",
      },
    ],
    checkers: ["liveness"],
  },
  {
    ...ours,
    name: "55",
    title: "a hold does not hold",
    bug: "The flag is shown, and the planner is given the job all the same.",
    patches: [
      {
        file: "src/state/commands/job-hold.ts",
        old: "    if (((row.gate ?? 0) & shut.held) === 0) work.gates.shut(job, shut.held);\n",
        new: "",
      },
    ],
    checkers: ["held"],
  },
  {
    ...ours,
    name: "56",
    title: "a key stays with a job that has ended",
    bug: "The end of who has it gives it to nobody: all others of the key wait for ever, as overlap rules did that stuck (dkron#349, #1569).",
    patches: [
      {
        file: "src/state/gates.ts",
        old: "    if (gate !== undefined && gate.key !== null && gate.turn === turn.has) this.#freed.add(gate.key);\n",
        new: "",
      },
    ],
    checkers: ["liveness"],
  },
  {
    ...ours,
    name: "57",
    title: "what one command was too short for is forgotten",
    bug: "Children past the bound of a command are not left in the state for the duty to tell.",
    patches: [{ file: "src/state/gates.ts", old: "      leaveRelease(this.#work.tx, ended);\n", new: "" }],
    checkers: ["liveness"],
  },
  {
    ...ours,
    name: "58",
    title: "what runs on a node takes nothing of its resources",
    bug: "A new leader's view, or one that learns of an assignment from the log, counts slots and forgets what else a task took.",
    patches: [
      {
        file: "src/scheduler/view.ts",
        old: "    for (const [name, units] of job.resources) load.used.set(name, (load.used.get(name) ?? 0) + times * units);\n",
        new: "",
      },
    ],
    checkers: ["room"],
  },
  {
    ...ours,
    source: "design of this code (batches)",
    name: "73",
    title: "a batch begins while a task of the one before waits to be tried again",
    bug: "It has ended when nothing of it runs, and not when as many tasks have ended as it has.",
    patches: [
      {
        file: "src/state/gates.ts",
        old: "isPutOff || row.tasks - queuedIn(row) < gate.batch_end",
        new: "isPutOff || row.next_task < gate.batch_end",
      },
    ],
    checkers: ["batch"],
  },
  {
    ...ours,
    source: "design of this code (batches)",
    name: "74",
    title: "a batch begins before its pause is over",
    bug: "The leader looks for what was put off and not for until when, and the state believes it without asking the log's clock (J4).",
    patches: [
      {
        file: "src/scheduler/gates.ts",
        old: "pausesDue(tx, now, limits.releasesPerCommand - starts.length)",
        new: "pausesDue(tx, Number.MAX_SAFE_INTEGER, limits.releasesPerCommand - starts.length)",
      },
      {
        file: "src/state/gates.ts",
        old: "if (!isReached(gate.pause_until)) return false;",
        new: "if (gate.pause_until === null) return false;",
      },
    ],
    checkers: ["batch"],
  },
  {
    ...ours,
    source: "design of this code (batches)",
    name: "75",
    title: "a batch that is lost with its node ends nothing",
    bug: "Its end is only looked for where nodes tell of ends: who waits for it does so for ever.",
    patches: [
      {
        file: "src/state/departure.ts",
        old: "  for (const job of touched) work.finishIfDone(job);",
        new: "  for (const job of touched) if (((job.row.ties ?? 0) & 4) === 0) work.finishIfDone(job);",
      },
    ],
    checkers: ["liveness"],
  },
];
