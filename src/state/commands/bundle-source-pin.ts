import { z } from "zod";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { type BundleTree, pinTree } from "../pinning.ts";
import { lookedAt, lookedWell, type SourceLook } from "../sourcing.ts";
import { writeBundleSource } from "../tables/bundle-source.ts";
import { bundleTree, commitId, sourceLook } from "./bundle-schema.ts";

interface SourcePinned extends SourceLook, BundleTree {
  readonly commit: string;
}

const shape = z.strictObject({ ...sourceLook, ...bundleTree, commit: commitId });

export const bundleSourcePin = command<SourcePinned>()({
  name: "bundle.source.pin",
  tag: 114,
  since: 3,
  right: "internal",
  doc: "A bundle stands for the commit that the ref of its repository stands for now, by whoever set that repository.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { commit, revision, asked, base, ...tree }, context) {
    const { name } = tree;
    const look = { name, revision, asked, base };
    const found = lookedAt(tx, look);
    if (!found.ok) return found;
    const { at } = context;
    const pinned = pinTree(tx, tree, { at, by: found.value.set_by });
    if (!pinned.ok) return pinned;
    const { version, isNew } = pinned.value;
    writeBundleSource(tx, { ...lookedWell(found.value, look, at), commit_id: commit, version });
    if (isNew) context.changed({ topic: "bundle", kind: "pinned", name, version, commit });
    return accept({ name, version, isNew });
  },
  audit: ({ name, commit }, outcome) =>
    `bundle ${name}${outcome.ok ? `@${outcome.value.version}` : ""} (commit ${commit.slice(0, 12)})`,
});
