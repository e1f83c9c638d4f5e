import type { Principal, Right, Role } from "./types.ts";

/** What each role may do. "internal" is granted to no person: only nodes propose those commands. */
export const rightsOf: Readonly<Record<Role, readonly Right[]>> = {
  viewer: ["read"],
  operator: ["read", "jobs:write", "nodes:write"],
  admin: ["read", "jobs:write", "nodes:write", "cluster:write", "tokens:write", "audit:read"],
};

/** True when the role grants the right. Nodes may do everything. */
export function may(role: Principal["role"], right: Right): boolean {
  return role === "node" || rightsOf[role].includes(right);
}
