import { z } from "zod";
import type { NodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import {
  addHolder,
  countBundleNames,
  insertVersion,
  newestVersion,
  removeVersion,
  versionsOf,
  writeBundle,
} from "../tables/bundle.ts";
import { allNodes } from "../tables/node.ts";
import { bundleDigest, bundleName } from "./bundle-schema.ts";
import { count, nodeIdShape } from "./shapes.ts";

interface BundleSet {
  readonly name: string;
  readonly digest: string;
  readonly bytes: number;
  readonly files: number;
  /** On how many nodes it is to be. */
  readonly copies: number;
  /** Those that have it, synced. */
  readonly holders: readonly NodeId[];
  readonly source: string | null;
}

const shape = z.strictObject({
  name: bundleName,
  digest: bundleDigest,
  bytes: count.max(limits.bundleBytes),
  files: count.max(limits.bundleEntries),
  copies: z.number().int().min(1).max(limits.bundleCopiesMost),
  holders: z.array(nodeIdShape).min(1).max(limits.nodes),
  source: z.string().max(limits.bundleSourceLength).nullable(),
});

/** Proposed by the node that was given the files, in the name of who gave them, once enough members have all of them on their disks. */
export const bundleSet = command<BundleSet>()({
  name: "bundle.set",
  tag: 90,
  since: 3,
  right: "jobs:write",
  doc: "A name stands for another tree from now on, which enough members have; for the same tree again nothing changes.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { name, digest, bytes, files, copies, holders, source }, context) {
    const members = allNodes(tx).filter(({ state }) => state !== "lost");
    const having = members.filter(({ id }) => holders.includes(id));
    if (having.length < Math.min(copies, members.length))
      return refuse("unavailable", `${having.length} members have it, and it is to be on ${copies}: repeat it`, {
        retryAfterMs: 1000,
        retry: "safe",
      });
    const before = newestVersion(tx, name);
    if (before === undefined && countBundleNames(tx) >= limits.bundles)
      return refuse(
        "conflict",
        `there are ${limits.bundles} bundles already: remove some with 'skein bundle rm' first`,
      );
    writeBundle(tx, { digest, bytes, files, copies });
    for (const { id } of having) addHolder(tx, digest, id);
    if (before?.digest === digest) return accept({ name, version: before.version, isNew: false });
    const version = (before?.version ?? 0) + 1;
    insertVersion(tx, { name, version, digest, set_at: context.at, set_by: context.by.name, source });
    for (const old of versionsOf(tx, name).slice(limits.bundleVersions)) removeVersion(tx, old);
    return accept({ name, version, isNew: true });
  },
  audit: ({ name, digest }, outcome) =>
    `bundle ${name}${outcome.ok ? `@${outcome.value.version}` : ""} (sha256:${digest.slice(0, 12)})`,
});
