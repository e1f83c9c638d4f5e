import { Command } from "commander";
import type { ScheduleSpec } from "../client/skein-client.ts";
import type { Problem } from "../lib/outcome.ts";
import { parseInstant } from "../lib/calendar.ts";
import type { SetScheduleView } from "../state/answers.ts";
import type { Cli, Session } from "./cli.ts";
import { asFlags, givenOf, idleBesideFile, idleBesideTemplate, wrong } from "./cron-add-problems.ts";
import { readDeclared } from "./cron-apply-files.ts";
import { setInBatches } from "./cron-apply-set.ts";
import { printUpcoming, timingText } from "./cron-views.ts";
import { CliError, exit } from "./exit.ts";
import { addSpecFlags, collect, type SpecFlags, specOf } from "./flags.ts";

interface AddFlags extends Omit<SpecFlags, "jitter" | "limit" | "label" | "name"> {
  readonly cron?: string;
  readonly every?: string;
  readonly at?: string;
  readonly tz?: string;
  readonly start?: string;
  readonly end?: string;
  readonly jitter?: string;
  readonly missed?: string;
  readonly catchUp?: string;
  readonly missedMost?: string;
  readonly overlap?: string;
  readonly paused?: boolean;
  readonly limit?: string;
  readonly label?: readonly string[];
  readonly tag?: readonly string[];
  readonly owner?: string;
  readonly history?: string;
  readonly calendar?: readonly string[];
  readonly description?: string;
  readonly template?: string;
  readonly param?: readonly string[];
  readonly replace?: boolean;
  readonly file?: string;
}

/** Flags of `run` that say something else of a schedule, or nothing that it could have. */
const notOfJobs: ReadonlySet<string> = new Set(["--name", "--jitter", "--limit", "--label", "--after", "--start-at"]);

/** `skein cron add NAME … -- CMD ARG...` */
export function addCronAdd(parent: Command, cli: Cli): void {
  const command = parent
    .command("add")
    .description("set a schedule: a command, or a template, at its instants")
    .usage("NAME --cron EXPR [flags] -- CMD ARG...  |  add -f FILE")
    .argument("[name]", "its name")
    .argument("[words...]", "the command, as for `skein run`")
    .option("-f, --file <file>", "schedules as YAML or JSON, - for standard input (`cron apply` also shows a plan)")
    .option("--replace", "also where there is one of that name: it is changed")
    .optionsGroup("When:")
    .option("--cron <expression>", "5 to 7 fields, or @hourly, @daily …: '30 2 * * MON-FRI'")
    .option("--every <duration>", "5m")
    .option("--at <instant>", "once: 2026-12-01T02:00:00Z")
    .option("--tz <zone>", "zone of the expression: Europe/Berlin (default UTC)")
    .option("--start <instant>", "not before")
    .option("--end <instant>", "not after")
    .option("--jitter <duration>", "later by up to that, always the same for its name")
    .option("--calendar <name>", "not while it is on; only:NAME: only while it is (repeatable)", collect)
    .option("--missed <what>", "instants that nobody looked at: latest (default), all or skip")
    .option("--catch-up <duration>", "nothing older is made up (default 1h)")
    .option("--missed-most <n>", "with --missed all: so many at once (default 100)")
    .option("--overlap <what>", "beside a job of its own: skip (default), queue, queue_all, replace or allow")
    .option("--limit <n>", "it ends after so many jobs, without those that were fired by hand")
    .option("--paused", "it begins paused")
    .optionsGroup("About it:")
    .option("--description <text>", "for people")
    .option("--label <k=v>", "label of the schedule and its jobs (repeatable)", collect)
    .option("--tag <word>", "(repeatable)", collect)
    .option("--owner <text>", "whom to ask about it")
    .option("--history <n>", "lines of its history that are kept (default 1000)")
    .option("--template <name>", "its jobs are of that template, in place of a command")
    .option("--param <k=v>", "value of a parameter of the template (repeatable)", collect);
  const jobFlags = new Command();
  addSpecFlags(jobFlags);
  const ofJobs = jobFlags.options.filter((option) => !notOfJobs.has(option.long ?? ""));
  for (const option of ofJobs) command.addOption(option.helpGroup("Job:"));
  const notBesideFile = command.options.filter(({ long }) => long !== "--file" && long !== "--replace");
  cli.verb<AddFlags, [string | undefined, string[]]>(command, (session, flags, name, words) => {
    const idle = flags.file === undefined ? [] : idleBesideFile(givenOf(notBesideFile, flags), name, words);
    const idleOfJobs = flags.template === undefined ? [] : idleBesideTemplate(givenOf(ofJobs, flags));
    return add(session, flags, name, words, flags.file === undefined ? idleOfJobs : idle);
  });
}

