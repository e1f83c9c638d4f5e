import { isIP } from "node:net";

/** The runtime's listeners give these, or no code at all, for a name that no resolver knows. */
const codes: ReadonlySet<unknown> = new Set([undefined, "ENOENT", "EINVAL", "ENOTFOUND", "EAI_AGAIN", "EAI_NONAME"]);

/** In words, when an address could not be bound because it is a name that stands for none here; undefined: it is another reason. */
export function unresolvedWords(error: unknown, host: string): string | undefined {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return isIP(host) === 0 && codes.has(code) ? `the name ${host} does not resolve to an address here` : undefined;
}
