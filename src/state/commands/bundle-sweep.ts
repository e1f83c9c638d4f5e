import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { removeBundle, unusedBundles } from "../tables/bundle.ts";

interface BundlesSwept {
  /** At most so many. */
  readonly bundles: number;
}

const shape = z.strictObject({ bundles: z.number().int().positive().max(limits.bundlesSwept) });

export const bundleSweep = command<BundlesSwept>()({
  name: "bundle.sweep",
  tag: 93,
  since: 3,
  right: "internal",
  doc: "Forgets the next trees that neither a name nor an unfinished job has: nodes that have them remove them then.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { bundles }) {
    const unused = unusedBundles(tx, bundles);
    for (const digest of unused) removeBundle(tx, digest);
    return accept({ removed: unused.length });
  },
});
