import type { Checker } from "../raft/violation.ts";

/** An exact text of one source file, which must be there once, and what stands there in the mutant. */
export interface Patch {
  /** From the top of the repository. */
  readonly file: string;
  readonly old: string;
  readonly new: string;
}

/**
 * A bug that real systems had, brought back into our code. A mutant works while nothing goes wrong, as those systems did: it is the
 * simulation's faults that must bring it to light, and the checkers named here that must see it. Dying of anything else does not count.
 */
export interface Mutant {
  /** The number in the list of historical bugs, with a letter where one of them is brought back in several ways. */
  readonly name: string;
  readonly title: string;
  /** Where it was suffered. */
  readonly source: string;
  /** What the code does wrong, in our terms. */
  readonly bug: string;
  readonly patches: readonly Patch[];
  /** Where it is looked for. */
  readonly simulation: SimulationName;
  readonly checkers: readonly Checker[];
}

/** "raft": consensus on a model of a disk. "disk": the same on real files, with the production log and state. */
export type SimulationName = "raft" | "disk";
