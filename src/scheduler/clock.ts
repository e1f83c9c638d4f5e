import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";

/**
 * How far each wall clock is from the median of all (ms, ahead is positive), given how far each is from any one of them (J4). The median of
 * an even number is the middle of the middle two: of two clocks that differ nobody can say which one is wrong.
 */
export function clockDifferences(offsets: ReadonlyMap<NodeId, number>): Map<NodeId, number> {
  const sorted = [...offsets.values()].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[half]! : ((sorted[half - 1] ?? 0) + (sorted[half] ?? 0)) / 2;
  return new Map([...offsets].map(([node, offset]) => [node, Math.round(offset - median)]));
}

/** Over the tolerance: to be reported, and to lead only while no other can. */
export function isClockOff(differenceMs: number | undefined): boolean {
  return differenceMs !== undefined && Math.abs(differenceMs) > limits.clockToleranceMs;
}

/** Further ahead than the tolerance. */
export function isAhead(differenceMs: number | undefined): boolean {
  return differenceMs !== undefined && differenceMs > limits.clockToleranceMs;
}

/** Another one should lead: the leader's clock is off, and that of a voter that could take over is known to be right. */
export function shouldYield(
  self: NodeId,
  differences: ReadonlyMap<NodeId, number>,
  successors: readonly NodeId[],
): boolean {
  if (!isClockOff(differences.get(self))) return false;
  return successors.some((node) => differences.has(node) && !isClockOff(differences.get(node)));
}
