/**
 * A host that could not be reached is a task that has failed, with a reason that begins so: what drivers ssh and ansible write, and nobody else. What people write (names of tasks, commands)
 * stands in no reason at its beginning.
 */
export const unreachableMark = "unreachable: ";

/** The host of a task could not be reached, or its connection broke. */
export function isUnreachable({
  state,
  reason,
}: {
  readonly state: string;
  readonly reason?: string | null | undefined;
}): boolean {
  return state === "failed" && reason?.startsWith(unreachableMark) === true;
}
