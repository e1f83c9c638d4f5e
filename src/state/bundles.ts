import type { Problem } from "../lib/outcome.ts";
import { bundleByDigest, type BundleVersion, newestVersion, versionsOf } from "./tables/bundle.ts";
import type { ReadTx } from "./tx.ts";
import type { Spec } from "./types.ts";

/** What a spec's text holds if, and only if, the job has a bundle: within a text of JSON, quotes are written otherwise. */
export const bundleKey = '"bundle":{';

/** How a bundle is named in a spec: NAME, NAME@VERSION, or NAME@sha256:DIGEST with at least eight digits of it. */
const reference = /^([^@]+)(?:@(?:(\d{1,9})|sha256:([0-9a-f]{8,64})))?$/;

/** The version that a reference of a spec or a request stands for now; text: why there is none. */
export function versionNamed(tx: ReadTx, text: string): BundleVersion | string {
  const [, name = "", version, digest] = reference.exec(text) ?? [];
  const newest = newestVersion(tx, name);
  if (newest === undefined) return `there is no bundle ${name}`;
  if (version === undefined && digest === undefined) return newest;
  const found = versionsOf(tx, name).filter((one) =>
    digest === undefined ? one.version === Number(version) : one.digest.startsWith(digest),
  );
  if (found[0] === undefined)
    return `bundle ${name} has no version ${version ?? `sha256:${digest}`}: its newest is ${name}@${newest.version}`;
  if (found.some((one) => one.digest !== found[0]!.digest)) return `sha256:${digest} fits several versions of ${name}`;
  return found[0];
}

/**
 * What the names of bundles stand for. That is found out before the log, by whoever is asked: a name stands for another tree tomorrow, and a job keeps the one that it was
 * submitted with. Specs come with what was written and leave with the name and the digest.
 */
export function resolveBundles(
  tx: ReadTx,
  jobs: readonly Spec[],
): { readonly jobs: readonly Spec[]; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const resolved = jobs.map((spec, at): Spec => {
    const { bundle } = spec;
    if (bundle === undefined || bundle.digest !== "") return spec;
    const found = versionNamed(tx, bundle.name);
    if (typeof found !== "string") return { ...spec, bundle: { ...bundle, name: found.name, digest: found.digest } };
    problems.push({ path: `jobs[${at}].bundle`, message: found });
    return spec;
  });
  return { jobs: resolved, problems };
}

/** The digest of the spec's bundle that the state does not have; undefined: it has it, or none is wanted. */
export function bundleMissing(tx: ReadTx, { bundle }: Spec): string | undefined {
  return bundle !== undefined && bundleByDigest(tx, bundle.digest) === undefined ? bundle.digest : undefined;
}

/** As people write it. */
export function renderBundle({ name, digest, readOnly }: NonNullable<Spec["bundle"]>): unknown {
  const text = digest === "" ? name : `${name}@sha256:${digest}`;
  return readOnly === true ? { name: text, read_only: true } : text;
}
