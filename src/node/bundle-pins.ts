import type { Manifest } from "../lib/bundle-manifest.ts";
import { monotonicMs } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";

/** Files of bundles that are on their way here, and that no bundle here has yet: they are not swept. For an hour, since nobody says when a push is given up. */
export class BundlePins {
  readonly #until = new Map<string, { readonly files: ReadonlySet<string>; until: number }>();

  pin({ digest, entries }: Manifest): void {
    const now = monotonicMs();
    for (const [other, { until }] of this.#until) if (until < now) this.#until.delete(other);
    const until = now + limits.blobKeptMs;
    const known = this.#until.get(digest);
    if (known !== undefined) known.until = until;
    else {
      const files = entries.flatMap((entry) => (entry.kind === "file" ? [entry.sha256] : []));
      this.#until.set(digest, { files: new Set(files), until });
    }
  }

  has(sha256: string): boolean {
    const now = monotonicMs();
    for (const { files, until } of this.#until.values()) if (until >= now && files.has(sha256)) return true;
    return false;
  }
}
