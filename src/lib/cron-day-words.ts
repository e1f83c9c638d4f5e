/** The days of a plain cron expression in words. Where both day and weekday are limited, either is enough: what most people take for "and" is said here. */
import { monthNames } from "./cron-fields.ts";

const weekdayNames = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(" ");

/** `on the 1st or on Friday, in January`; "" for every day. */
export function dayWords(day: string, month: string, weekday: string, year: string): string {
  const isBoth = weekday.startsWith("+");
  const named = weekday.replace("+", "");
  // A star in a list is all of it; where either is enough, that is every day.
  const isEvery = !isBoth && [day, named].some((field) => field !== "*" && isAll(field));
  const days = isEvery || isAll(day) ? "" : `on ${list(day, dayTerm)}`;
  const weekdays = isEvery || isAll(named) ? "" : list(named, weekdayTerm);
  const either = isBoth ? `${days} if that is ${weekdays}` : `${days} or on ${weekdays}`;
  return [
    days !== "" && weekdays !== "" ? either : days !== "" ? days : weekdays === "" ? "" : `on ${weekdays}`,
    isAll(month) ? "" : `in ${list(month, (term) => spanTerm(term, "month", "January", (at) => monthNames[at - 1]!))}`,
    isAll(year) ? "" : `in ${list(year, (term) => spanTerm(term, "year", "1970", String))}`,
  ]
    .filter((part) => part !== "")
    .join(", ");
}

/** Whether a field lets through whatever there is. */
export function isAll(field: string): boolean {
  return field.split(",").some((term) => term === "*" || term === "*/1");
}

function dayTerm(term: string): string {
  if (term === "L") return "the last day of the month";
  if (term === "LW") return "the last working day of the month";
  if (term.endsWith("W")) return `the working day nearest to the ${ordinal(Number.parseInt(term, 10))}`;
  return spanTerm(term, "day", "the 1st", (at) => `the ${ordinal(at)}`);
}

function weekdayTerm(term: string): string {
  const [first, nth] = term.split("#");
  const name = weekdayNames[Number.parseInt(first!, 10)];
  if (nth !== undefined) return `the ${ordinal(Number(nth))} ${name} of the month`;
  if (term.endsWith("L")) return `the last ${name} of the month`;
  return spanTerm(term, "day of the week", "Sunday", (at) => weekdayNames[at]!);
}

/** Values, ranges and steps. */
function spanTerm(term: string, unit: string, lowest: string, nameOf: (value: number) => string): string {
  const [span, step] = term.split("/");
  const [from, to] = span!.split("-");
  const each = step === undefined || step === "1" ? undefined : `every ${ordinal(Number(step))} ${unit} from`;
  if (from === "*") return `${each} ${lowest}`;
  const names = to === undefined ? nameOf(Number(from)) : `${nameOf(Number(from))} to ${nameOf(Number(to))}`;
  return each === undefined ? names : `${each} ${names}`;
}

function list(field: string, words: (term: string) => string): string {
  const terms = field.split(",").map(words);
  return terms.length === 1 ? terms[0]! : `${terms.slice(0, -1).join(", ")} and ${terms.at(-1)}`;
}

/** 1st, 2nd, 13th. */
export function ordinal(value: number): string {
  const tens = value % 100;
  const end = tens > 10 && tens < 14 ? "th" : (["th", "st", "nd", "rd"][value % 10] ?? "th");
  return `${value}${end}`;
}
