import { z } from "zod";
import { parseDuration } from "../../lib/units.ts";

const yearMs = 366 * 86_400_000;

/** A duration as people write it, as milliseconds: at most a year. */
export function duration(options: { readonly positive?: boolean } = {}): z.ZodType<number, string> {
  return z.string({ error: durationForm }).transform((text, context) => {
    const ms = parseDuration(text);
    if (ms === undefined) context.addIssue({ code: "custom", message: `"${text}" is not a duration: ${durationForm}` });
    else if (options.positive === true && ms === 0)
      context.addIssue({ code: "custom", message: "must be longer than 0" });
    else if (ms > yearMs) context.addIssue({ code: "custom", message: "must not be longer than 366d" });
    else return ms;
    return z.NEVER;
  });
}
const durationForm = `write text with units, like "90s" or "1h30m"`;
