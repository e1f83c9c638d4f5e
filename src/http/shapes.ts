import { z } from "zod";
import { parseInstant } from "../lib/calendar.ts";
import { limits } from "../lib/limits.ts";
import { formatDuration, parseDuration } from "../lib/units.ts";
import { askedStates } from "../state/types.ts";

/** Shapes of query parameters and of the bodies of queries. All come as text and leave as what the code works with. */

/** A duration as text -> milliseconds, from `minMs` to `maxMs`. */
export function duration(maxMs: number, minMs = 0): z.ZodType<number, string> {
  return z.string({ error: durationForm }).transform((text, context) => {
    const ms = parseDuration(text);
    if (ms === undefined) context.addIssue({ code: "custom", message: `"${text}" is not a duration: ${durationForm}` });
    else if (ms > maxMs) context.addIssue({ code: "custom", message: `must be at most ${formatDuration(maxMs)}` });
    else if (ms < minMs) context.addIssue({ code: "custom", message: `must be at least ${formatDuration(minMs)}` });
    else return ms;
    return z.NEVER;
  });
}
const durationForm = `write text with units, like "30s" or "1h30m"`;

/** A whole number as digits. */
export function whole(low: number, high: number): z.ZodType<number, string> {
  return z.string().transform((text, context) => {
    const value = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= low && value <= high) return value;
    context.addIssue({ code: "custom", message: `must be a whole number from ${low} to ${high}` });
    return z.NEVER;
  });
}

/** `?follow`, `?follow=true` and `?follow=1` are true. */
export const flag = z
  .enum(["", "true", "1", "false", "0"], { error: "must be true or false" })
  .transform((text) => text !== "false" && text !== "0");

/** An instant (RFC 3339) -> epoch ms. */
export const instant: z.ZodType<number, string> = z.string().transform((text, context) => {
  const epochMs = parseInstant(text);
  if (epochMs !== undefined) return epochMs;
  context.addIssue({ code: "custom", message: `"${text}" is not a time: write it like "2026-12-01T02:00:00Z"` });
  return z.NEVER;
});

/** An instant, or how long ago -> epoch ms. */
export const since: z.ZodType<number, string> = z.string().transform((text, context) => {
  const backMs = parseDuration(text);
  if (backMs !== undefined) return Date.now() - backMs;
  const at = instant.safeParse(text);
  if (at.success) return at.data;
  context.addIssue({
    code: "custom",
    message: 'must be a time like "2026-12-01T02:00:00Z", or how long ago, like "2h"',
  });
  return z.NEVER;
});

/** Which tasks: "unreachable" are those that have failed because their host could not be reached. */
export const askedState = z.enum(askedStates, { error: `must be one of ${askedStates.join(", ")}` });

/** The opaque `next` of a page. */
export const next = z.string().max(200).optional();

export const pageLimit = whole(1, limits.listMax).optional();

/** What every read takes. */
export const consistency = z
  .enum(["linearizable", "stale"], { error: 'must be "linearizable" or "stale"' })
  .default("linearizable");
