/** A broken invariant. The node stops before the damage spreads (docs/invariants.md, S4). */
export class Bug extends Error {
  override readonly name = "Bug";
}

/** Asserts an invariant, in production too. Throws {@link Bug}; never use it on input of a person or a peer. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Bug(message);
}

/** Ends a switch over a closed union: a forgotten case does not compile, a newer peer's value does not pass silently. */
export function unreachable(value: never, what: string): never {
  throw new Bug(`unexpected ${what}: ${JSON.stringify(value)}`);
}
