import { assert } from "../lib/assert.ts";
import {
  type Configuration,
  decodeConfiguration,
  emptyConfiguration,
  encodeConfiguration,
} from "../lib/configuration.ts";
import { index, isId, nobody, term, type NodeId } from "../lib/ids.ts";
import type { Append, ConfigurationChange, Entry, ProposeRefusal, Restored, SnapshotMeta } from "./types.ts";

export { decodeConfiguration, emptyConfiguration, encodeConfiguration };

/** Membership as a value: configuration -> change -> configuration, and the history that a log carries. */

/** Counts in a quorum, of the new half or the old one. */
export function isVoter(configuration: Configuration, node: NodeId): boolean {
  return configuration.voters.includes(node) || configuration.outgoing.includes(node);
}

/** Votes or learns. */
export function isMember(configuration: Configuration, node: NodeId): boolean {
  return isVoter(configuration, node) || configuration.learners.includes(node);
}

/** Two halves decide until it is left. */
export function isJoint(configuration: Configuration): boolean {
  return configuration.outgoing.length > 0;
}

/** Equal as values: same nodes in the same roles, in any order. */
export function sameConfiguration(a: Configuration, b: Configuration): boolean {
  return (
    sameNodes(a.voters, b.voters) &&
    sameNodes(a.outgoing, b.outgoing) &&
    sameNodes(a.learners, b.learners) &&
    sameNodes(a.learnersNext, b.learnersNext)
  );
}

function sameNodes(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((node) => b.includes(node));
}

type NoConfiguration = Extract<ProposeRefusal, "no-change" | "last-voter" | "joint">;

/**
 * The configuration after one change, or why there is none. One that replaces more than one voter is joint: it needs both majorities, and is
 * left by leaveJoint() when it is committed (the Raft dissertation, section 4.3).
 */
export function changeConfiguration(
  configuration: Configuration,
  change: ConfigurationChange,
): Configuration | NoConfiguration {
  if (isJoint(configuration)) return "joint";
  const named = change.kind === "replace" ? [...change.voters, ...change.learners] : [change.node];
  if (!named.every(isId)) return "no-change"; // 0 is nobody
  if (change.kind === "replace") return replaceMembers(configuration, change);
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
  return voters.length === 0 ? "last-voter" : simple(voters, learners);
}

function replaceMembers(
  configuration: Configuration,
  change: Extract<ConfigurationChange, { kind: "replace" }>,
): Configuration | NoConfiguration {
  const voters = [...new Set(change.voters)];
  const learners = [...new Set(change.learners)];
  if (voters.length === 0) return "last-voter";
  if (learners.some((node) => voters.includes(node))) return "joint";
  const target = simple(voters, learners);
  if (sameConfiguration(configuration, target)) return "no-change";
  const outgoing = configuration.voters;
  const come = voters.filter((node) => !outgoing.includes(node)).length;
  const go = outgoing.filter((node) => !voters.includes(node)).length;
  if (come + go <= 1) return target;
  const wasVoter = (node: NodeId): boolean => outgoing.includes(node);
  return {
    voters: target.voters,
    outgoing,
    learners: target.learners.filter((node) => !wasVoter(node)),
    learnersNext: target.learners.filter(wasVoter),
  };
}

/** What follows a joint configuration: the new half alone; voters of the old one that are to learn do so from now on. */
export function leaveJoint(configuration: Configuration): Configuration {
  assert(isJoint(configuration), "only a joint configuration is left");
  return simple(configuration.voters, [...configuration.learners, ...configuration.learnersNext]);
}

function simple(voters: readonly NodeId[], learners: readonly NodeId[]): Configuration {
  return { voters: voters.toSorted(ascending), outgoing: [], learners: learners.toSorted(ascending), learnersNext: [] };
}

const ascending = (a: number, b: number): number => a - b;

interface Kept {
  readonly index: number;
  readonly configuration: Configuration;
}

/**
 * The configurations along a log from its base on, of which the newest is in force: a configuration holds as soon as it is appended
 * and no longer when its entry is overwritten.
 */
export class ConfigurationHistory {
  /** Oldest first; the first is the one at the log's base. Never empty. */
  #items: Kept[];
  #commit = 0;

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
    const committed = this.#placeAt(this.#commit);
    return this.#items.some((item, place) => place >= committed && isVoter(item.configuration, node));
  }

  /** The one in force at that index, which must not lie before the log's base. */
  at(index: number): Configuration {
    return this.#items[this.#placeAt(index)]!.configuration;
  }

  #placeAt(index: number): number {
    let place = this.#items.length - 1;
    while (place > 0 && this.#items[place]!.index > index) place--;
    return place;
  }

  append(at: number, configuration: Configuration): void {
    assert(at > this.currentIndex, "a configuration is appended after the one in force");
    this.#items.push({ index: at, configuration });
  }

  truncateFrom(at: number): void {
    while (this.currentIndex >= at) {
      assert(
        this.#items.length > 1 && this.currentIndex > this.#commit,
        "a committed configuration is never overwritten",
      );
      this.#items.pop();
    }
  }

  /** Everything up to there can never come back. */
  committed(commit: number): void {
    this.#commit = commit;
  }

  /** The log begins after `base` from now on. */
  compactTo(base: number): void {
    const place = this.#placeAt(base);
    this.#items = [{ index: base, configuration: this.#items[place]!.configuration }, ...this.#items.slice(place + 1)];
  }

  /** The log is empty after this base. */
  restore({ index: base, configuration }: SnapshotMeta): void {
    this.#items = [{ index: base, configuration }];
    this.#commit = base;
  }
}

/** The token of the append that {@link bootstrap} makes; the machine's own are higher. */
export const bootstrapToken = 1;

/**
 * The beginning of a new cluster: a first entry (index 1, term 1) that makes `node` its only voter. The caller hands
 * `append` to an empty log store and `restored` to the machine; storage keeps order, so it need not wait in between.
 */
export function bootstrap(node: NodeId): { readonly append: Append; readonly restored: Restored } {
  const configuration = simple([node], []);
  const entry: Entry = {
    index: index(1),
    term: term(1),
    kind: "configuration",
    data: encodeConfiguration(configuration),
  };
  const hardState = { term: term(1), vote: nobody, commit: index(0) };
  return {
    append: { token: bootstrapToken, hardState, snapshot: undefined, entries: [entry] },
    restored: {
      hardState,
      baseIndex: index(0),
      baseTerm: term(0),
      lastIndex: index(1),
      termRuns: [{ first: index(1), term: term(1) }],
      baseConfiguration: emptyConfiguration,
      configurations: [{ index: index(1), configuration }],
      window: [entry],
      repair: undefined,
    },
  };
}
