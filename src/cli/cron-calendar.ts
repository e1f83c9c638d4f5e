import type { Command } from "commander";
import { ApiError } from "../client/errors.ts";
import { parseInstant } from "../lib/calendar.ts";
import { wallMs } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { CalendarView, SetCalendarView } from "../state/answers.ts";
import type { Cli } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { collect } from "./flags.ts";
import { limitFlag, noteNext } from "./jobs.ts";
import type { Output } from "./output.ts";
import { readFileText } from "./specs-file.ts";
import { instantText } from "./views.ts";

/** `skein cron calendar set|import|ls|show|rm` */
export function addCronCalendar(cron: Command, cli: Cli): void {
  const calendar = cron
    .command("calendar")
    .description("named times in which schedules do not fire (calendars: [NAME]), or only then (only:NAME)");
  addSet(calendar, cli);
  addImport(calendar, cli);
  addList(calendar, cli);
  addShow(calendar, cli);
  addRemove(calendar, cli);
}

interface SetFlags {
  readonly span?: readonly string[];
  readonly window?: readonly string[];
  readonly for?: readonly string[];
  readonly tz?: string;
  readonly description?: string;
}

function addSet(parent: Command, cli: Cli): void {
  const command = parent
    .command("set")
    .description("set a calendar to these spans and windows, whatever it was before; with neither it is never on")
    .argument("<name>")
    .option(
      "--span <from/to>",
      "on from one instant to another: 2026-12-24T00:00:00Z/2026-12-27T00:00:00Z (repeatable)",
      collect,
    )
    .option(
      "--window <cron>",
      "on from each instant of this expression, for the time of its --for (repeatable)",
      collect,
    )
    .option("--for <duration>", "how long a window is on: 2h; one for each --window, or one for all", collect)
    .option("--tz <zone>", "time zone of the windows (default UTC)")
    .option("--description <text>", "what it is for");
  cli.verb<SetFlags, [string]>(command, async (session, flags, name) => {
    const set = await session.client.setCalendar({
      name,
      ...(flags.description === undefined ? {} : { description: flags.description }),
      spans: (flags.span ?? []).map(spanOf),
      windows: windowsOf(flags),
    });
    session.output.result({ value: set, ids: [set.name], table: (out) => printSet(out, set) });
    return exit.done;
  });
}

function spanOf(text: string): { readonly from: string; readonly to: string } {
  const [from, to, ...rest] = text.split("/");
  if (from === undefined || to === undefined || rest.length > 0)
    throw new CliError(exit.usage, `--span "${text}" is not of the form FROM/TO`);
  return { from, to };
}

function windowsOf({ window: expressions = [], for: lengths = [], tz }: SetFlags): object[] {
  if (expressions.length === 0) {
    for (const [flag, value] of [
      ["--for", lengths[0]],
      ["--tz", tz],
    ])
      if (value !== undefined) throw new CliError(exit.usage, `${flag} goes with --window, and there is none`);
    return [];
  }
  if (lengths.length !== 1 && lengths.length !== expressions.length)
    throw new CliError(
      exit.usage,
      `there are ${expressions.length} --window and ${lengths.length} --for: give one for each, or one for all`,
    );
  return expressions.map((cron, at) => ({ cron, for: lengths[at] ?? lengths[0], ...(tz === undefined ? {} : { tz }) }));
}

interface ImportFlags {
  readonly tz?: string;
  readonly description?: string;
}

function addImport(parent: Command, cli: Cli): void {
  const command = parent
    .command("import")
    .description("set a calendar to the events of an iCalendar file, from a year ago to five years ahead")
    .argument("<file>", "the file (.ics), or - for standard input")
    .argument("<name>")
    .option("--tz <zone>", "zone of days, and of times that name none (default UTC)")
    .option("--description <text>", "what it is for");
  cli.verb<ImportFlags, [string, string]>(command, async (session, { tz, description }, path, name) => {
    const ics = await readFileText(path, session.io);
    const body = {
      name,
      ics,
      ...(tz === undefined ? {} : { tz }),
      ...(description === undefined ? {} : { description }),
    };
    let set: SetCalendarView;
    try {
      set = await session.client.setCalendar(body);
    } catch (error) {
      if (!(error instanceof ApiError) || error.problems.length === 0) throw error;
      const problems = error.problems.map((one) => ({
        ...one,
        path: one.path.startsWith("line ")
          ? `${path === "-" ? "stdin" : path}:${one.path.slice("line ".length)}`
          : one.path,
      }));
      throw new CliError(exit.usage, error.message, problems);
    }
    session.output.result({ value: set, ids: [set.name], table: (out) => printSet(out, set) });
    return exit.done;
  });
}

/** What is left out of a file, for people. */
const leftOut = {
  transparent: "that keep nobody busy (TRANSP:TRANSPARENT)",
  cancelled: "cancelled",
  empty: "without a length",
  outside: "over for a year, or more than five years ahead",
  others: "no events",
} as const;

