import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import {
  addHolder,
  countBundleNames,
  insertVersion,
  newestVersion,
  removeVersion,
  versionsOf,
  writeBundle,
} from "./tables/bundle.ts";
import { allNodes } from "./tables/node.ts";
import type { Tx } from "./tx.ts";

/** What a name is to stand for. */
export interface BundleTree {
  readonly name: string;
  readonly digest: string;
  readonly bytes: number;
  readonly files: number;
  /** On how many nodes it is to be. */
  readonly copies: number;
  /** Those that have it, synced. */
  readonly holders: readonly NodeId[];
  readonly source: string | null;
}

/** The name stands for the tree from now on, as a new version unless it did before. */
export function pinTree(
  tx: Tx,
  { name, digest, bytes, files, copies, holders, source }: BundleTree,
  { at, by }: { readonly at: number; readonly by: string },
): Outcome<{ readonly name: string; readonly version: number; readonly isNew: boolean }> {
  const members = allNodes(tx).filter(({ state }) => state !== "lost");
  const having = members.filter(({ id }) => holders.includes(id));
  if (having.length < Math.min(copies, members.length))
    return refuse("unavailable", `${having.length} members have it, and it is to be on ${copies}: repeat it`, {
      retryAfterMs: 1000,
      retry: "safe",
    });
  const before = newestVersion(tx, name);
  if (before === undefined && countBundleNames(tx) >= limits.bundles)
    return refuse("conflict", `there are ${limits.bundles} bundles already: remove some with 'skein bundle rm' first`);
  writeBundle(tx, { digest, bytes, files, copies });
  for (const { id } of having) addHolder(tx, digest, id);
  if (before?.digest === digest) return accept({ name, version: before.version, isNew: false });
  const version = (before?.version ?? 0) + 1;
  insertVersion(tx, { name, version, digest, set_at: at, set_by: by, source });
  for (const old of versionsOf(tx, name).slice(limits.bundleVersions)) removeVersion(tx, old);
  return accept({ name, version, isNew: true });
}
