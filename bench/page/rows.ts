/** Lines of what was wanted beside what was measured. The median is what is judged; smallest and largest are told. */
import { median, short, spread } from "../harness.ts";
import type { Row } from "../../scripts/reliability-judge.ts";

/** More is better. */
export function atLeast(what: string, wanted: number, unit: string, values: readonly number[]): Row {
  return {
    what,
    wanted: `at least ${short(wanted)}${unit}`,
    measured: `${spread(values)}${unit}`,
    met: median(values) >= wanted,
  };
}

/** Less is better. */
export function under(what: string, wanted: number, unit: string, values: readonly number[]): Row {
  return {
    what,
    wanted: `under ${short(wanted)}${unit}`,
    measured: `${spread(values)}${unit}`,
    met: median(values) < wanted,
  };
}

/** Nothing is demanded of it. */
export function shown(what: string, unit: string, values: readonly number[]): Row {
  return { what, wanted: "", measured: `${spread(values)}${unit}`, met: undefined };
}

/** Ours to theirs, round by round: both of one round were measured a moment apart. */
export function times(what: string, wanted: number, own: readonly number[], others: readonly number[]): Row {
  const ratios = own.map((value, at) => value / others[at]!);
  return {
    what,
    wanted: `at least ${wanted} times`,
    measured: `${spread(ratios)} times`,
    met: median(ratios) >= wanted,
  };
}

/** Ours to theirs, round by round, where less is better. */
export function atMostTimes(what: string, wanted: number, own: readonly number[], others: readonly number[]): Row {
  const ratios = own.map((value, at) => value / others[at]!);
  return {
    what,
    wanted: `at most ${wanted} times`,
    measured: `${spread(ratios)} times`,
    met: median(ratios) <= wanted,
  };
}

/** Every round has to be so. */
export function exactly(what: string, wanted: number, values: readonly number[]): Row {
  return { what, wanted: short(wanted), measured: spread(values), met: values.every((value) => value === wanted) };
}

/** A demand that was not measured here, and why. */
export function unmeasured(what: string, wanted: string, why: string): Row {
  return { what, wanted, measured: `not measured: ${why}`, met: false };
}
