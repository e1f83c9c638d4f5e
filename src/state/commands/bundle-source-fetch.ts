import { z } from "zod";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { bundleSource, writeBundleSource } from "../tables/bundle-source.ts";
import { bundleName } from "./bundle-schema.ts";

interface SourceFetch {
  readonly bundle: string;
}

const shape = z.strictObject({ bundle: bundleName });

/** Proposed by a node in the name of "webhook:NAME", without a token, where a push was told of with the right secret (node/bundle-webhook.ts). */
export const bundleSourceFetch = command<SourceFetch>()({
  name: "bundle.source.fetch",
  tag: 112,
  since: 3,
  right: "jobs:write",
  doc: "Has the repository that a bundle is pinned from looked at now; once more where that is under way.",
  input: shape,
  payload: shape,
  route: { method: "POST", path: "/v1/bundle-sources/:bundle/fetch", status: 202 },
  answer: z.object({ name: z.string() }),
  prepare: (input) => input,
  apply(tx, { bundle: name }, { at, by, index }) {
    const row = bundleSource(tx, name);
    if (row === undefined) return refuse("not-found", `nothing pins bundle ${name} by itself`);
    writeBundleSource(tx, { ...row, due_at: at, asked: index, asked_by: by.name });
    return accept({ name });
  },
  audit: ({ bundle }) => `bundle ${bundle}`,
});
