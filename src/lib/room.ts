/** What a task takes of its node, and before which others it begins, where its spec is silent. */

/** Higher ones first. */
export const defaultPriority = 50;

/** 1 slot for shell, and for a process of ansible whatever it is for; none for ssh, http and noop, which the node's io tasks bound; unless the spec says otherwise. */
export function slotsTaken(spec: { readonly driver?: string; readonly slots?: number }): number {
  const { driver = "shell" } = spec;
  return spec.slots ?? (driver === "shell" || driver === "ansible" ? 1 : 0);
}

/** Tasks that a node is given together are one process there, which takes the room of one. */
export function isGroup({ driver }: { readonly driver?: string }): boolean {
  return driver === "ansible";
}
