/**
 * Cron expressions as people write them, made plain: checked field by field with every mistake told at once, `H` replaced by what the schedule's name gives,
 * `5/15` by `5-59/15`. What comes out is what croner, and every other cron, reads in the same way.
 */
import { hashedValue, hashedSteps } from "./cron-hash.ts";

/** What one field may hold. */
interface FieldForm {
  readonly name: string;
  readonly low: number;
  readonly high: number;
  /** Where `H` ends when it is no range: every month has a 28th. */
  readonly hashHigh?: number;
  /** Where `5/2` ends: Sunday is 0 already. */
  readonly stepHigh?: number;
  /** Names of values, the first one's value being `low`. */
  readonly names?: readonly string[];
}

const months = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const weekdays = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const second: FieldForm = { name: "second", low: 0, high: 59 };
const five: readonly FieldForm[] = [
  { name: "minute", low: 0, high: 59 },
  { name: "hour", low: 0, high: 23 },
  { name: "day", low: 1, high: 31, hashHigh: 28 },
  { name: "month", low: 1, high: 12, names: months },
  { name: "weekday", low: 0, high: 7, hashHigh: 6, stepHigh: 6, names: weekdays },
];
const year: FieldForm = { name: "year", low: 1970, high: 2099 };

const nicknames: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};

/** The plain expression of one that was written for the schedule of that name, or all that is wrong with it. */
export function plainCron(text: string, name: string): { readonly plain: string } | { readonly mistakes: string[] } {
  const words = text.trim().split(/\s+/);
  const mistake = asAWhole(text.trim(), words);
  if (mistake !== undefined) return { mistakes: [mistake] };
  const nickname = words.length === 1 ? nicknames[words[0]!.toLowerCase()] : undefined;
  if (nickname !== undefined) return { plain: nickname };
  const forms = [...(words.length > 5 ? [second] : []), ...five, ...(words.length === 7 ? [year] : [])];
  const mistakes: string[] = [];
  const fields = forms.map((form, at) =>
    plainField(words[at]!.toUpperCase(), form, name, (what) => mistakes.push(what)),
  );
  const [day, month, weekday] = words.length === 5 ? fields.slice(2) : fields.slice(3);
  if (mistakes.length === 0) mistakes.push(...neverDays(day!, month!, weekday!));
  return mistakes.length === 0 ? { plain: fields.join(" ") } : { mistakes };
}

/** What is wrong with it before any field is looked at. */
function asAWhole(text: string, words: readonly string[]): string | undefined {
  const first = words[0]!.toLowerCase();
  if (text === "") return "is empty: write minute, hour, day, month and weekday, such as 30 2 * * MON-FRI";
  if (first === "@reboot")
    return "@reboot is none here, because a mesh does not boot: begin it in the host's own crontab or as a unit of systemd, or give an interval such as @hourly";
  if (/^(cron_)?tz=/.test(first)) return `"${words[0]}" goes not into the expression: give the zone as tz`;
  if (words.length === 1 && nicknames[first] !== undefined) return undefined;
  if (first.startsWith("@"))
    return `"${text}" is none of @every DURATION, @at INSTANT, ${Object.keys(nicknames).join(", ")}`;
  if (words.length >= 5 && words.length <= 7) return undefined;
  const count = `${words.length} ${words.length === 1 ? "field" : "fields"}`;
  return `"${text}" has ${count}: write 5 (minute hour day month weekday), 6 with the second before them, or 7 with the year after them`;
}

