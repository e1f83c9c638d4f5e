import { formatInstant } from "../lib/calendar.ts";
import { formatRanges } from "../lib/ranges.ts";
import type { Change } from "../state/types.ts";

/** A change in the spelling of the API. Tasks of a unit that ended are listed as people list them: "0-99,105". */
export function changeView(change: Change): Record<string, unknown> {
  const { topic: _, ...rest } = change;
  if (rest.kind === "unit-ended") {
    const { ms: _ms, tasks, ...ended } = rest;
    return {
      ...ended,
      tasks: formatRanges(tasks.map(([first, count]) => ({ first, last: first + count - 1, step: 1 }))),
    };
  }
  if (rest.kind === "fired") {
    const { at, lagMs, ...fired } = rest;
    return { ...fired, at: formatInstant(at), lag_ms: lagMs };
  }
  if (rest.kind === "skipped") {
    const { at, until, count, ...skipped } = rest;
    const isMore = count < 0 ? { at_least: true } : {};
    return { ...skipped, at: formatInstant(at), until: formatInstant(until), count: Math.abs(count), ...isMore };
  }
  if (!("notBefore" in rest)) return rest;
  const { notBefore, unit: _unit, ms: _ms, ...ended } = rest;
  return ended.state === "queued" ? { ...ended, not_before: formatInstant(notBefore) } : ended;
}
