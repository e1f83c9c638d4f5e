/** `H` in a field of cron, as Jenkins has it: a value that a name always gets, so that many schedules spread over the hour and each keeps its place. */
import { RollingHash } from "./hash.ts";

/** One value from `low` to `high`. */
export function hashedValue(name: string, field: string, low: number, high: number): number {
  const digest = new RollingHash("").text(field).text(name).digest();
  return low + Math.floor((Number.parseInt(digest.slice(0, 8), 16) / 2 ** 32) * (high - low + 1));
}

/** `H/15`: each step from a first one that the name gives. */
export function hashedSteps(name: string, field: string, low: number, high: number, step: number): string {
  return `${hashedValue(name, field, low, low + step - 1)}-${high}/${step}`;
}
