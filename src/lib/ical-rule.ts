import { shorten } from "./ical-lines.ts";

/** How an event repeats (RRULE of RFC 5545). ical-walk.ts finds when. */
export interface Rule {
  readonly frequency: Frequency;
  readonly interval: number;
  readonly count?: number;
  /** As it is written. */
  readonly until?: string;
  readonly seconds?: readonly number[];
  readonly minutes?: readonly number[];
  readonly hours?: readonly number[];
  /** `nth`: of the month or year, from its end if negative; 0: each. `day`: 0 is Monday. */
  readonly weekdays?: readonly { readonly nth: number; readonly day: number }[];
  /** Negative: from the end. The same of days of the year, weeks and positions. */
  readonly monthDays?: readonly number[];
  readonly yearDays?: readonly number[];
  readonly weeks?: readonly number[];
  readonly months?: readonly number[];
  /** Of all times of a period, these. */
  readonly positions?: readonly number[];
  /** 0: weeks begin on Monday. */
  readonly weekStart: number;
}

const frequencies = ["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"] as const;
type Frequency = (typeof frequencies)[number];
const days = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

/** Lists of numbers: from and to, and whether they may count from the end. */
const lists = {
  BYSECOND: ["seconds", 0, 60, false],
  BYMINUTE: ["minutes", 0, 59, false],
  BYHOUR: ["hours", 0, 23, false],
  BYMONTHDAY: ["monthDays", 1, 31, true],
  BYYEARDAY: ["yearDays", 1, 366, true],
  BYWEEKNO: ["weeks", 1, 53, true],
  BYMONTH: ["months", 1, 12, false],
  BYSETPOS: ["positions", 1, 366, true],
} as const;

/** Where a part may not stand. */
const notWith: Readonly<Record<string, readonly Frequency[]>> = {
  BYMONTHDAY: ["WEEKLY"],
  BYYEARDAY: ["DAILY", "WEEKLY", "MONTHLY"],
  BYWEEKNO: ["MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"],
};

type Draft = { -readonly [Key in keyof Rule]?: Rule[Key] };

/** The rule of a text, or everything that is wrong with it. */
export function readRule(text: string): Rule | readonly string[] {
  const problems: string[] = [];
  const seen = new Set<string>();
  const draft: Draft = {};
  for (const part of text.split(";")) {
    if (part.trim() === "") continue;
    const at = part.indexOf("=");
    const key = part.slice(0, at).trim().toUpperCase();
    const value = part
      .slice(at + 1)
      .trim()
      .toUpperCase();
    if (at < 1) problems.push(`"${shorten(part)}" is not of the form KEY=VALUE`);
    else if (seen.has(key)) problems.push(`${key} is there twice`);
    else {
      const wrong = readPart(draft, key, value);
      if (wrong !== undefined) problems.push(wrong);
    }
    seen.add(key);
  }
  const { frequency, weekdays } = draft;
  if (!seen.has("FREQ")) problems.push("FREQ is missing: how often it repeats, as FREQ=DAILY");
  if (draft.count !== undefined && draft.until !== undefined)
    problems.push("COUNT and UNTIL do not go together: leave one of them out");
  if (draft.positions !== undefined && ![...seen].some((key) => key.startsWith("BY") && key !== "BYSETPOS"))
    problems.push("BYSETPOS chooses among what another part gives, and there is none");
  if (frequency !== undefined) {
    for (const [key, those] of Object.entries(notWith))
      if (seen.has(key) && those.includes(frequency)) problems.push(`${key} does not go with FREQ=${frequency}`);
    const isCounted = weekdays?.some(({ nth }) => nth !== 0) === true;
    if (isCounted && frequency !== "MONTHLY" && frequency !== "YEARLY")
      problems.push(`BYDAY with numbers does not go with FREQ=${frequency}`);
    else if (isCounted && draft.weeks !== undefined) problems.push("BYDAY with numbers does not go with BYWEEKNO");
  }
  if (problems.length > 0 || frequency === undefined) return problems;
  return { interval: 1, weekStart: 0, ...draft, frequency };
}

function readPart(draft: Draft, key: string, value: string): string | undefined {
  if (key in lists) {
    const [field, least, most, mayBeNegative] = lists[key as keyof typeof lists];
    const numbers: number[] = [];
    for (const item of value.split(",")) {
      const number = /^[+-]?\d{1,3}$/.test(item) ? Number(item) : Number.NaN;
      const size = mayBeNegative ? Math.abs(number) : number;
      if (!(size >= least && size <= most))
        return `${key}: "${shorten(item)}" is no number from ${least} to ${most}${mayBeNegative ? ", or from the end with a minus" : ""}`;
      numbers.push(number);
    }
    draft[field] = [...new Set(numbers)];
    return undefined;
  }
  switch (key) {
    case "FREQ": {
      const frequency = frequencies.find((one) => one === value);
      if (frequency === undefined) return `FREQ is one of ${frequencies.join(", ")}`;
      draft.frequency = frequency;
      return undefined;
    }
    case "INTERVAL":
    case "COUNT": {
      const number = /^\d{1,9}$/.test(value) ? Number(value) : 0;
      if (number < 1) return `${key}: "${shorten(value)}" is no whole number from 1 on`;
      draft[key === "COUNT" ? "count" : "interval"] = number;
      return undefined;
    }
    case "UNTIL":
      draft.until = value;
      return undefined;
    case "WKST":
      draft.weekStart = days.indexOf(value);
      return draft.weekStart === -1 ? `WKST is one of ${days.join(", ")}` : undefined;
    case "BYDAY": {
      const weekdays: { nth: number; day: number }[] = [];
      for (const item of value.split(",")) {
        const found = /^([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)$/.exec(item);
        const nth = Number(found?.[1] ?? 0);
        if (found === null || Math.abs(nth) > 53 || (found[1] !== undefined && nth === 0))
          return `BYDAY: "${shorten(item)}" is no day: ${days.join(", ")}, with a number before it for the first or last ones: 1MO, -1FR`;
        weekdays.push({ nth, day: days.indexOf(found[2]!) });
      }
      draft.weekdays = weekdays;
      return undefined;
    }
    case "RSCALE":
      return value === "GREGORIAN" ? undefined : `RSCALE=${shorten(value)}: only the Gregorian calendar is known here`;
    default:
      return `there is no part ${shorten(key)}`;
  }
}
