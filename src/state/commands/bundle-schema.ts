import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { count, nodeIdShape, secretNameForm } from "./shapes.ts";

/** Bundles as people and the log name them. */

const nameForm = secretNameForm.replace("a secret's name", "a bundle's name");

export const bundleName = z
  .string({ error: nameForm })
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, nameForm)
  .max(limits.secretNameLength, nameForm);

export const bundleDigest = z.string().regex(/^[0-9a-f]{64}$/, "must be the SHA-256 of a bundle");

/** What a name is to stand for, as the log has it. */
export const bundleTree = {
  name: bundleName,
  digest: bundleDigest,
  bytes: count.max(limits.bundleBytes),
  files: count.max(limits.bundleEntries),
  copies: z.number().int().min(1).max(limits.bundleCopiesMost),
  holders: z.array(nodeIdShape).min(1).max(limits.nodes),
  source: z.string().max(limits.bundleSourceLength).nullable(),
};

/** On how many members a bundle is to be, as people write it. */
export const bundleCopies = z
  .int(`must be from 1 to ${limits.bundleCopiesMost}`)
  .min(1, "must be at least 1")
  .max(limits.bundleCopiesMost, `must be at most ${limits.bundleCopiesMost}`);

/** A line for git: the address of a repository, a ref, a directory. */
export const gitLine = (what: string): z.ZodString =>
  z
    .string({ error: `must be ${what}` })
    .min(1, `must be ${what}`)
    .max(1024, "must be at most 1024 characters")
    .regex(/^[^\0\r\n]*$/, "must be one line");

/** A commit, by its whole name. */
export const commitId = z.string().regex(/^[0-9a-f]{40}([0-9a-f]{24})?$/, "must be a commit");

/** A look at the repository that a bundle is pinned from (state/sourcing.ts). */
export const sourceLook = { name: bundleName, revision: count, asked: count, base: commitId.nullable() };

const referenceForm = `must be a bundle's name, alone or as in site@3 or site@sha256:…`;

/** NAME, NAME@VERSION or NAME@sha256:DIGEST (state/bundles.ts). */
export const bundleReference = z
  .string({ error: referenceForm })
  .max(limits.secretNameLength + 80, referenceForm)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*(@(\d{1,9}|sha256:[0-9a-f]{8,64}))?$/, referenceForm);

/** The key of a spec: the reference alone, or with how it is laid out. */
export const bundleField = z.union(
  [
    bundleReference,
    z.strictObject({
      name: bundleReference,
      read_only: z.boolean({ error: "must be true or false" }).optional(),
    }),
  ],
  {
    error: (issue) =>
      typeof issue.input === "object" && issue.input !== null && !Array.isArray(issue.input)
        ? `must be a map like {name: site, read_only: true}`
        : referenceForm,
  },
);

/** The same in the log: what the name stood for is known there. */
export const normalisedBundle = z.strictObject({
  name: bundleName,
  digest: bundleDigest,
  readOnly: z.literal(true).exactOptional(),
});
