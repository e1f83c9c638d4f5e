import type { Principal, Right, Role } from "./types.ts";

/** What each role may do. "internal" is granted to no person: only nodes propose those commands. */
export const rightsOf: Readonly<Record<Role, readonly Right[]>> = {
  viewer: ["read"],
  operator: ["read", "jobs:write", "nodes:write"],
  admin: ["read", "jobs:write", "nodes:write", "cluster:write", "tokens:write", "secrets:write", "audit:read"],
};

/** What needs a person's right and what a node does on its own all the same, as its duty. */
const duties: ReadonlySet<string> = new Set([
  "authority.begin",
  // Whoever tells of a push has shown to a node that the webhook's secret is theirs.
  "bundle.source.fetch",
  "cluster.raise",
  "inventory.refresh",
  "inventory.put",
  "inventory.set",
]);

/** True for what a node may ask in its own name, without anybody's token. */
export function isForNodes(command: { readonly name: string; readonly right: Right }): boolean {
  return command.right === "internal" || duties.has(command.name);
}

/** True when whoever holds the token may act in the role: its own, or one that may less. Nobody's token is a node's. */
export function mayActAs(
  token: { readonly kind: "api" | "join"; readonly role: Role },
  role: Principal["role"],
): boolean {
  return token.kind === "api" && role !== "node" && rightsOf[role].every((right) => may(token.role, right));
}

/** True when the role grants the right. Nodes may do everything. */
export function may(role: Principal["role"], right: Right): boolean {
  return role === "node" || rightsOf[role].includes(right);
}