function printSet(out: Output, { name, changed, spans, windows, until, file }: SetCalendarView): void {
  const of = file === undefined ? "" : `, of ${counted(file.events, "event")}`;
  const what = [
    ...(spans > 0 || windows === 0 ? [counted(spans, "span")] : []),
    ...(windows > 0 ? [counted(windows, "window")] : []),
  ];
  out.line(`calendar ${name} ${changed ? "is set" : "is as it was"}: ${what.join(" and ")}${of}`);
  for (const [key, words] of Object.entries(leftOut)) {
    const count = file?.[key as keyof typeof leftOut] ?? 0;
    if (count > 0) out.line(`left out: ${count} ${words}`);
  }
  if (until !== null)
    out.line(`what repeats goes on, and is known until ${instantText(until)}: import it again before`);
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function addList(parent: Command, cli: Cli): void {
  const command = parent
    .command("ls")
    .description("list calendars: whether each is on, and until when")
    .option("--limit <n>", `at most so many (1..${limits.listMax}, default ${limits.listDefault})`)
    .option("--next <mark>", "go on after an earlier list");
  cli.verb<{ readonly limit?: string; readonly next?: string }>(command, async (session, { limit, next }) => {
    const page = await session.client.calendars({ limit: limitFlag(limit), next });
    session.output.result({
      value: page,
      ids: page.calendars.map(({ name }) => name),
      table: (out) => printCalendars(out, page.calendars),
    });
    noteNext(session, page.next);
    return exit.done;
  });
}

function printCalendars(out: Output, calendars: readonly Omit<CalendarView, "span_list" | "schedules">[]): void {
  out.rows(
    [
      { title: "NAME", shrinks: true },
      { title: "NOW" },
      { title: "UNTIL" },
      { title: "SPANS", align: "right" },
      { title: "WINDOWS", align: "right" },
      { title: "KNOWN UNTIL", colour: (cell) => (cell.includes("(") ? "yellow" : undefined) },
      { title: "DESCRIPTION", shrinks: true },
    ],
    calendars.map((one) => [
      one.name,
      one.on ? "on" : "off",
      one.changes_at === null ? "" : instantText(one.changes_at),
      String(one.spans),
      String(one.windows.length),
      one.until === null ? "" : knownText(one.until),
      one.description ?? "",
    ]),
  );
}

const dayMs = 86_400_000;
/** So long before the end of what is known of a calendar it is time to import it again. */
const soonMs = 60 * dayMs;

/** Until when it is known; in brackets what is to be done about that, if it is time. */
function knownText(until: string): string {
  const leftMs = (parseInstant(until) ?? Infinity) - wallMs();
  const text = instantText(until);
  if (leftMs >= soonMs) return text;
  const left = leftMs <= 0 ? "past" : `${Math.max(1, Math.floor(leftMs / dayMs))}d left`;
  return `${text} (${left}: import it again)`;
}

function addShow(parent: Command, cli: Cli): void {
  const command = parent.command("show").description("show when a calendar is on").argument("<name>");
  cli.verb<object, [string]>(command, async (session, _flags, name) => {
    const calendar = await session.client.calendar(name);
    session.output.result({ value: calendar, ids: [calendar.name], table: (out) => print(out, calendar) });
    return exit.done;
  });
}

const spansShown = 20;

function print(out: Output, calendar: CalendarView): void {
  const { on, changes_at: changesAt, span_list: spans, windows } = calendar;
  const until = changesAt === null ? ", as far as is known for good" : ` until ${instantText(changesAt)}`;
  out.fields([
    ["calendar", calendar.name, "bold"],
    ["description", calendar.description],
    ["now", `${on ? "on" : "off"}${until}`],
    ["known until", calendar.until === null ? undefined : knownText(calendar.until)],
    ["schedules", calendar.schedules.length === 0 ? "none goes by it" : calendar.schedules.join(", ")],
    ["set", `${instantText(calendar.set_at)} by ${calendar.set_by}`],
  ]);
  if (windows.length > 0) {
    out.line("");
    out.rows(
      [{ title: "WINDOW" }, { title: "FOR" }, { title: "ZONE" }],
      windows.map(({ cron, for: length, tz }) => [cron, length, tz]),
    );
  }
  if (calendar.spans === 0) return;
  out.line("");
  out.rows(
    [{ title: "FROM" }, { title: "TO" }],
    spans.slice(0, spansShown).map(({ from, to }) => [instantText(from), instantText(to)]),
  );
  const over = calendar.spans - spans.length;
  const more = Math.max(0, spans.length - spansShown);
  if (more > 0) out.line(`and ${counted(more, "span")} more (-o json shows them)`);
  if (over > 0) out.line(`${counted(over, "span")} ${over === 1 ? "is" : "are"} over`);
}

function addRemove(parent: Command, cli: Cli): void {
  const command = parent
    .command("rm")
    .description("forget calendars; refused while a schedule goes by one")
    .argument("<names...>");
  cli.verb<object, [string[]]>(command, async (session, _flags, names) => {
    for (const name of names) await session.client.removeCalendar(name);
    session.output.result({
      value: { removed: names },
      ids: names,
      table: (out) => names.forEach((name) => out.line(`calendar ${name} is forgotten`)),
    });
    return exit.done;
  });
}
