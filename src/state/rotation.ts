import type { NodeId } from "../lib/ids.ts";
import type { AuthorityState } from "./queries.ts";

/**
 * The authority is replaced without anybody being turned away: the new one is believed first, then it issues, then the former one is
 * believed no more. Each step is an entry, made by the leader once every member has said that it has followed (and refused by the state
 * otherwise). So an absent member holds it up, until it is back or removed; meanwhile certificates of both are good.
 */
export type RotationStep =
  | { readonly kind: "issue"; readonly fingerprint: string; readonly waitsFor: readonly NodeId[] }
  | { readonly kind: "drop"; readonly fingerprint: string; readonly waitsFor: readonly NodeId[] };

/** The next step of the replacement that is under way, and which members it waits for; undefined: none is. */
export function rotationStep(state: AuthorityState, members: readonly NodeId[]): RotationStep | undefined {
  const shown = new Map(state.certificates.map((row) => [row.node, row]));
  const coming = state.authorities.find((row) => row.phase === "coming");
  if (coming !== undefined) {
    const { fingerprint } = coming;
    const waitsFor = members.filter((node) => shown.get(node)?.trusted.includes(fingerprint) !== true);
    return { kind: "issue", fingerprint, waitsFor };
  }
  const leaving = state.authorities.find((row) => row.phase === "leaving");
  if (leaving === undefined) return undefined;
  const { fingerprint } = leaving;
  const waitsFor = members.filter((node) => {
    const row = shown.get(node);
    return row === undefined || row.authority === fingerprint;
  });
  return { kind: "drop", fingerprint, waitsFor };
}

export interface Membership {
  readonly members: readonly NodeId[];
  readonly voters: readonly NodeId[];
  /** Members that are lost: one that comes back may vote again. */
  readonly lost: ReadonlySet<NodeId>;
  /** Members that vote no more and have said that they deleted the key. */
  readonly deleted: ReadonlySet<NodeId>;
}

/** `isUrgent`: somebody who is a member no more knows the key. */
export interface RekeyReason {
  readonly text: string;
  readonly isUrgent: boolean;
}

/**
 * Why the authority must be replaced (K1): somebody knows the key who was removed, whatever it says that it deleted; or who votes no more and
 * has not said that it deleted the key, which a member that lost its vote for a while, or is drained, does by itself. A voter that is lost and whose
 * place another one took is waited for: it votes again, is removed, or comes back as a learner. undefined: there is no reason.
 */
export function rekeyReason(
  state: AuthorityState,
  { members, voters, lost, deleted }: Membership,
): RekeyReason | undefined {
  if (state.authorities.some((row) => row.phase === "leaving")) return undefined; // one at a time
  const present = new Set(members);
  const voting = new Set(voters);
  const newest = state.authorities.find((row) => row.phase === "coming") ?? state.authorities[0];
  const holders = state.holders.filter((one) => one.authority === newest?.fingerprint).map((one) => one.node);
  const removed = holders.find((node) => !present.has(node));
  if (removed !== undefined) return { text: `node ${removed}, which knew its key, was removed`, isUrgent: true };
  const former = holders.find((node) => !voting.has(node) && !lost.has(node) && !deleted.has(node));
  if (former === undefined) return undefined;
  return { text: `node ${former} votes no more, and has not said that it deleted the key`, isUrgent: false };
}
