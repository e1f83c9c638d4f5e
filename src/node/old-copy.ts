/**
 * A node's data directory that was put back from a copy has forgotten votes, acknowledged entries and the serials that it has used since (D1, D4,
 * S3). It counts its starts, and tells the log of each one: whoever comes with a number that the log knows of a later or another start
 * is an older copy of itself, and is not let in by who knows that. A copy of the newest start, or of after it, is not found out: its next
 * start has a number that nobody knows yet. So a copy must never be started, and this only catches the commonest mistake.
 */
export function isOldCopy(known: string | undefined, said: string): boolean {
  const [ours, theirs] = [startOf(known ?? ""), startOf(said)];
  if (ours === undefined || theirs === undefined) return false;
  return theirs < ours || (theirs === ours && said !== known);
}

/** Incarnations are `STARTS.RANDOM`; those of nodes that have only joined are not, and prove nothing. */
function startOf(incarnation: string): number | undefined {
  const [, starts] = /^(\d{1,15})\.[0-9a-f]{12}$/.exec(incarnation) ?? [];
  return starts === undefined ? undefined : Number(starts);
}
