import { z } from "zod";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { removeVersion, versionsOf } from "../tables/bundle.ts";
import { removeBundleSource } from "../tables/bundle-source.ts";
import { bundleName } from "./bundle-schema.ts";

interface BundleRemoved {
  readonly name: string;
  /** null: all of them. */
  readonly version: number | null;
}

const versionForm = "must be a whole number";
const version = z.number({ error: versionForm }).int(versionForm).positive(versionForm);

export const bundleRm = command<BundleRemoved>()({
  name: "bundle.rm",
  tag: 92,
  since: 3,
  right: "jobs:write",
  doc: "Removes a bundle with what pins it by itself, or one version of it. Unfinished jobs that have it keep it; then its files go, where no other has them.",
  input: z.strictObject({ bundle: bundleName, version: version.optional() }),
  payload: z.strictObject({ name: bundleName, version: version.nullable() }),
  route: { method: "DELETE", path: "/v1/bundles/:bundle", status: 200 },
  answer: z.object({ name: z.string(), versions: z.array(z.int()) }),
  prepare: ({ bundle, version: one }) => ({ name: bundle, version: one ?? null }),
  audit: ({ name, version: one }) => `bundle ${name}${one === null ? "" : `@${one}`}`,
  apply(tx, { name, version: one }, context) {
    const all = versionsOf(tx, name);
    const some = all.filter((row) => one === null || row.version === one);
    if (one !== null && some.length === 0)
      return refuse("not-found", all.length === 0 ? noBundle(name) : `bundle ${name} has no version ${one}`);
    for (const row of some) removeVersion(tx, row);
    // It would come back by itself. Where other versions are left it does not: the commit is known.
    const isUnsourced = some.length === all.length && removeBundleSource(tx, name);
    if (isUnsourced) context.changed({ topic: "bundle", kind: "unsourced", name });
    else if (all.length === 0) return refuse("not-found", noBundle(name));
    return accept({ name, versions: some.map((row) => row.version) });
  },
});

function noBundle(name: string): string {
  return `there is no bundle ${name}`;
}
