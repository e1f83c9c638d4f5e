import { formatInstant } from "../lib/calendar.ts";
import type { BundleVersionView, BundleView } from "./answers.ts";
import { bundleByDigest, bundleHolders, type BundleVersion, newestVersionsAfter, versionsOf } from "./tables/bundle.ts";
import type { ReadTx } from "./tx.ts";

/** Bundles as the API shows them. */

/** By name, those after `after`. */
export function bundlesAfter(tx: ReadTx, after: string, rows: number): BundleView[] {
  return newestVersionsAfter(tx, after, rows).map((row) => ({ name: row.name, ...viewOf(tx, row) }));
}

/** Newest first. */
export function bundleVersions(tx: ReadTx, name: string): BundleVersionView[] {
  return versionsOf(tx, name).map((row) => viewOf(tx, row));
}

function viewOf(tx: ReadTx, { version, digest, set_at: at, set_by: by, source }: BundleVersion): BundleVersionView {
  const tree = bundleByDigest(tx, digest);
  return {
    version,
    digest,
    bytes: tree?.bytes ?? 0,
    files: tree?.files ?? 0,
    set_at: formatInstant(at),
    set_by: by,
    source,
    copies: tree?.copies ?? 0,
    nodes: bundleHolders(tx, digest),
    jobs: tree?.jobs ?? 0,
  };
}