// Value, end of a range, W or L, #, step. JUL ends with no modifier.
const modified = /^(\*|[A-Z0-9]+?)(?:-([A-Z0-9]+?))?(?:(W|L)|#(\w*)|\/(\w*))?$/;
const unmodified = /^(\*|[A-Z0-9]+)(?:-([A-Z0-9]+))?(?:(!)|#(\w*)|\/(\w*))?$/;

type Tell = (mistake: string) => void;

function plainField(text: string, form: FieldForm, name: string, tell: Tell): string {
  const isBoth = form.name === "weekday" && text.startsWith("+");
  const terms = (isBoth ? text.slice(1) : text).split(",");
  if (terms.includes("LW") && terms.length > 1) tell("day LW goes not into a list: it stands alone");
  const plain = terms.map((term) => plainTerm(term, form, name, tell)).join(",");
  return isBoth ? `+${plain}` : plain;
}

function plainTerm(term: string, form: FieldForm, name: string, tell: Tell): string {
  const { low, high } = form;
  const say = (what: string): string => {
    tell(`${form.name} ${what}`);
    return term;
  };
  if (term === "") return say("has nothing between two commas");
  if (term.includes("?")) return say(`"${term}" is of Quartz: write * in its place`);
  if (form.name === "day" && /^(L|LW)$/.test(term)) return term;
  const hashed = /^H(?:\((\d{1,4})-(\d{1,4})\))?(?:\/(\d{1,4}))?$/.exec(term);
  if (hashed !== null) {
    if (form.name === "year") return say("cannot be H: no year is as good as another");
    const [from, to] = [Number(hashed[1] ?? low), Number(hashed[2] ?? form.hashHigh ?? high)];
    if (from < low || to > high || from > to) return say(`"${term}" is no range from ${low} to ${high}`);
    if (hashed[3] === undefined) return String(hashedValue(name, form.name, from, to));
    const step = Number(hashed[3]);
    if (step < 1 || step > to - from + 1) return say(`"${term}" steps by more than there is, or not at all`);
    return hashedSteps(name, form.name, from, to, step);
  }
  const parts = (form.name === "day" || form.name === "weekday" ? modified : unmodified).exec(term);
  if (parts === null) return say(`"${term}" is not understood`);
  const [, first, last, letter, nth, step] = parts;
  if (first === "*") {
    if (last !== undefined || letter !== undefined || nth !== undefined) return say(`"${term}" is not understood`);
    if (step === undefined) return "*";
    return isStep(step, form) ? `${form.name === "year" ? `${low}-${high}` : "*"}/${step}` : say(stepWords(step, form));
  }
  const from = valueOf(first!, form);
  const to = last === undefined ? from : valueOf(last, form);
  if (typeof from === "string" || typeof to === "string") return say(typeof from === "string" ? from : String(to));
  // MON-SUN: the week ends with Sunday as well.
  const end = form.name === "weekday" && last === "SUN" && from > 0 ? 7 : to;
  if (end < from) return say(`"${term}" runs backwards: write two ranges with a comma`);
  if (letter === "W" && (form.name !== "day" || last !== undefined)) return say(`"${term}" is not understood`);
  if (letter === "L" && (form.name !== "weekday" || last !== undefined)) return say(`"${term}" is not understood`);
  if (nth !== undefined && (form.name !== "weekday" || last !== undefined || !/^[1-5]$/.test(nth)))
    return say(`"${term}" is not understood: # is for the first to fifth of a weekday in its month, such as MON#1`);
  if (step !== undefined && !isStep(step, form)) return say(stepWords(step, form));
  if (step !== undefined) return `${from}-${last === undefined ? (form.stepHigh ?? high) : end}/${step}`;
  const range = last === undefined ? String(from) : `${from}-${end}`;
  return `${range}${letter ?? ""}${nth === undefined ? "" : `#${nth}`}`;
}

/** The number, or what is wrong with it. */
function valueOf(text: string, { low, high, names }: FieldForm): number | string {
  const at = names?.indexOf(text) ?? -1;
  if (at >= 0) return at + low;
  if (!/^\d{1,4}$/.test(text))
    return `"${text}" is ${names === undefined ? "no number" : `none of ${names.join(", ")}`}`;
  const value = Number(text);
  return value >= low && value <= high ? value : `${text} is not from ${low} to ${high}`;
}

function isStep(step: string, form: FieldForm): boolean {
  return /^\d{1,4}$/.test(step) && Number(step) >= 1 && Number(step) <= valuesOf(form);
}

function stepWords(step: string, form: FieldForm): string {
  return `step "${step}" is not from 1 to ${valuesOf(form)}`;
}

function valuesOf({ low, high, stepHigh = high }: FieldForm): number {
  return stepHigh - low + 1;
}

const longest = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/** In full, January first. */
export const monthNames = "January February March April May June July August September October November December".split(
  " ",
);

/** Days that none of their months has, where nothing else can make a day. */
function neverDays(day: string, month: string, weekday: string): string[] {
  if (weekday !== "*" && !weekday.startsWith("+")) return [];
  const days = day.split(",").map((term) => Number(/^(\d+)/.exec(term)?.[1] ?? 0));
  const named = month.split(",").map(Number);
  const isPlain = days.every((one) => one > 0) && named.every((one) => one >= 1);
  if (!isPlain || days.some((one) => named.some((of) => one <= longest[of - 1]!))) return [];
  const which = days.map((one) => (one === 31 ? "31st" : `${one}th`)).join(" and the ");
  const of = named.map((one) => monthNames[one - 1]).join(" and ");
  return [`the ${which} of ${of} ${days.length === 1 ? "does" : "do"} not exist`];
}

/** A plain expression's fields; those that were left out as they count. */
export interface PlainFields {
  readonly second: string;
  readonly minute: string;
  readonly hour: string;
  readonly day: string;
  readonly month: string;
  readonly weekday: string;
  readonly year: string;
}

/** The fields of what plainCron gives. */
export function plainFields(plain: string): PlainFields {
  const words = plain.split(" ");
  const [second, minute, hour, day, month, weekday, year = "*"] = words.length === 5 ? ["0", ...words] : words;
  return { second: second!, minute: minute!, hour: hour!, day: day!, month: month!, weekday: weekday!, year };
}

/** Second, minute and hour are all named: such a one fires once on every day that it is for, whatever is done to the clocks. */
export function isFixedTime(plain: string): boolean {
  const { second, minute, hour } = plainFields(plain);
  return !/[*/]/.test(`${second}${minute}${hour}`);
}
