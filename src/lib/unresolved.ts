/** The runtime's listeners give these, or no code at all, for a name that no resolver knows. */
const codes: ReadonlySet<unknown> = new Set([undefined, "ENOENT", "EINVAL", "ENOTFOUND", "EAI_AGAIN", "EAI_NONAME"]);

/** In words, when an address could not be bound because it is a name that stands for none here; undefined: it is another reason. */
export function unresolvedWords(error: unknown, host: string): string | undefined {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  const isAddress = host.includes(":") || /^\d{1,3}(?:\.\d{1,3}){3}$/.test(host);
  return !isAddress && codes.has(code) ? `the name ${host} does not resolve to an address here` : undefined;
}
