import type { Rule } from "./ical-rule.ts";
import { civilDay, dayMs, dayNumber, daysOfMonth, weekday } from "./wall-time.ts";

/**
 * When an event that repeats takes place: RRULE of RFC 5545, in wall time. It goes through periods of the rule's frequency, and in each through the days and
 * times of day that its parts leave. Nothing here takes long without a rest: a rule may have no time at all ("the 30th of February"), or one each second.
 * The libraries that there are (ical.js 2.2, rrule 2.8) look for such a one for ever or for seconds at once, and differ from the standard in what they give.
 */

/** How much may still be looked at, for all rules of a file together; below 0: it was not enough, and what was given is not all. */
export interface Budget {
  left: number;
}

const hourMs = 3_600_000;
const minuteMs = 60_000;
const restEvery = 512;

/**
 * The times, in order, from `start` on, which is the first whatever the rule says; undefined: a rest. Those before `from` may be left out, and it ends after `to`.
 * Gives whether the rule goes on beyond.
 */
export function* walk(
  rule: Rule,
  start: number,
  { from, to }: { readonly from: number; readonly to: number },
  budget: Budget,
): Generator<number | undefined, boolean, undefined> {
  if (start > to) return true;
  yield start;
  let left = (rule.count ?? Infinity) - 1;
  // What is counted has to be gone through from its beginning.
  const candidates = find(complete(rule, start), start, { from: rule.count === undefined ? from : start, to }, budget);
  let sinceRest = 0;
  for (const at of candidates) {
    if (at === undefined) {
      yield undefined;
      continue;
    }
    if ((budget.left -= 2) < 0) return true;
    if (at <= start) continue;
    if (left <= 0) return false;
    if (at > to) return true;
    left -= 1;
    yield at;
    if ((sinceRest += 1) % restEvery === 0) yield undefined;
  }
  return left > 0;
}

/** What the rule leaves to the event's start. */
function complete(rule: Rule, start: number): Rule {
  const number = Math.floor(start / dayMs);
  const { month, day } = civilDay(number);
  const { frequency, weekdays, monthDays, yearDays, weeks, months } = rule;
  if (weekdays !== undefined || monthDays !== undefined || yearDays !== undefined) return rule;
  const ofStart = [{ nth: 0, day: weekday(number) }];
  if (weeks !== undefined || frequency === "WEEKLY") return { ...rule, weekdays: ofStart };
  if (frequency === "YEARLY") return { ...rule, months: months ?? [month], monthDays: [day] };
  return frequency === "MONTHLY" ? { ...rule, monthDays: [day] } : rule;
}

interface Reach {
  readonly from: number;
  readonly to: number;
}
type Found = Generator<number | undefined, void, undefined>;

function find(rule: Rule, start: number, reach: Reach, budget: Budget): Found {
  const { frequency } = rule;
  const isOfDays = frequency !== "HOURLY" && frequency !== "MINUTELY" && frequency !== "SECONDLY";
  return isOfDays ? findByDays(rule, start, reach, budget) : findByTimes(rule, start, reach, budget);
}

/** Periods of a day and more. */
function* findByDays(rule: Rule, start: number, reach: Reach, budget: Budget): Found {
  const times = timesOf(rule, dayMs, start);
  const nth = periodsOf(rule, start);
  for (let at = nth.at(reach.from); ; at++) {
    const [first, count] = nth.days(at);
    if (first * dayMs > reach.to) return;
    const days: number[] = [];
    for (let day = first; day < first + count; day++) {
      // Days of a month that is not meant need no look.
      if (rule.months === undefined || rule.months.includes(civilDay(day).month)) {
        budget.left -= 0.25;
        if (fits(rule, day)) days.push(day);
      }
    }
    if ((budget.left -= 1) < 0) return;
    yield undefined;
    yield* among(
      rule,
      days.length * times.length,
      (place) => days[Math.floor(place / times.length)]! * dayMs + times[place % times.length]!,
    );
  }
}

/** The periods of a rule: which one an instant is in, and what days each has. */
function periodsOf({ frequency, interval, weekStart }: Rule, start: number) {
  const day = Math.floor(start / dayMs);
  const { year, month } = civilDay(day);
  const since = (instant: number): ReturnType<typeof civilDay> => civilDay(Math.floor(instant / dayMs));
  const whole = (units: number): number => Math.max(0, Math.floor(units / interval));
  switch (frequency) {
    case "YEARLY":
      return {
        at: (instant: number) => whole(since(instant).year - year),
        days(at: number): [number, number] {
          const first = dayNumber(year + at * interval, 1, 1);
          return [first, dayNumber(year + at * interval + 1, 1, 1) - first];
        },
      };
    case "MONTHLY":
      return {
        at(instant: number) {
          const there = since(instant);
          return whole((there.year - year) * 12 + there.month - month);
        },
        days(at: number): [number, number] {
          const first = dayNumber(year, month + at * interval, 1);
          return [first, dayNumber(year, month + at * interval + 1, 1) - first];
        },
      };
    default: {
      const length = frequency === "WEEKLY" ? 7 : 1;
      const first = frequency === "WEEKLY" ? day - ((weekday(day) - weekStart + 7) % 7) : day;
      return {
        at: (instant: number) => whole(Math.floor((instant / dayMs - first) / length)),
        days: (at: number): [number, number] => [first + at * interval * length, length],
      };
    }
  }
}

