import { z } from "zod";
import type { NodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { addHolder, bundleByDigest, removeHolder } from "../tables/bundle.ts";
import { nodeById } from "../tables/node.ts";
import { bundleDigest } from "./bundle-schema.ts";
import { nodeIdShape } from "./shapes.ts";

interface BundlesHeld {
  readonly node: NodeId;
  readonly held: readonly string[];
  readonly gone: readonly string[];
}

const digests = z.array(bundleDigest).max(limits.bundlesPerEntry);
const shape = z.strictObject({ node: nodeIdShape, held: digests, gone: digests });

export const bundleHeld = command<BundlesHeld>()({
  name: "bundle.held",
  tag: 91,
  since: 3,
  right: "internal",
  doc: "A node tells which bundles it has all of on its disk, synced, and which no more.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { node, held, gone }) {
    if (nodeById(tx, node) === undefined) return refuse("not-found", `there is no node ${node}`);
    // One that was swept meanwhile is nothing that anybody looks for.
    const known = held.filter((digest) => bundleByDigest(tx, digest) !== undefined);
    for (const digest of known) addHolder(tx, digest, node);
    for (const digest of gone) removeHolder(tx, digest, node);
    return accept({ held: known.length });
  },
});
