import { limits } from "../lib/limits.ts";
import { type Outcome, refuse } from "../lib/outcome.ts";
import { bundleHolders, newestVersion } from "./tables/bundle.ts";
import { bundleSource, type StoredBundleSource } from "./tables/bundle-source.ts";
import type { ReadTx } from "./tx.ts";

/** What bundles are pinned from by themselves, and what becomes of a look at it (node/bundle-source-duty.ts). */

/** A look at a source: which one it was begun for, and what had been asked for by then. */
export interface SourceLook {
  readonly name: string;
  readonly revision: number;
  readonly asked: number;
  /** The commit that was known when it began; null: none. Of two looks at once, one after a change of the leader, the first one counts. */
  readonly base: string | null;
}

/** The source that the look was for, if it is still that. */
export function lookedAt(tx: ReadTx, { name, revision, base }: SourceLook): Outcome<StoredBundleSource> {
  const row = bundleSource(tx, name);
  if (row?.revision !== revision) return refuse("conflict", `bundle ${name} is not pinned from that any more`);
  if (row.commit_id !== base) return refuse("conflict", `bundle ${name} was pinned by another look meanwhile`);
  return { ok: true, value: row };
}

/** What was pinned from it last is the newest version, and no member has it, as after a restore: it is taken once more, whatever commit is known. */
export function isNowhere(tx: ReadTx, { name, version }: StoredBundleSource): boolean {
  const newest = newestVersion(tx, name);
  return newest?.version === version && bundleHolders(tx, newest.digest).length === 0;
}

/** It went well. */
export function lookedWell(row: StoredBundleSource, { asked }: SourceLook, at: number): StoredBundleSource {
  const due = row.every_ms === null ? null : at + row.every_ms;
  return { ...lookedOnce(row, asked, due, at), good_at: at, failed_at: null, failures: 0, failure: null };
}

/** It did not. It is tried again after some time, ever longer, and no later than it would be anyhow. */
export function lookedInVain(
  row: StoredBundleSource,
  { asked }: SourceLook,
  failure: string,
  at: number,
): StoredBundleSource {
  const failures = row.failures + 1;
  const again = Math.min(
    limits.bundleSourceAgainMs * 2 ** Math.min(failures - 1, 10),
    limits.bundleSourceAgainMostMs,
    row.every_ms ?? Infinity,
  );
  return { ...lookedOnce(row, asked, at + again, at), failed_at: row.failed_at ?? at, failures, failure };
}

/** Who asked meanwhile has it looked at once more, at once. */
function lookedOnce(row: StoredBundleSource, asked: number, due: number | null, at: number): StoredBundleSource {
  const isAskedAgain = row.asked !== asked;
  return {
    ...row,
    due_at: isAskedAgain ? at : due,
    asked_by: isAskedAgain ? row.asked_by : null,
    tried_at: at,
    tried_by: row.asked_by,
  };
}
