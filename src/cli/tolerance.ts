import type { ClusterView } from "../state/answers.ts";

/** What a cluster with so many voters bears: a majority of them must be left. */
export function toleranceText(voters: number): string {
  const borne = Math.max(0, Math.ceil(voters / 2) - 1);
  const what = borne === 0 ? "no voter" : borne === 1 ? "1 voter" : `${borne} voters`;
  const even = voters % 2 === 0 && voters > 0 ? `, as with ${voters - 1}: an even number bears no more` : "";
  return `bears the loss of ${what}${even}`;
}

/** The same of a cluster as it is: while the voters change, those of before and those to come must both have a majority. */
export function clusterTolerance({
  leader,
  voters,
  voters_outgoing,
  nodes,
}: Pick<ClusterView, "leader" | "voters" | "voters_outgoing" | "nodes">): string {
  const least = voters_outgoing.length === 0 ? voters.length : Math.min(voters.length, voters_outgoing.length);
  const lost = nodes.filter(({ id, state }) => state === "lost" && voters.includes(id)).length;
  const already = lost === 0 ? "" : `; ${lost} of them ${lost === 1 ? "is" : "are"} lost now`;
  const under = voters_outgoing.length === 0 ? "" : "; a change of the voters is under way";
  // Who is lost is for a leader to say: without one all of them look as they did when it was last here.
  const without = leader === null ? "; but no leader is known here: a majority of them may be away already" : "";
  return `${toleranceText(least)}${already}${under}${without}`;
}
