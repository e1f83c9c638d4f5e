/**
 * Times as the clock on a wall shows them: milliseconds since 1970-01-01T00:00 of that clock, so that every day of it is 24 hours long. What repeats "each
 * Monday at nine" is reckoned in them; a zone says when that is.
 */
export const dayMs = 86_400_000;

/** Days since 1970-01-01 of a day of the Gregorian calendar; a month may be past 12, and a day past the end of its month. */
export function dayNumber(year: number, month: number, day: number): number {
  // Years begin in March here, so that the day which some have more is their last.
  const months = year * 12 + month - 3;
  const shifted = Math.floor(months / 12);
  const inYear = Math.floor((153 * (months - shifted * 12) + 2) / 5);
  const leaps = Math.floor(shifted / 4) - Math.floor(shifted / 100) + Math.floor(shifted / 400);
  return shifted * 365 + leaps + inYear + day - 719_469;
}

export interface CivilDay {
  readonly year: number;
  /** 1..12 */
  readonly month: number;
  readonly day: number;
}

/** The day of that number. */
export function civilDay(number: number): CivilDay {
  const shifted = number + 719_468;
  const era = Math.floor(shifted / 146_097);
  const inEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (inEra - Math.floor(inEra / 1460) + Math.floor(inEra / 36_524) - Math.floor(inEra / 146_096)) / 365,
  );
  const inYear = inEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const fromMarch = Math.floor((5 * inYear + 2) / 153);
  const day = inYear - Math.floor((153 * fromMarch + 2) / 5) + 1;
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day };
}

/** How many days a month has. */
export function daysOfMonth(year: number, month: number): number {
  return dayNumber(year, month + 1, 1) - dayNumber(year, month, 1);
}

/** 0: Monday … 6: Sunday. */
export function weekday(number: number): number {
  return (((number + 3) % 7) + 7) % 7;
}

/** What its clocks show when, and when it is what they show. */
export interface Zone {
  /**
   * The instant, epoch ms. A time that clocks leave out is reckoned with what held before they were put forward, so that it is as much later; of a time
   * that they show twice it is the first.
   */
  toEpoch(wallMs: number): number;
  toWall(epochMs: number): number;
}

const known = new Map<string, Zone | undefined>();
/** Names that were asked for: anybody can make some up. */
const mostKnown = 1_000;

/** A zone by its name in IANA's data ("Europe/Berlin"), however it is written; undefined: there is none. */
export function zoneOf(name: string): Zone | undefined {
  if (known.has(name)) return known.get(name);
  const zone = makeZone(name);
  if (known.size >= mostKnown) known.clear();
  known.set(name, zone);
  return zone;
}

function makeZone(name: string): Zone | undefined {
  // Offsets are zones to the engine; here a zone has a name.
  if (!/^[A-Za-z]/.test(name)) return undefined;
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name);
  } catch {
    return undefined;
  }
  return {
    toEpoch(wallMs) {
      const shown = Temporal.Instant.fromEpochMilliseconds(wallMs).toZonedDateTimeISO("UTC").toPlainDateTime();
      return shown.toZonedDateTime(name, { disambiguation: "compatible" }).epochMilliseconds;
    },
    toWall(epochMs) {
      const at = Temporal.Instant.fromEpochMilliseconds(epochMs).toZonedDateTimeISO(name);
      return epochMs + Math.round(at.offsetNanoseconds / 1e6);
    },
  };
}
