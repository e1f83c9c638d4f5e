import { z } from "zod";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { removeBundleSource } from "../tables/bundle-source.ts";
import { bundleName } from "./bundle-schema.ts";

interface SourceRemoved {
  readonly bundle: string;
}

const shape = z.strictObject({ bundle: bundleName });

export const bundleSourceRm = command<SourceRemoved>()({
  name: "bundle.source.rm",
  tag: 111,
  since: 3,
  right: "jobs:write",
  doc: "Has a bundle pinned by itself no more; its versions stay.",
  input: shape,
  payload: shape,
  route: { method: "DELETE", path: "/v1/bundle-sources/:bundle", status: 200 },
  answer: z.object({ name: z.string() }),
  prepare: (input) => input,
  apply(tx, { bundle: name }, context) {
    if (!removeBundleSource(tx, name)) return refuse("not-found", `nothing pins bundle ${name} by itself`);
    context.changed({ topic: "bundle", kind: "unsourced", name });
    return accept({ name });
  },
  audit: ({ bundle }) => `bundle ${bundle}`,
});
