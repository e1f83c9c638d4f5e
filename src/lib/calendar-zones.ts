/** Time zones by Intl, in epoch milliseconds. */
import { formatInstant } from "./calendar.ts";
import { distance } from "./distance.ts";
import { memoOfTexts } from "./memo.ts";

/** A zone's name as the zone data spells it ("europe/berlin" -> "Europe/Berlin"), or undefined when there is no such zone. Offsets (+02:00) are no zones. */
export function zoneNamed(name: string): string | undefined {
  if (!/^[A-Za-z]/.test(name)) return undefined;
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
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

const offsetForms = memoOfTexts((tz) => partsForm(tz, "en-US", "longOffset"), { entries: 64 });

/** Local time ahead of UTC, in milliseconds. */
export function offsetAt(epochMs: number, tz: string): number {
  const text = zonePart(offsetForms(tz), epochMs);
  const [, sign, hours, minutes, seconds] = /^GMT(?:([+-−])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(text) ?? [];
  const offsetS = Number(hours ?? 0) * 3600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0);
  return (sign === undefined || sign === "+" ? offsetS : -offsetS) * 1000;
}

// English has words for the zones of its own countries only, in the English of each.
const nameForms = memoOfTexts(
  (tz) => ["en-US", "en-GB", "en-AU", "en-ZA", "en-IN", "en-NZ"].map((english) => partsForm(tz, english, "short")),
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

function partsForm(tz: string, english: string, timeZoneName: "short" | "longOffset"): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat(english, { timeZone: tz, timeZoneName });
}

function zonePart(form: Intl.DateTimeFormat, epochMs: number): string {
  return form.formatToParts(epochMs).find(({ type }) => type === "timeZoneName")!.value;
}
