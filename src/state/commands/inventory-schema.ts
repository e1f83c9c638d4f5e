import { z } from "zod";
import { digestLength, digestOfText } from "../../lib/digest.ts";
import { limits } from "../../lib/limits.ts";

/** Also what node sets call it by: `@name:group`. */
export const inventoryName = z
  .string({ error: "must be the name of an inventory" })
  .max(limits.inventoryNameLength, `must not be longer than ${limits.inventoryNameLength} characters`)
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, "must begin with a letter or digit, and hold only these and -_.")
  .refine((name) => name !== "list", "must not be list: @list: stands for the targets of a job");

export const digest = z.string().length(digestLength);

/** A piece and its digest: apply, which has no time to look, trusts that the one names the other (S3). */
export const inventoryPieces = z
  .array(
    z.tuple([digest, z.string().max(limits.inventoryPieceMost)]).refine(([hash, text]) => digestOfText(text) === hash),
  )
  .min(1)
  .refine((pieces) => pieces.reduce((sum, [, text]) => sum + text.length, 0) <= limits.inventoryPutBytes);
