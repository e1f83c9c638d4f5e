/** croner behind epoch milliseconds: it takes and gives Date, which nothing else of ours may. */
import { Cron } from "croner";
import { zoneNamed } from "./calendar-zones.ts";

/** Years 1970 to 9999: what lies outside has no instant. */
const lastMs = 253_402_300_799_999;

/** A plain expression (cron-fields.ts) in a zone. */
export class CronCalendar {
  readonly #cron: Cron;

  /** Throws what croner has against the expression, or that this host's data lack the zone; what is asked later never throws. */
  constructor(plain: string, tz: string) {
    if (zoneNamed(tz) === undefined)
      throw new RangeError(`there is no time zone "${tz}" in the zones' data of this host`);
    // "no-wildcard": what names its second, minute and hour is of fixed time, lists and ranges of them as well, as in Vixie's cron.
    this.#cron = new Cron(plain, { timezone: tz, fixedTimeRule: "no-wildcard" });
  }

  /** The first instant after that one; undefined: there is none any more. */
  next(afterMs: number): number | undefined {
    if (afterMs >= lastMs) return undefined;
    return this.#cron.nextRun(new Date(Math.max(0, afterMs)))?.getTime();
  }

  /** The last instant before that one. */
  previous(beforeMs: number): number | undefined {
    if (beforeMs <= 0) return undefined;
    const found = this.#cron.previousRuns(1, new Date(Math.min(beforeMs, lastMs)))[0]?.getTime();
    return found === undefined || found < 0 ? undefined : found;
  }
}
