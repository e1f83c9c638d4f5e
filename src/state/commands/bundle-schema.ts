import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { secretNameForm } from "./shapes.ts";

/** Bundles as people and the log name them. */

const nameForm = secretNameForm.replace("a secret's name", "a bundle's name");

export const bundleName = z
  .string({ error: nameForm })
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, nameForm)
  .max(limits.secretNameLength, nameForm);

export const bundleDigest = z.string().regex(/^[0-9a-f]{64}$/, "must be the SHA-256 of a bundle");

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
