import { decode, encode } from "./codec.ts";
import { isId, type NodeId } from "./ids.ts";

/**
 * Who counts. Effective as soon as the entry that carries it is appended. `outgoing` is the old half of a joint
 * configuration and empty otherwise; a node is in at most one of voters/learners. Consensus decides by it and storage keeps it, so it
 * stands here.
 */
export interface Configuration {
  readonly voters: readonly NodeId[];
  readonly outgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
  /** Voters of the outgoing half that become learners when the joint configuration is left; empty otherwise. */
  readonly learnersNext: readonly NodeId[];
}

export const emptyConfiguration: Configuration = { voters: [], outgoing: [], learners: [], learnersNext: [] };

/** Data of a "configuration" entry. */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const { voters, outgoing, learners, learnersNext } = configuration;
  return encode({ voters, outgoing, learners, learnersNext });
}

/** The configuration in an entry's data, or undefined when it is not one (data comes from peers and disks). */
export function decodeConfiguration(data: Uint8Array): Configuration | undefined {
  try {
    return toConfiguration(decode(data));
  } catch {
    return undefined;
  }
}

/** The value as a configuration, or undefined. One without `learnersNext` was written before there were joint ones. */
export function toConfiguration(value: unknown): Configuration | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const {
    voters,
    outgoing,
    learners,
    learnersNext = [],
  } = value as {
    readonly [Field in keyof Configuration]?: unknown;
  };
  if (!isNodes(voters) || !isNodes(outgoing) || !isNodes(learners) || !isNodes(learnersNext)) return undefined;
  return { voters, outgoing, learners, learnersNext };
}

function isNodes(value: unknown): value is readonly NodeId[] {
  return Array.isArray(value) && value.every(isId);
}
