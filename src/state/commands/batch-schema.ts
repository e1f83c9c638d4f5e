import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import type { Rolling } from "../types.ts";
import { duration } from "./duration-schema.ts";

/** `batch` as people write it, and as a spec of the log has it (state/rolling.ts). */

const sizeForm = `must be a number of tasks, or a share like "10%"`;
const share = /^\d{1,3}(\.\d+)?%$/;

const size = z.union(
  [
    z
      .int(`must be a whole number from 1 to ${limits.arrayTasks}`)
      .min(1, "must be at least 1")
      .max(limits.arrayTasks, `must be at most ${limits.arrayTasks}`),
    z.string().refine(isShare, sizeForm),
  ],
  { error: sizeForm },
);

function isShare(text: string): boolean {
  return share.test(text) && Number.parseFloat(text) > 0 && Number.parseFloat(text) <= 100;
}

const sizes = z
  .array(size)
  .min(1, "must name a size")
  .max(limits.batchSizes, `at most ${limits.batchSizes} sizes: the last one is that of all batches that follow`);

const form = `must be a size like 10 or "10%", a list of sizes, or a map like {sizes: [1, "10%"], pause: 30s, approve: true}`;

const between = z
  .strictObject({
    sizes,
    pause: duration({ positive: true }).optional(),
    approve: z.boolean({ error: "must be true or false" }).optional(),
  })
  .transform(({ sizes: list, pause, approve }): Rolling => ({
    sizes: list,
    ...(pause === undefined ? {} : { pauseMs: pause }),
    ...(approve === true ? { approve } : {}),
  }));

const sizeJson = {
  anyOf: [
    { type: "integer", minimum: 1 },
    { type: "string", pattern: share.source },
  ],
} as const;
const sizesJson = { type: "array", items: sizeJson, minItems: 1, maxItems: limits.batchSizes } as const;

/** A size, a list of sizes, or a map of them and what is between two batches: which of these is meant is seen first, so that every problem has its path. */
export const batchField = z
  .unknown()
  .meta({
    anyOf: [
      ...sizeJson.anyOf,
      sizesJson,
      {
        type: "object",
        properties: { sizes: sizesJson, pause: { type: "string" }, approve: { type: "boolean" } },
        required: ["sizes"],
        additionalProperties: false,
      },
    ],
  })
  .transform((raw, context): Rolling | undefined => {
    if (raw === undefined) return undefined;
    const read = readerOf(raw)?.safeParse(raw);
    if (read?.success === true) return read.data;
    if (read === undefined) context.addIssue({ code: "custom", message: form });
    else for (const issue of read.error.issues) context.issues.push({ ...issue, input: raw } as z.core.$ZodRawIssue);
    return z.NEVER;
  });

function readerOf(raw: unknown): z.ZodType<Rolling> | undefined {
  if (Array.isArray(raw)) return sizes.transform((list): Rolling => ({ sizes: list }));
  if (typeof raw === "object" && raw !== null) return between;
  if (typeof raw === "string" || typeof raw === "number") return size.transform((one): Rolling => ({ sizes: [one] }));
  return undefined;
}

/** Of a spec in the log. */
export const normalisedBatch = z.strictObject({
  sizes: z
    .array(z.union([z.int().min(1).max(limits.arrayTasks), z.string().refine(isShare)]))
    .min(1)
    .max(limits.batchSizes),
  pauseMs: z.int().positive().exactOptional(),
  approve: z.literal(true).exactOptional(),
});
