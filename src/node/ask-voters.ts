import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { type Outcome, refuse } from "../lib/outcome.ts";

/** Asks the voters in turn, until one gives an answer that is more than "not here, not now". */
export async function askVoters(
  voters: readonly NodeId[],
  ask: (voter: NodeId) => Promise<unknown>,
): Promise<Outcome<unknown>> {
  let last: Outcome<unknown> = refuse("unavailable", "no voter can be reached from this node", {
    retryAfterMs: 500,
    retry: "safe",
  });
  for (const voter of voters) {
    try {
      last = (await ask(voter)) as Outcome<unknown>;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      last = refuse("unavailable", error.message, { retryAfterMs: 500 });
    }
    if (last.ok || last.why.code !== "unavailable") return last;
  }
  return last;
}
