/** How many in a hundred of some tasks went well, rounded down: 100 only where all did, and where there were none. */
export function percentOf({ ok, tasks }: { readonly ok: number; readonly tasks: number }): number {
  return tasks === 0 ? 100 : Math.floor((100 * ok) / tasks);
}
