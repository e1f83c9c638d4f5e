import type { Duration, JobSpec } from "./job-spec.ts";

/** A schedule as people write it, in TypeScript: what POST /v1/schedules takes. docs/cron.md says what each key means and its default. */
export interface ScheduleSpec {
  readonly name: string;
  readonly description?: string | undefined;
  /** One of `cron`, `every` and `at`: "30 2 * * MON-FRI", "@hourly". */
  readonly cron?: string | undefined;
  readonly every?: Duration | undefined;
  /** RFC 3339, with its zone: once. */
  readonly at?: string | undefined;
  /** An IANA name; default: UTC. */
  readonly tz?: string | undefined;
  readonly start?: string | undefined;
  readonly end?: string | undefined;
  /** Later by up to that, always by the same for its name. */
  readonly jitter?: Duration | undefined;
  /** What becomes of instants that nobody looked at in time; default: latest. */
  readonly missed?: "latest" | "all" | "skip" | undefined;
  /** What was missed longer ago is never made up; default: 1h. */
  readonly catch_up?: Duration | undefined;
  readonly missed_most?: number | undefined;
  /** When a former job of it is unfinished; default: skip. */
  readonly overlap?: "skip" | "queue" | "queue_all" | "replace" | "allow" | undefined;
  readonly paused?: boolean | undefined;
  /** It ends after so many jobs. */
  readonly limit?: number | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly owner?: string | undefined;
  /** Lines of its history that are kept. */
  readonly history?: number | undefined;
  /** "NAME": not while it is on; "only:NAME": only while it is. */
  readonly calendars?: readonly string[] | undefined;
  /** Its job, or `template` with `params`. */
  readonly job?: Omit<JobSpec, "after" | "start_at"> | undefined;
  readonly template?: string | undefined;
  readonly params?: Readonly<Record<string, unknown>> | undefined;
}