async function add(
  session: Session,
  flags: AddFlags,
  name: string | undefined,
  words: readonly string[],
  idle: readonly Problem[],
): Promise<number> {
  const { client } = session;
  const onlyNew = flags.replace !== true;
  let set: readonly SetScheduleView[];
  if (flags.file !== undefined) {
    if (idle.length > 0) throw wrong(idle);
    const { schedules, problems } = await readDeclared([flags.file], session.io);
    if (problems.length > 0) throw wrong(problems);
    set = await setInBatches(client, schedules, { onlyNew });
  } else {
    const spec = await specFrom(session, flags, name, words, idle);
    set = await client.setSchedules([spec], { onlyNew }).catch((error: unknown) => {
      throw asFlags(error);
    });
  }
  const shown = set.length === 1 ? await client.schedule(set[0]!.name) : undefined;
  session.output.result({
    value: shown ?? { schedules: set },
    ids: set.map((one) => one.name),
    table: (out) => {
      for (const one of set) out.line(`schedule ${one.name} ${one.changed ? "is set" : "is as it was"}`);
      if (shown === undefined) return;
      const isUsualZone = shown.tz === "UTC" && flags.tz === undefined && flags.file === undefined;
      out.line(`${timingText(shown)}${isUsualZone && shown.cron !== undefined ? " (no --tz was given)" : ""}`);
      printUpcoming(out, shown);
    },
  });
  return exit.done;
}

async function specFrom(
  session: Session,
  flags: AddFlags,
  name: string | undefined,
  words: readonly string[],
  idle: readonly Problem[],
): Promise<ScheduleSpec> {
  if (name === undefined) throw new CliError(exit.usage, "missing required argument 'name' (or -f FILE)");
  const problems: Problem[] = [...idle];
  const number = (flag: string, text: string | undefined): number | undefined => {
    if (text === undefined || /^\d{1,10}$/.test(text)) return text === undefined ? undefined : Number(text);
    problems.push({ path: flag, message: `"${text}" is not a whole number` });
    return undefined;
  };
  for (const [flag, text] of [
    ["--at", flags.at],
    ["--start", flags.start],
    ["--end", flags.end],
  ] as const)
    if (text !== undefined && parseInstant(text) === undefined)
      problems.push({ path: flag, message: `"${text}" is not an instant: write 2026-12-01T02:00:00Z, with its zone` });
  const limit = number("--limit", flags.limit);
  const history = number("--history", flags.history);
  const missedMost = number("--missed-most", flags.missedMost);
  const labels = pairsOf("--label", flags.label, problems);
  const params = pairsOf("--param", flags.param, problems);
  const isTemplate = flags.template !== undefined;
  if (isTemplate && words.length > 0)
    problems.push({ path: "--template", message: "goes not with a command: the template says what runs" });
  const { limit: _limit, jitter: _jitter, label: _label, ...jobFlags } = flags;
  const job = isTemplate ? undefined : await jobOf(session, jobFlags, words, problems);
  if (problems.length > 0) throw wrong(problems);
  const { cron, every, at, tz, start, end, jitter, missed, catchUp, overlap, paused, tag, owner } = flags;
  const timing = { cron, every, at, tz, start, end, jitter, missed, catch_up: catchUp, missed_most: missedMost };
  const rest = { overlap, paused, limit, labels, tags: tag, owner, history, calendars: flags.calendar };
  return {
    name,
    description: flags.description,
    ...timing,
    ...rest,
    job,
    template: flags.template,
    params,
  } as ScheduleSpec;
}

/** What is wrong with its flags is told together with what is wrong with the schedule's. */
async function jobOf(
  session: Session,
  flags: SpecFlags,
  words: readonly string[],
  problems: Problem[],
): Promise<Record<string, unknown> | undefined> {
  if (words.length === 0 && (flags.driver === undefined || flags.driver === "shell" || flags.driver === "ssh")) {
    problems.push({ path: "words", message: "what should it run? A command after --, or --template" });
    return undefined;
  }
  try {
    return await specOf(flags, words, session.io);
  } catch (error) {
    if (!(error instanceof CliError) || error.problems === undefined || error.problems.length === 0) throw error;
    problems.push(...error.problems);
    return undefined;
  }
}

/** Several `k=v`; undefined: none were given. */
function pairsOf(
  flag: string,
  texts: readonly string[] | undefined,
  problems: Problem[],
): Record<string, string> | undefined {
  if (texts === undefined) return undefined;
  const pairs: Record<string, string> = {};
  for (const text of texts) {
    const at = text.indexOf("=");
    if (at <= 0) problems.push({ path: flag, message: `"${text}" is not k=v` });
    else if (Object.hasOwn(pairs, text.slice(0, at)))
      problems.push({ path: flag, message: `${text.slice(0, at)} is there twice: one value would be lost` });
    else pairs[text.slice(0, at)] = text.slice(at + 1);
  }
  return pairs;
}
