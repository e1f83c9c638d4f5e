import { formatInstant } from "../lib/calendar.ts";
import type { Timing } from "../lib/schedule-timing.ts";
import { formatDuration } from "../lib/units.ts";
import { type Definition, scheduleDefaults } from "./schedules.ts";
import { renderSpec } from "./spec.ts";

/** A schedule as people write it: durations and times as text, every default said. Setting it again changes nothing. */
export function renderSchedule(name: string, definition: Definition, paused: boolean): Record<string, unknown> {
  const { description, rules, overlap, limit, labels, tags, owner, history, job, template, params } = definition;
  const { timing, jitterMs, missed, catchUpMs, missedMost, calendars } = rules;
  const isAll = missed === "all";
  const written = {
    name,
    description,
    ...renderTiming(timing),
    jitter: jitterMs === undefined ? undefined : formatDuration(jitterMs),
    missed: missed ?? scheduleDefaults.missed,
    catch_up: formatDuration(catchUpMs ?? scheduleDefaults.catchUpMs),
    missed_most: isAll ? (missedMost ?? scheduleDefaults.missedMost) : undefined,
    overlap: overlap ?? scheduleDefaults.overlap,
    paused,
    limit,
    labels,
    tags,
    owner,
    history: history ?? scheduleDefaults.history,
    calendars: calendars?.map((one) => (one.only === true ? `only:${one.name}` : one.name)),
    job: job === undefined ? undefined : renderSpec(job),
    template,
    params,
  };
  return Object.fromEntries(Object.entries(written).filter(([, value]) => value !== undefined));
}

function renderTiming({ cron, everyMs, at, tz, start, end }: Timing): Record<string, string | undefined> {
  return {
    cron,
    every: everyMs === undefined ? undefined : formatDuration(everyMs),
    at: at === undefined ? undefined : formatInstant(at),
    tz,
    start: start === undefined ? undefined : formatInstant(start),
    end: end === undefined ? undefined : formatInstant(end),
  };
}
