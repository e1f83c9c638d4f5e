import { z } from "zod";
import { readWindow } from "../../lib/calendar-input.ts";
import { isMerged } from "../../lib/calendar-events.ts";
import { limits } from "../../lib/limits.ts";

/** Reads calendars as the log has them (tables/calendar.ts). What people write is read by http/calendars.ts. */

const nameForm = "must begin with a letter or digit, and hold only these and -_.";

export const calendarName = z
  .string({ error: "must be a name" })
  .max(limits.nameLength, `must not be longer than ${limits.nameLength} characters`)
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, nameForm);

export const calendarDescription = z
  .string({ error: "must be text" })
  .max(1000, "must not be longer than 1000 characters");

const instant = z.int().min(-8_640_000_000_000_000).max(8_640_000_000_000_000);

const eventsShape = z.strictObject({
  spans: z
    .array(z.tuple([instant, instant]))
    .max(limits.calendarSpans)
    .refine(isMerged),
  windows: z
    .array(
      z
        .strictObject({
          cron: z.string().max(1000),
          tz: z.string().max(100),
          forMs: z.int().min(1000).max(limits.calendarWindowMs),
        })
        .refine(({ cron, tz }) => "timing" in readWindow({ cron, tz })),
    )
    .max(limits.calendarWindows),
});

/** Events as JSON, no longer than they may be. */
export const eventsText = z
  .string()
  .max(limits.calendarBytes)
  .refine((text) => {
    try {
      return eventsShape.safeParse(JSON.parse(text)).success;
    } catch {
      return false;
    }
  });
