/** Run in a process of its own, because a process has one zone: `bun cron-walk.ts JSON` prints the first instants of each case of a list. */
import { formatInstant, parseInstant } from "../../src/lib/calendar.ts";
import { instantsOf } from "../../src/lib/schedule-timing.ts";
import { zoneDataVersion } from "../../src/lib/zone-data.ts";

export interface WalkCase {
  readonly cron: string;
  readonly tz: string;
  readonly from: string;
  readonly count: number;
}

/** The first instants after `from`, as `03-08 07:00` in UTC. */
export function walk({ cron, tz, from, count }: WalkCase): string[] {
  const instants = instantsOf({ cron, tz }, "nightly");
  const found: string[] = [];
  for (let at = instants.after(parseInstant(from)!); at !== undefined && found.length < count; at = instants.after(at))
    found.push(formatInstant(at).slice(5, 19).replace("T", " ").replace(/:00$/, ""));
  return found;
}

if (import.meta.main) {
  const cases = JSON.parse(process.argv[2]!) as readonly WalkCase[];
  console.log(
    JSON.stringify({
      zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      data: zoneDataVersion(),
      walks: cases.map((one) => walk(one)),
    }),
  );
}
