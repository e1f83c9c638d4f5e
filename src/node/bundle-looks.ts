import { accept, type Outcome } from "../lib/outcome.ts";
import type { CommandInput, CommandValue } from "../state/commands/index.ts";
import { isNowhere, lookedAt, type SourceLook } from "../state/sourcing.ts";
import type { ReadTx } from "../state/tx.ts";
import type { BundleGit } from "./bundle-git.ts";

/**
 * What came of a look at the repository that a bundle is pinned from, by the member that the leader has asked:
 *
 *   same     its ref stands for the commit that was known
 *   pinned   for another one, which the log knows by now
 *   over     the bundle is pinned from something else by now, or was pinned by another look
 *   busy     this member has too much to do just now: another one may not
 *   unable   this member cannot look at it, now or ever: another one may
 *   failed   it cannot be had
 */
export type Looked =
  | { readonly kind: "same" | "pinned" | "over" }
  | { readonly kind: "busy" | "unable" | "failed"; readonly why: string };

/** What looking needs of its surroundings. */
export interface BundleLooksPorts {
  readonly git: Pick<BundleGit, "look">;
  readonly view: <Value>(query: (tx: ReadTx) => Value) => Value;
  /** Resolves when the state here has everything that was acknowledged before. */
  catchUp(): Promise<Outcome<unknown>>;
  /** In this node's own name. */
  pin(
    input: CommandInput<"bundle.source.pin">,
  ): Promise<Outcome<{ readonly value: CommandValue<"bundle.source.pin">; readonly index: number }>>;
}

/** Looks, for the leader, at the repository that a bundle is pinned from, and pins what is new there. That two look at once does no harm: the log takes one of them (state/sourcing.ts). */
export async function lookAtSource(look: SourceLook, ports: BundleLooksPorts): Promise<Looked> {
  if (Bun.which("git") === null) return { kind: "unable", why: "there is no git on its host" };
  const current = await ports.catchUp();
  if (!current.ok) return { kind: "unable", why: current.why.message };
  const found = ports.view((tx) => lookedAt(tx, look));
  if (!found.ok) return { kind: "over" };
  const known = ports.view((tx) => isNowhere(tx, found.value)) ? null : look.base;
  const { name, url, ref, subdir, key, copies, timeout_ms: timeoutMs } = found.value;
  let isOver = false;
  const wish = { name, url, ref: ref ?? undefined, subdir: subdir ?? undefined, key: key ?? undefined };
  const kept = await ports.git.look({ ...wish, copies, timeoutMs }, known, (commit) => async (tree) => {
    const pinned = await ports.pin({ ...tree, ...look, commit });
    isOver = !pinned.ok && pinned.why.code === "conflict" && !ports.view((tx) => lookedAt(tx, look)).ok;
    if (!pinned.ok) return pinned;
    const { version, isNew } = pinned.value.value;
    return accept({ value: { name, version, isNew }, index: pinned.value.index });
  });
  if (kept.ok) return { kind: kept.value === null ? "same" : "pinned" };
  if (isOver) return { kind: "over" };
  const { code, message, details = [] } = kept.why;
  if (code === "busy") return { kind: "busy", why: message };
  if (code === "unavailable" || code === "no-room") return { kind: "unable", why: message };
  const places = details.slice(0, 5).map(({ path, message: what }) => `${path}: ${what}`);
  return { kind: "failed", why: [message, ...places].join("; ") };
}
