/** Which zone data this process computes with. */
import { parseInstant } from "./calendar.ts";
import { offsetChanges } from "./calendar-zones.ts";
import { sha256Of } from "./digest.ts";

const from = parseInstant("2026-01-01T00:00:00Z")!;
const to = parseInstant("2031-01-01T00:00:00Z")!;
let version: string | undefined;

/**
 * `2026b 3f9a02c1`: the version that the runtime tells (of the zone data, or of the library that has it within) and a digest of all changes of clocks in five
 * years, because the data may be the system's. Nodes with other ones may give one schedule other instants.
 */
export function zoneDataVersion(): string {
  if (version !== undefined) return version;
  const { tz, icu } = process.versions as Readonly<Record<string, string | undefined>>;
  const changes = Intl.supportedValuesOf("timeZone").map((zone) => [zone, offsetChanges(from, to, zone)]);
  const told = tz ?? (icu === undefined ? "unknown" : `icu-${icu}`);
  version = `${told} ${sha256Of(JSON.stringify(changes)).slice(0, 8)}`;
  return version;
}
