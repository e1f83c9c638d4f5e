import type { NodeView } from "../state/answers.ts";

/** Whom newer rules of a zone have reached and whom not: the same schedule may have other instants with each. undefined: all have the same. */
export function zonesText({
  nodes,
}: {
  readonly nodes: readonly Pick<NodeView, "name" | "zones">[];
}): string | undefined {
  const told = new Map<string, string[]>();
  for (const { zones, name } of nodes) if (zones !== null) told.set(zones, [...(told.get(zones) ?? []), name]);
  if (told.size < 2) return undefined;
  const groups = [...told].map(([zones, names]) => `${zones} (${names.join(", ")})`);
  return `differs, and with it when schedules of some zones fire: ${groups.join(" | ")}`;
}
