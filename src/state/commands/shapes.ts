import { z } from "zod";
import { isPeerAddress } from "../../lib/host-port.ts";
import { jobId, nodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { isAmount, isResourceName, resourceNameForm } from "../../lib/resources.ts";
import { isLabel } from "../../lib/selector.ts";

/** Shapes that several commands share. All are checked before the log (S3). */

const id = z.number().int().positive();

export const nodeIdShape = id.transform(nodeId);
export const jobIdShape = id.transform(jobId);

/** A job's id, as a number or as the digits of a path. */
export const jobIdInput = z
  .union(
    [
      id,
      z
        .string()
        .regex(/^\d{1,15}$/)
        .transform(Number)
        .pipe(id),
    ],
    { error: "not a job id: ids are whole numbers" },
  )
  .transform(jobId);

/** A node by id or name. */
export const nodeReference = z.union([id, z.string().min(1).max(limits.nameLength)], {
  error: "not a node's id or name",
});

/** Facts of a target (lib/facts.ts). */
export const factsShape = z
  .record(z.string().regex(/^[a-z][a-z0-9_]*$/), z.string())
  .refine((facts) => JSON.stringify(facts).length <= limits.factBytes);

/** Whole number of a clock, epoch ms, or of a counter. */
export const count = z.number().int().nonnegative();
/** The last instant that can be written as a date. */
const lastInstant = 8_640_000_000_000_000;
/** When something ends, epoch ms; null: never. */
export const endShape = z.int().nonnegative().max(lastInstant).nullable();
/** Wall times come from other clocks, fractions included. */
export const instant = z.number().nonnegative().transform(Math.round);

/**
 * A number that becomes text must be the one that was written: past 2^53 whole numbers are rounded when they are read, and nobody would see it.
 * Others are kept; "1.10" is the number 1.1, as it is in JSON.
 */
export function isAsWritten(value: number): boolean {
  return !Number.isInteger(value) || Number.isSafeInteger(value);
}
export const asWrittenForm = "is too large to be kept as a number: write it in quotes";

export const nameShape = z
  .string()
  .min(1, "must not be empty")
  .max(limits.nameLength, `must not be longer than ${limits.nameLength} characters`);

/** A map is looked at as a whole even where something is wrong in it: every problem is told at once. */
export const whenMap = {
  when: ({ value }: { readonly value: unknown }) => typeof value === "object" && value !== null,
};

/** Under which a request is repeated. */
export const idempotencyKey = z
  .string({ error: "must be text" })
  .min(1, "must not be empty")
  .max(limits.idempotencyKeyLength, `must be at most ${limits.idempotencyKeyLength} characters`);

/** Of a job, a node or a template. */
export const labelsShape = z
  .record(z.string(), z.string({ error: "a label's value is text" }))
  .superRefine((labels, context) => {
    const entries = Object.entries(labels).filter(([, value]) => typeof value === "string");
    if (entries.length > limits.labelsPerThing) {
      context.addIssue({ code: "custom", message: `at most ${limits.labelsPerThing} labels` });
    }
    for (const [key, value] of entries) {
      if (!isLabel(key, value) || key.length > limits.labelLength || value.length > limits.labelLength) {
        context.addIssue({
          code: "custom",
          path: [key],
          message: `not a label: letters, digits and -_./ only, at most ${limits.labelLength} characters`,
        });
      }
    }
  }, whenMap);

/** Named amounts as the log has them: every problem at its name. */
export function resourcesShape(most: number) {
  return z.record(z.string(), z.number()).superRefine((resources, context) => {
    if (Object.keys(resources).length > most)
      context.addIssue({ code: "custom", message: `at most ${most} resources` });
    for (const [name, amount] of Object.entries(resources)) {
      if (!isResourceName(name)) context.addIssue({ code: "custom", path: [name], message: resourceNameForm });
      else if (!isAmount(name, amount))
        context.addIssue({
          code: "custom",
          path: [name],
          message: "must be a number from 0 on, of at most three decimals",
        });
    }
  });
}

/** What a node says of itself, but for its name. Addresses are "" until it listens. */
export const announcementFields = {
  incarnation: z.string().min(1).max(100),
  api: z.string().max(300),
  peer: z.string().max(300).refine(isPeerAddress, "must be HOST:PORT"),
  labels: labelsShape,
  slots: z.number().int().min(0).max(1_000_000),
  ioTasks: z.number().int().min(0).max(1_000_000),
  /** Left out below resourceLevel. */
  resources: resourcesShape(limits.resourcesPerNode).exactOptional(),
  /** Left out below scheduleLevel. */
  zones: z.string().max(100).exactOptional(),
  level: z.number().int().positive(),
  version: z.string().max(100),
};

export const newNodeShape = z.strictObject({ name: nameShape, ...announcementFields });
export type NewNode = z.output<typeof newNodeShape>;

/** A token as the log may hold it: the hash of its secret alone (K1). */
export const newTokenShape = z.strictObject({
  id: z.string().min(1).max(64),
  hash: z.string().min(1).max(128),
  name: nameShape,
});
export type NewToken = z.output<typeof newTokenShape>;

export const secretNameForm = `a secret's name has letters, digits and ._- only, begins with a letter or digit, and has at most ${limits.secretNameLength} characters`;
export const secretName = z
  .string({ error: secretNameForm })
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, secretNameForm)
  .max(limits.secretNameLength, secretNameForm);

/** A secret's value as the log may hold it: nonce, ciphertext and tag (K1). */
export const sealedShape = z.custom<Uint8Array>(
  (value) => value instanceof Uint8Array && value.length > 28 && value.length <= 28 + limits.secretBytes,
  "must be an encrypted value",
);

export const roleShape = z.enum(["viewer", "operator", "admin"]);

/** How certificates are named: the first half of their SHA-256. */
export const fingerprintShape = z.string().regex(/^[0-9a-f]{32}$/, "must be 32 hexadecimal digits");
/** PEM, public. */
export const certificateShape = z
  .string()
  .max(limits.certificateBytes)
  .regex(
    /^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+\n-----END CERTIFICATE-----\n?$/,
    "must be one certificate in PEM",
  );

/** What asks for a token by the key of a member's certificate; see node/recover-token.ts. */
export const tokenRecoveryShape = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{12}$/),
  hash: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  name: nameShape,
  role: roleShape,
  expiresAt: endShape,
  certificate: certificateShape,
  /** Made with the certificate's key over all of it, base64url. */
  proof: z.string().max(100),
});
export type TokenRecovery = z.output<typeof tokenRecoveryShape>;

/** [task, attempt] */
export const taskAttempt = z.tuple([count, z.number().int().positive()]);

/** The file of a pack of logs (executor/pack-record.ts): part of a path on other nodes, so nothing else comes through. */
export const packShape = z.string().regex(/^[gnc][0-9a-z]{8,12}-[0-9a-f]{8}\.pack$/, "must be the name of a pack");
