import { limits } from "../lib/limits.ts";
import { specDefaults } from "./spec.ts";
import type { Spec } from "./types.ts";

/** Whether an attempt that ended is followed by another, and when. */
export interface RetryPlan {
  readonly tries: number;
  readonly losses: number;
  readonly delayMs: number;
}

/**
 * The next try after an attempt that ended as `state`, or undefined: the task has ended. A lost node is no fault of the task: such
 * retries are bounded by limits.lostRetries, come at once and are not counted in retries.max.
 */
export function planRetry(
  spec: Spec,
  past: { readonly tries: number; readonly losses: number },
  state: "succeeded" | "failed" | "timeout" | "cancelled" | "lost",
  random: () => number,
): RetryPlan | undefined {
  if (state === "succeeded" || state === "cancelled") return undefined;
  if (state === "lost") {
    if (spec.onLost === "fail" || past.losses >= limits.lostRetries) return undefined;
    return { tries: past.tries, losses: past.losses + 1, delayMs: 0 };
  }
  const { retries } = spec;
  if (retries === undefined || past.tries >= retries.max) return undefined;
  const on: readonly string[] = retries.on ?? specDefaults.retries.on;
  if (!on.includes(state)) return undefined;
  return { tries: past.tries + 1, losses: past.losses, delayMs: backoffMs(retries, past.tries, random) };
}

/**
 * backoff * factor^tries, give or take the jitter's share of it, and at most cap: at the cap what would be drawn past it is drawn below it as well, so that
 * those that wait the longest still come one after the other.
 */
function backoffMs(retries: NonNullable<Spec["retries"]>, tries: number, random: () => number): number {
  const first = retries.backoffMs ?? specDefaults.retries.backoffMs;
  const factor = retries.factor ?? specDefaults.retries.factor;
  const cap = retries.capMs ?? Math.max(specDefaults.retries.capMs, first);
  const jitter = retries.jitter ?? specDefaults.retries.jitter;
  const base = Math.min(cap, first * power(factor, tries));
  const least = base * (1 - jitter);
  const most = Math.min(cap, base * (1 + jitter));
  return Math.round(least + (most - least) * random());
}

/** By multiplication: the last digit of Math.pow may differ between machines (S1). */
function power(base: number, exponent: number): number {
  let result = 1;
  for (let step = 0; step < exponent && Number.isFinite(result) && result < 1e15; step++) result *= base;
  return result;
}
