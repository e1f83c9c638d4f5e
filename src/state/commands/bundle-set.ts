import { z } from "zod";
import { command } from "../command.ts";
import { type BundleTree, pinTree } from "../pinning.ts";
import { bundleTree } from "./bundle-schema.ts";

const shape = z.strictObject(bundleTree);

/** Proposed by the node that was given the files, in the name of who gave them, once enough members have all of them on their disks. */
export const bundleSet = command<BundleTree>()({
  name: "bundle.set",
  tag: 90,
  since: 3,
  right: "jobs:write",
  doc: "A name stands for another tree from now on, which enough members have; for the same tree again nothing changes.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply: (tx, payload, context) => pinTree(tx, payload, { at: context.at, by: context.by.name }),
  audit: ({ name, digest }, outcome) =>
    `bundle ${name}${outcome.ok ? `@${outcome.value.version}` : ""} (sha256:${digest.slice(0, 12)})`,
});
