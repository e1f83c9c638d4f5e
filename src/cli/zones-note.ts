import { zoneGroups } from "../lib/zone-groups.ts";

/** Whom newer rules of a zone have reached and whom not: the same schedule may have other instants with each. undefined: all have the same. */
export function zonesText(
  nodes: readonly { readonly name: string | null; readonly zones?: string | null }[],
): string | undefined {
  const groups = zoneGroups(nodes.map(({ name, zones }) => ({ name: name ?? "", zones })));
  if (groups.length < 2) return undefined;
  return `differs, and with it when schedules of some zones fire: ${groups.join(" | ")}`;
}
