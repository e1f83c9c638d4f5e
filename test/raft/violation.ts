/** What a simulation holds a cluster to. A mutant (test/mutants) names those that must catch it. */
export type Checker =
  | "one-leader-per-term"
  | "one-vote-per-term"
  | "log-matching"
  | "leader-completeness"
  | "state-machine-safety"
  | "committed-on-quorum"
  | "own-term-commit"
  | "durable-before-sent"
  | "durable-before-applied"
  | "nothing-goes-back"
  | "linearizable-reads"
  | "joint-is-left"
  | "leader-is-voter"
  | "terms-stay"
  | "stable-leader"
  | "progress"
  | "storage-model"
  | "state-effects"
  | "starts-again";

/** A promise was broken, and who noticed. Anything else that is thrown in a simulation is a bug of the code or of the simulation. */
export class Violation extends Error {
  override readonly name = "Violation";
  readonly checker: Checker;

  constructor(checker: Checker, message: string) {
    super(`${checker}: ${message}`);
    this.checker = checker;
  }
}

/** Throws a {@link Violation} unless the condition holds. */
export function check(checker: Checker, condition: unknown, message: string): asserts condition {
  if (!condition) throw new Violation(checker, message);
}
