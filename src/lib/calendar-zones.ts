/** Time zones by Intl and Temporal, in epoch milliseconds. */
import { formatInstant } from "./calendar.ts";
import { distance } from "./distance.ts";
import { memoOfTexts } from "./memo.ts";

// "" for what is none.
const spelled = memoOfTexts((name) => {
  if (!/^[A-Za-z]/.test(name)) return "";
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return "";
  }
});

/** A zone's name as the zone data spells it ("europe/berlin" -> "Europe/Berlin"), or undefined when there is no such zone. Offsets (+02:00) are no zones. */
export function zoneNamed(name: string): string | undefined {
  return spelled(name) || undefined;
}

/** Zones that are written almost like this, the likeliest first. */
export function zonesLike(name: string, most = 3): string[] {
  const written = name.toLowerCase();
  const place = written.split("/").at(-1)!;
  const scored = Intl.supportedValuesOf("timeZone").map((zone): [number, string] => {
    const whole = zone.toLowerCase();
    return [Math.min(distance(written, whole), distance(place, whole.split("/").at(-1)!) + 0.5), zone];
  });
  const least = Math.min(...scored.map(([far]) => far));
  if (least > 2.5) return [];
  return scored
    .filter(([far]) => far <= least + 0.5)
    .toSorted(([a], [b]) => a - b)
    .slice(0, most)
    .map(([, zone]) => zone);
}

/** Local time ahead of UTC, in milliseconds. */
export function offsetAt(epochMs: number, tz: string): number {
  return zoned(epochMs, tz).offsetNanoseconds / 1e6;
}

/** A moment at which clocks are set, with their offsets. */
export interface OffsetChange {
  readonly atMs: number;
  readonly beforeMs: number;
  readonly afterMs: number;
}

/** Those after `from` up to `to`, `to` itself counted. */
export function offsetChanges(from: number, to: number, tz: string): OffsetChange[] {
  const found: OffsetChange[] = [];
  let next = zoned(Math.floor(from), tz).getTimeZoneTransition("next");
  for (; next !== null && next.epochMilliseconds <= to; next = next.getTimeZoneTransition("next")) {
    const atMs = next.epochMilliseconds;
    const change = { atMs, beforeMs: offsetAt(atMs - 1, tz), afterMs: offsetAt(atMs, tz) };
    if (change.beforeMs !== change.afterMs) found.push(change);
  }
  return found;
}

function zoned(epochMs: number, tz: string): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochMilliseconds(epochMs).toZonedDateTimeISO(tz);
}

// English has words for the zones of its own countries only, in the English of each.
const nameForms = memoOfTexts(
  (tz) => ["en-US", "en-GB", "en-AU", "en-ZA", "en-IN", "en-NZ"].map((english) => nameForm(tz, english)),
  { entries: 64 },
);

/** For people: `2026-03-08 03:00 EDT (UTC-04:00)`, with seconds where there are any. */
export function formatInZone(epochMs: number, tz: string): string {
  const offset = offsetAt(epochMs, tz);
  const names = nameForms(tz).map((form) => zonePart(form, epochMs));
  const name = names.find((one) => !/[\d+-]/.test(one) && one !== "UTC" && one !== "GMT");
  const local = formatInstant(epochMs + offset);
  const seconds = local.slice(16, 23) === ":00.000" ? "" : local.slice(16, 23).replace(".000", "");
  return `${local.slice(0, 10)} ${local.slice(11, 16)}${seconds} ${name === undefined ? offsetText(offset) : `${name} (${offsetText(offset)})`}`;
}

/** `UTC-04:00`, or `UTC`. */
function offsetText(offsetMs: number): string {
  if (offsetMs === 0) return "UTC";
  const size = formatInstant(Math.abs(offsetMs)).slice(11, 19).replace(/:00$/, "");
  return `UTC${offsetMs < 0 ? "-" : "+"}${size}`;
}

function nameForm(tz: string, english: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat(english, { timeZone: tz, timeZoneName: "short" });
}

function zonePart(form: Intl.DateTimeFormat, epochMs: number): string {
  return form.formatToParts(epochMs).find(({ type }) => type === "timeZoneName")!.value;
}
