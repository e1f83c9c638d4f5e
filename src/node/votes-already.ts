import type { NodeId } from "../lib/ids.ts";
import type { Outcome } from "../lib/outcome.ts";
import { learnerLabel } from "../lib/selector.ts";
import type { NodeRow, Wish } from "../state/types.ts";

/** Who votes is known to consensus and not to the state, so this is decided where a command is taken, as in voter-rights.ts. */
export interface VotesPorts {
  find(reference: string | number): NodeRow | undefined;
  isVoter(node: NodeId): boolean;
  /** Resolves when this node has everything that was acknowledged before. */
  catchUp(): Promise<Outcome<unknown>>;
}

/** What `node.promote` answers for a node that votes and keeps its vote: there is nothing to log. undefined: it is to be logged. */
export interface VotesAlready {
  readonly node: NodeId;
  readonly wish: Wish | null;
  readonly already: true;
}

/** See {@link VotesAlready}. */
export async function votesAlready(
  { node, forget }: { readonly node: string | number; readonly forget?: boolean | undefined },
  ports: VotesPorts,
): Promise<VotesAlready | undefined> {
  const look = (): VotesAlready | undefined => {
    const row = ports.find(node);
    if (forget === true || row === undefined || !ports.isVoter(row.id) || row.wish === "learner") return undefined;
    // Its own host asks for it not to vote, and only a wish in the state says more.
    if (row.labels[learnerLabel] === "true" && row.wish !== "voter") return undefined;
    return { node: row.id, wish: row.wish ?? null, already: true };
  };
  // Somebody may have had it demoted through another node just now.
  return look() !== undefined && (await ports.catchUp()).ok ? look() : undefined;
}
