import type { NodeId } from "../lib/ids.ts";

/** What it takes of a member to know whether it works out schedules. */
interface Member {
  readonly id: NodeId;
  readonly state: "up" | "draining" | "lost";
  readonly quarantine?: number | undefined;
}

/**
 * Who works out schedules, by the replicated list of members and nothing else, so that all come to the same: whoever is up and goes by a state that is right. Where nobody is that, those who
 * are there at all: it is better that somebody does, and what they may believe harms nothing (C1).
 */
export function liveMembers(nodes: readonly Member[]): NodeId[] {
  const there = nodes.filter(({ state }) => state !== "lost");
  const up = there.filter(({ state }) => state === "up");
  const fit = up.filter(({ quarantine }) => quarantine === undefined);
  return [fit, up, there].find((some) => some.length > 0)?.map(({ id }) => id) ?? [];
}

/**
 * Which member owns which schedule: the one whose mark of it is the highest (rendezvous hashing). So whoever joins takes from all the others alike, what a member leaves is spread over all that
 * stay, nothing moves between two that were there and stay, and a list that was before gives what it gave then.
 */
export class Owners {
  readonly members: readonly NodeId[];
  readonly #seeds: Int32Array;

  constructor(members: readonly NodeId[]) {
    this.members = members;
    this.#seeds = Int32Array.from(members, seedOf);
  }

  /** undefined: there are no members. Allocates nothing. */
  of(schedule: number): NodeId | undefined {
    const seeds = this.#seeds;
    const key = mixedId(schedule);
    let owner = -1;
    let highest = -1;
    for (let at = 0; at < seeds.length; at++) {
      // Members differ in their seeds and mixing keeps them apart: no two marks are alike, the order of the list decides nothing.
      const mark = mix(key ^ seeds[at]!) >>> 0;
      if (mark <= highest) continue;
      highest = mark;
      owner = at;
    }
    return owner === -1 ? undefined : this.members[owner];
  }
}

/** Of one schedule; for many of them prepare {@link Owners} once. */
export function ownerOf(schedule: number, members: readonly NodeId[]): NodeId | undefined {
  return new Owners(members).of(schedule);
}

/** MurmurHash3's finaliser: of any two numbers about half of the bits differ afterwards. */
function mix(word: number): number {
  let mixed = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/** Another such one, so that ids of schedules and of members do not cancel each other out. */
function mixedId(id: number): number {
  // Also what is above 32 bits counts.
  const word = (id | 0) ^ Math.imul(Math.floor(id / 0x1_0000_0000), 0x27d4eb2f);
  let mixed = Math.imul(word ^ (word >>> 16), 0x7feb352d);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b);
  return mixed ^ (mixed >>> 16);
}

const seedOf = (member: NodeId): number => mixedId(member + 0x9e3779b9);
