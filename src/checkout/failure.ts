import type { Problem } from "../lib/outcome.ts";

/**
 * Why a tree could not be had:
 *
 *   invalid   what was asked for, or what is in it
 *   host      this host, or the other one: git's own words
 *   late      the time was over
 */
export type CheckoutFailureKind = "invalid" | "host" | "late";

/** The tree cannot be a bundle, or could not be had. */
export class CheckoutFailure extends Error {
  override readonly name = "CheckoutFailure";
  readonly kind: CheckoutFailureKind;
  readonly problems: readonly Problem[];

  constructor(kind: CheckoutFailureKind, message: string, problems: readonly Problem[] = []) {
    super(message);
    this.kind = kind;
    this.problems = problems;
  }
}
