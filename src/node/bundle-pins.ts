import type { Manifest } from "../lib/bundle-manifest.ts";
import { monotonicMs } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";

/**
 * Files of bundles that are on their way here, and that no bundle here has yet: they are not swept. For an hour, since nobody says when a push is given up, and of the newest pushes:
 * what they sent themselves is younger than what is swept anyway.
 */
export class BundlePins {
  readonly #until = new Map<string, { readonly files: ReadonlySet<string>; readonly until: number }>();

  pin({ digest, entries }: Manifest): void {
    const now = monotonicMs();
    for (const [other, { until }] of this.#until) if (until < now) this.#until.delete(other);
    const until = now + limits.blobKeptMs;
    const files =
      this.#until.get(digest)?.files ??
      new Set(entries.flatMap((entry) => (entry.kind === "file" ? [entry.sha256] : [])));
    this.#until.delete(digest); // the newest ones come last
    this.#until.set(digest, { files, until });
    let pinned = 0;
    for (const [other, one] of [...this.#until].toReversed()) {
      pinned += one.files.size;
      if (pinned > limits.blobsPinned && other !== digest) this.#until.delete(other);
    }
  }

  has(sha256: string): boolean {
    const now = monotonicMs();
    for (const { files, until } of this.#until.values()) if (until >= now && files.has(sha256)) return true;
    return false;
  }
}
