/** What a task takes of its node, and before which others it begins, where its spec is silent. */

/** Higher ones first. */
export const defaultPriority = 50;

/** 1 slot for shell; none for http and noop, which the node's io tasks bound; unless the spec says otherwise. */
export function slotsTaken(spec: { readonly driver?: string; readonly slots?: number }): number {
  return spec.slots ?? (spec.driver === undefined || spec.driver === "shell" ? 1 : 0);
}
