import { assert } from "../lib/assert.ts";
import { decode, encode } from "../lib/codec.ts";
import { index, isId, nobody, term, type NodeId } from "../lib/ids.ts";
import type { Append, Configuration, ConfigurationChange, Entry, ProposeRefusal, Restored } from "./types.ts";

/** Membership as a value: configuration -> change -> configuration, and the history that a log carries. */

export const emptyConfiguration: Configuration = { voters: [], outgoing: [], learners: [] };

/** Counts in a quorum, of the new half or the old one. */
export function isVoter(configuration: Configuration, node: NodeId): boolean {
  return configuration.voters.includes(node) || configuration.outgoing.includes(node);
}

/** Votes or learns. */
export function isMember(configuration: Configuration, node: NodeId): boolean {
  return isVoter(configuration, node) || configuration.learners.includes(node);
}

/** Equal as values: same nodes in the same roles, in any order. */
export function sameConfiguration(a: Configuration, b: Configuration): boolean {
  return sameNodes(a.voters, b.voters) && sameNodes(a.outgoing, b.outgoing) && sameNodes(a.learners, b.learners);
}

function sameNodes(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((node) => b.includes(node));
}

/** The configuration after one change, or why there is none: "no-change", "last-voter". */
export function changeConfiguration(
  configuration: Configuration,
  change: ConfigurationChange,
): Configuration | Extract<ProposeRefusal, "no-change" | "last-voter"> {
  const { kind, node } = change;
  const voter = configuration.voters.includes(node);
  const learner = configuration.learners.includes(node);
  const possible =
    kind === "add-learner"
      ? !voter && !learner
      : kind === "promote"
        ? learner
        : kind === "demote"
          ? voter
          : voter || learner;
  if (!possible) return "no-change";
  const voters = configuration.voters.filter((other) => other !== node);
  const learners = configuration.learners.filter((other) => other !== node);
  if (kind === "promote") voters.push(node);
  if (kind === "add-learner" || kind === "demote") learners.push(node);
  if (voters.length === 0) return "last-voter";
  return { voters: voters.sort(ascending), outgoing: configuration.outgoing, learners: learners.sort(ascending) };
}

const ascending = (a: number, b: number): number => a - b;

/** Data of a "configuration" entry. */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const { voters, outgoing, learners } = configuration;
  return encode({ voters, outgoing, learners });
}

/** The configuration in an entry's data, or undefined when it is not one (data comes from peers). */
export function decodeConfiguration(data: Uint8Array): Configuration | undefined {
  let value: unknown;
  try {
    value = decode(data);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { voters, outgoing, learners } = value as { readonly [Field in keyof Configuration]?: unknown };
  return isNodes(voters) && isNodes(outgoing) && isNodes(learners) ? { voters, outgoing, learners } : undefined;
}

function isNodes(value: unknown): value is readonly NodeId[] {
  return Array.isArray(value) && value.every(isId);
}

/**
 * The configurations along a log, of which the newest is in force: a configuration holds as soon as it is appended
 * and no longer when its entry is overwritten.
 */
export class ConfigurationHistory {
  /** Oldest first; the first is committed (or the log's base), later ones may not be. Never empty. */
  #items: { readonly index: number; readonly configuration: Configuration }[];

  constructor(base: number, configuration: Configuration, later: Restored["configurations"]) {
    this.#items = [{ index: base, configuration }, ...later];
  }

  get current(): Configuration {
    return this.#items[this.#items.length - 1]!.configuration;
  }

  /** Where the configuration in force was appended. */
  get currentIndex(): number {
    return this.#items[this.#items.length - 1]!.index;
  }

  /**
   * A voter of the configuration in force, or of an earlier one as long as the later is not committed: a node that holds the
   * entry which removes it may be the only one with a log that can win, and is needed until that entry is committed.
   */
  mayLead(node: NodeId): boolean {
    return this.#items.some((item) => isVoter(item.configuration, node));
  }

  append(at: number, configuration: Configuration): void {
    assert(at > this.currentIndex, "a configuration is appended after the one in force");
    this.#items.push({ index: at, configuration });
  }

  truncateFrom(at: number): void {
    while (this.currentIndex >= at) {
      assert(this.#items.length > 1, "a committed configuration is never overwritten");
      this.#items.pop();
    }
  }

  /** Forgets what can never come back. */
  committed(commit: number): void {
    while (this.#items.length > 1 && this.#items[1]!.index <= commit) this.#items.shift();
  }
}

/** The token of the append that {@link bootstrap} makes; the machine's own are higher. */
export const bootstrapToken = 1;

/**
 * The beginning of a new cluster: a first entry (index 1, term 1) that makes `node` its only voter. The caller hands
 * `append` to an empty log store and `restored` to the machine; storage keeps order, so it need not wait in between.
 */
export function bootstrap(node: NodeId): { readonly append: Append; readonly restored: Restored } {
  const configuration: Configuration = { voters: [node], outgoing: [], learners: [] };
  const entry: Entry = {
    index: index(1),
    term: term(1),
    kind: "configuration",
    data: encodeConfiguration(configuration),
  };
  const hardState = { term: term(1), vote: nobody, commit: index(0) };
  return {
    append: { token: bootstrapToken, hardState, entries: [entry] },
    restored: {
      hardState,
      baseIndex: index(0),
      baseTerm: term(0),
      lastIndex: index(1),
      termRuns: [{ first: index(1), term: term(1) }],
      baseConfiguration: emptyConfiguration,
      configurations: [{ index: index(1), configuration }],
      window: [entry],
    },
  };
}