/** Periods of an hour and less. What no day, hour or minute of the rule is in is passed over at once. */
function* findByTimes(rule: Rule, start: number, reach: Reach, budget: Budget): Found {
  const unit = rule.frequency === "HOURLY" ? hourMs : rule.frequency === "MINUTELY" ? minuteMs : 1000;
  const base = Math.floor(start / unit) * unit;
  const step = unit * rule.interval;
  const times = timesOf(rule, unit, start);
  let looked = 0;
  for (let at = Math.max(0, Math.floor((reach.from - base) / step)); ;) {
    const begins = base + at * step;
    if (begins > reach.to || (budget.left -= 1) < 0) return;
    if ((looked += 1) % restEvery === 0) yield undefined;
    const skipped = passedOver(rule, begins);
    if (skipped === undefined) {
      yield* among(rule, times.length, (place) => begins + times[place]!);
      at += 1;
    } else at = Math.max(at + 1, Math.ceil((Math.floor(begins / skipped + 1) * skipped - base) / step));
  }
}

/** The length of what it stands in and is not in the rule, day, hour or minute. */
function passedOver(rule: Rule, begins: number): number | undefined {
  if (!fits(rule, Math.floor(begins / dayMs))) return dayMs;
  const inDay = begins - Math.floor(begins / dayMs) * dayMs;
  if (rule.hours !== undefined && !rule.hours.includes(Math.floor(inDay / hourMs))) return hourMs;
  if (rule.frequency === "HOURLY") return undefined;
  if (rule.minutes !== undefined && !rule.minutes.includes(Math.floor(inDay / minuteMs) % 60)) return minuteMs;
  if (rule.frequency === "MINUTELY" || rule.seconds === undefined) return undefined;
  return rule.seconds.includes(Math.floor(inDay / 1000) % 60) ? undefined : 1000;
}

/** Times within a period of that length, in order. */
function timesOf({ hours, minutes, seconds }: Rule, periodMs: number, start: number): number[] {
  const inDay = start - Math.floor(start / dayMs) * dayMs;
  const own = (list: readonly number[] | undefined, unit: number, round: number): readonly number[] => {
    if (unit >= periodMs) return [0];
    return list?.toSorted((a, b) => a - b) ?? [Math.floor(inDay / unit) % round];
  };
  const times: number[] = [];
  for (const hour of own(hours, hourMs, 24))
    for (const minute of own(minutes, minuteMs, 60))
      for (const second of own(seconds, 1000, 60)) times.push(hour * hourMs + minute * minuteMs + second * 1000);
  return times;
}

/** Of a period's times, numbered from 0, those at the rule's positions. */
function* among({ positions }: Rule, count: number, time: (place: number) => number): Found {
  if (positions === undefined) {
    for (let place = 0; place < count; place++) yield time(place);
    return;
  }
  const places = positions.map((position) => (position > 0 ? position - 1 : count + position));
  for (const place of [...new Set(places)].sort((a, b) => a - b)) if (place >= 0 && place < count) yield time(place);
}

/** Whether the day is one of the rule's. */
function fits(rule: Rule, number: number): boolean {
  const { frequency, weekdays, monthDays, yearDays, weeks, months, weekStart } = rule;
  const { year, month, day } = civilDay(number);
  if (months !== undefined && !months.includes(month)) return false;
  if (monthDays !== undefined && !isAmong(monthDays, day, daysOfMonth(year, month))) return false;
  const inYear = number - dayNumber(year, 1, 1) + 1;
  const yearLength = dayNumber(year + 1, 1, 1) - dayNumber(year, 1, 1);
  if (yearDays !== undefined && !isAmong(yearDays, inYear, yearLength)) return false;
  if (weeks !== undefined) {
    const { week, yearOfWeek } = weekOf(number, weekStart);
    // The 28th of December is in the last week of its year.
    if (!isAmong(weeks, week, weekOf(dayNumber(yearOfWeek, 12, 28), weekStart).week)) return false;
  }
  if (weekdays === undefined) return true;
  const isOfMonth = frequency === "MONTHLY" || months !== undefined;
  const [at, length] = isOfMonth ? [day, daysOfMonth(year, month)] : [inYear, yearLength];
  return weekdays.some(
    (one) =>
      one.day === weekday(number) &&
      (one.nth === 0 || one.nth === Math.ceil(at / 7) || one.nth === -Math.ceil((length - at + 1) / 7)),
  );
}

function isAmong(list: readonly number[], at: number, length: number): boolean {
  return list.includes(at) || list.includes(at - length - 1);
}

/** Weeks of ISO 8601, but for the day they begin on: the first is the one with four days of its year at least. */
function weekOf(number: number, weekStart: number): { readonly week: number; readonly yearOfWeek: number } {
  const middle = number - ((weekday(number) - weekStart + 7) % 7) + 3;
  const { year } = civilDay(middle);
  return { week: Math.floor((middle - dayNumber(year, 1, 1)) / 7) + 1, yearOfWeek: year };
}
