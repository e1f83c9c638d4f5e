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
  const members = nodes.filter(({ id }) => voters.includes(id) || voters_outgoing.includes(id));
  const lost = members.filter(({ state }) => state === "lost").length;
  const silent = members.filter((node) => node.state !== "lost" && node.silent === true).length;
  const count = (many: number, how: string): string => `; ${many} of them ${many === 1 ? "is" : "are"} ${how} now`;
  const already = (lost === 0 ? "" : count(lost, "lost")) + (silent === 0 ? "" : count(silent, "silent"));
  const under = voters_outgoing.length === 0 ? "" : "; a change of the voters is under way";
  // Who is lost is for a leader to say: without one all of them look as they did when it was last here.
  const without =
    leader === null
      ? "; but no leader is known here: a majority of them may be away already"
      : members.some((node) => node.silent === null)
        ? `; but node ${leader}, which leads, has not said in time who of them answers it`
        : "";
  return `${toleranceText(least)}${already}${under}${without}`;
}
