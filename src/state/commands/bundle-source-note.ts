import { z } from "zod";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { lookedAt, lookedInVain, lookedWell, type SourceLook } from "../sourcing.ts";
import { writeBundleSource } from "../tables/bundle-source.ts";
import { sourceLook } from "./bundle-schema.ts";

interface SourceNoted extends SourceLook {
  /** Why it could not be had; null: its ref stands for what it did before. */
  readonly failure: string | null;
}

const shape = z.strictObject({ ...sourceLook, failure: z.string().min(1).max(2_000).nullable() });

export const bundleSourceNote = command<SourceNoted>()({
  name: "bundle.source.note",
  tag: 113,
  since: 3,
  right: "internal",
  doc: "Says why a look at a repository gave no new version: its ref stands for what it did before, or it could not be had. The newest version stays.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { failure, ...look }, context) {
    const found = lookedAt(tx, look);
    if (!found.ok) return found;
    const { at } = context;
    const row = failure === null ? lookedWell(found.value, look, at) : lookedInVain(found.value, look, failure, at);
    writeBundleSource(tx, row);
    const { name, failures } = row;
    if (failure !== null) context.changed({ topic: "bundle", kind: "failed", name, failures, reason: failure });
    return accept({ name, failures });
  },
});
