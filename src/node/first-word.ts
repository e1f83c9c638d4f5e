import { monotonicMs } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { Node } from "./node.ts";

const lookMs = 10;

/**
 * Resolves when a node that comes back has heard of a leader, or after limits.firstWordMs without: quorum or not, it says then that it is ready.
 * Whose cluster went on without it hears that within this time where anybody can be reached, and need not say that it is ready before it ends.
 */
export async function firstWord(node: Pick<Node, "id" | "hasLeader" | "status">): Promise<void> {
  const { voters } = node.status();
  if (voters.every((voter) => voter === node.id)) return;
  const deadline = monotonicMs() + limits.firstWordMs;
  while (!node.hasLeader && monotonicMs() < deadline) await new Promise((resolve) => setTimeout(resolve, lookMs));
}
