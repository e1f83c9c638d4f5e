import { z } from "zod";

/** What the API says of schedules, for the documents (OpenAPI). */

const instant = z.string().describe("RFC 3339, UTC");

const noNext = z
  .object({
    reason: z
      .enum(["paused", "ended", "shut", "far"])
      .describe(
        "shut: its calendars let none of those fire that it has left; far: nor those before looked_until, and further ones were not looked at.",
      ),
    message: z.string(),
    looked_until: instant.optional(),
  })
  .optional();

/** As lists have it. */
const schedule = {
  name: z.string(),
  description: z.string().optional(),
  cron: z.string().optional(),
  every: z.string().optional(),
  at: instant.optional(),
  tz: z.string(),
  start: instant.optional(),
  end: instant.optional(),
  jitter: z.string().optional(),
  missed: z.enum(["latest", "all", "skip"]),
  catch_up: z.string(),
  missed_most: z.int().optional(),
  overlap: z.enum(["skip", "queue", "queue_all", "replace", "allow"]),
  paused: z.boolean().describe("By itself."),
  limit: z.int().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  tags: z.array(z.string()).optional(),
  owner: z.string().optional(),
  history: z.int(),
  calendars: z.array(z.string()).optional(),
  template: z.string().optional(),
  params: z.record(z.string(), z.unknown()).optional(),
  id: z.int(),
  revision: z.int().describe("The log's index of its last change."),
  state: z.enum(["active", "paused", "ended"]),
  mesh_paused: z.boolean().describe("All schedules are paused together."),
  runs: z
    .int()
    .describe("Jobs of its instants since it was set, which limit counts; not those that were fired by hand."),
  next: instant.nullable().describe("When it fires next, jitter and calendars counted; null: no_next says why."),
  no_next: noNext,
  last: z
    .object({ at: instant, job: z.int().nullable(), state: z.string().nullable() })
    .nullable()
    .describe(
      "Its newest instant that was to make a job: which one, and how that fares; job null, state refused: it could not be made.",
    ),
  failing: z
    .int()
    .describe("How many instants in a row came to a job that failed, or to none that could be made (refused)."),
  set_at: instant,
  set_by: z.string(),
  node: z.int().nullable().describe("The member that works it out."),
};

const job = z.record(z.string(), z.unknown()).optional();

/** GET /v1/schedules */
export const schedulesAnswer = z.object({
  schedules: z.array(z.object({ ...schedule, job: job.describe("A job spec; with jobs=true.") })),
  next: z.string().optional(),
});

/** GET /v1/schedules/:schedule */
export const scheduleAnswer = z.object({
  ...schedule,
  job: job.describe("A job spec."),
  upcoming: z.array(
    z.object({
      at: instant,
      due: instant.optional().describe("With a jitter: when it fires."),
      local: z.string(),
      note: z.string().optional(),
    }),
  ),
  upcoming_end: noNext.describe("Why there are fewer than five."),
});

/** GET /v1/schedules/:schedule/fires */
export const firesAnswer = z.object({
  fires: z.array(
    z.object({
      at: instant.describe("The instant, or the first one of a run without jobs."),
      until: instant.optional().describe("The last one of the run."),
      count: z.int().optional().describe("Of how many instants; absent: one."),
      at_least: z.boolean().optional().describe("There are more, which were not counted to the end."),
      fired_at: instant.optional(),
      lag_ms: z.int().optional().describe("How much later than its instant and its jitter."),
      job: z.int().optional(),
      state: z.string().optional().describe("How its job ended, or what it does now."),
      reason: z.enum(["missed", "overlap", "paused", "window", "limit", "refused"]).optional(),
      message: z.string().optional(),
    }),
  ),
  next: z.string().optional(),
});

/** Of one that was set. */
export const setAnswer = z.object({ name: z.string(), id: z.int(), revision: z.int(), changed: z.boolean() });
