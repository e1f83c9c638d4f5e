import { formatInstant } from "../lib/calendar.ts";
import { formatDuration } from "../lib/units.ts";
import type { BundleSourceView } from "./answers.ts";
import { bundleSourcesAfter, type StoredBundleSource } from "./tables/bundle-source.ts";
import type { ReadTx } from "./tx.ts";

/** What bundles are pinned from by themselves, as the API shows it. Secrets are named, and their values shown to nobody (K1). */

/** By name, those after `after`. */
export function bundleSources(tx: ReadTx, after: string, rows: number): BundleSourceView[] {
  return bundleSourcesAfter(tx, after, rows).map(bundleSourceView);
}

/** One of them. */
export function bundleSourceView(row: StoredBundleSource): BundleSourceView {
  const { name, url, ref, subdir, key, copies, webhook, every_ms: every, commit_id: commit, version } = row;
  const { due_at: due, asked_by: asked, tried_at: tried, tried_by: by, good_at: good } = row;
  const { failed_at: since, failures, failure } = row;
  return {
    name,
    url,
    ref,
    subdir,
    key,
    copies,
    timeout: formatDuration(row.timeout_ms),
    every: every === null ? null : formatDuration(every),
    webhook,
    set_at: formatInstant(row.set_at),
    set_by: row.set_by,
    commit,
    version,
    next_at: due === null ? null : formatInstant(due),
    asked_by: asked,
    last_at: tried === null ? null : formatInstant(tried),
    last_by: tried === null ? null : (by ?? "schedule"),
    good_at: good === null ? null : formatInstant(good),
    ...(since === null ? {} : { failing: { since: formatInstant(since), times: failures, reason: failure ?? "" } }),
  };
}
