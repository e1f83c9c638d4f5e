/** Members by the data of time zones that they go by, each group as "2026a 1f14f847 (a, c)"; who has not said what it has is in none. */
export function zoneGroups(
  members: Iterable<{ readonly name: string; readonly zones?: string | null | undefined }>,
): string[] {
  const told = new Map<string, string[]>();
  for (const { zones, name } of members) {
    if (zones === null || zones === undefined) continue;
    const names = told.get(zones);
    if (names === undefined) told.set(zones, [name]);
    else names.push(name);
  }
  return [...told].map(([zones, names]) => `${zones} (${names.join(", ")})`);
}
