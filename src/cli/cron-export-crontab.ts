import type { Problem } from "../lib/outcome.ts";
import { commentOfName } from "./cron-crontab-comment.ts";
import { commandLine, inputLine } from "./cron-export-command.ts";
import { timesOf } from "./cron-export-times.ts";

/** A schedule as people write it, as the API gives it. */
export type Written = Readonly<Record<string, unknown>>;

/** Schedules as lines of a crontab; what has no such form is a problem with the schedule's name, and what is otherwise than it was a note. */
export interface CrontabText {
  readonly text: string;
  readonly problems: readonly Problem[];
  readonly notes: readonly Problem[];
}

/** Keys of a job that say what cron knows, too. */
const jobKeys = new Set(["driver", "run", "env", "dir", "stdin", "user", "name", "labels"]);
/** Keys that make of a job more than one command. */
const shapes = ["count", "array", "matrix", "targets", "each_node", "batch", "bundle"];
/** Keys of a schedule that decide when it is due, as no line of a crontab can. */
const rules = ["calendars", "limit", "start", "end"];

interface Line {
  readonly name: string;
  readonly zone: string;
  readonly shell: string;
  readonly env: Readonly<Record<string, string>>;
  readonly text: (env: Readonly<Record<string, string>>) => string;
  /** Stand right above it. */
  readonly comments: readonly string[];
}

/** `system`: with a field for the user, as in /etc/crontab. */
export function toCrontab(schedules: readonly Written[], { system }: { readonly system: boolean }): CrontabText {
  const problems: Problem[] = [];
  const notes: Problem[] = [];
  const lines: Line[] = [];
  for (const schedule of schedules) {
    const name = schedule["name"] as string;
    const before = problems.length;
    const line = lineOf(schedule, name, system, {
      problem: (message) => problems.push({ path: name, message }),
      note: (message) => notes.push({ path: name, message }),
    });
    if (line !== undefined && problems.length === before) lines.push(line);
  }
  const users = new Set(schedules.map((schedule) => asMap(schedule["job"])["user"]));
  if (!system && users.size > 1)
    problems.push({ path: "", message: "the schedules run as different users: --system writes a field for the user" });
  else if (!system && typeof [...users][0] === "string")
    notes.push({ path: "", message: `goes into the crontab of user ${[...users][0] as string}` });
  if (lines.length > 0)
    notes.push({
      path: "",
      message:
        "CRON_TZ names the zone for cronie; Debian's cron does not know it, and reads all times in the host's zone",
    });
  return { text: textOf(lines), problems, notes };
}

interface Telling {
  readonly problem: (message: string) => void;
  readonly note: (message: string) => void;
}

function lineOf(schedule: Written, name: string, system: boolean, { problem, note }: Telling): Line | undefined {
  const times = timesOf(schedule, name);
  if ("problem" in times) problem(times.problem);
  for (const key of rules) if (schedule[key] !== undefined) problem(`${key} has no crontab form`);
  const {
    overlap = "skip",
    missed = "latest",
    paused,
    jitter,
    template,
  } = schedule as Readonly<Record<string, string | boolean | undefined>>;
  if (overlap !== "allow") note(`overlap: ${overlap} is not carried over: in cron runs may overlap`);
  if (missed !== "skip") note(`missed: ${missed} is not carried over: cron makes up for nothing`);
  if (jitter !== undefined) note("jitter is not carried over");
  if (paused === true) note("is paused: its line is a comment");
  if (schedule["job"] === undefined) {
    problem(`runs template ${template}, which has no crontab form`);
    return undefined;
  }
  const job = asMap(schedule["job"]);
  const {
    driver = "shell",
    user,
    stdin,
  } = job as { readonly driver?: string; readonly user?: string; readonly stdin?: string };
  if (driver !== "shell") {
    problem(`driver ${driver} has no crontab form`);
    return undefined;
  }
  for (const key of shapes) if (job[key] !== undefined) problem(`job.${key} has no crontab form`);
  const left = Object.keys(job).filter((key) => !jobKeys.has(key) && !shapes.includes(key));
  if (left.length > 0) note(`of the job ${left.join(", ")} ${left.length === 1 ? "is" : "are"} not carried over`);
  const env: Record<string, string> = {};
  for (const [key, value] of Object.entries(asMap(job["env"]))) {
    if (typeof value !== "string") problem(`job.env.${key} is a secret, which a crontab would show`);
    else if (/[\n\r]/.test(value)) problem(`job.env.${key} has several lines`);
    else env[key] = value;
  }
  if (system && user === undefined) problem("names no user, which a line of this form needs (job.user)");
  const input = inputLine(stdin);
  const { shell, write } = commandLine(job);
  const whole = write(env);
  for (const part of [input, whole]) if ("problem" in part) problem(part.problem);
  if ("problem" in times || "problem" in input || "problem" in whole) return undefined;
  if (whole.text.length > commandMost) note(`has ${whole.text.length} characters: Debian's cron takes ${commandMost}`);
  const who = system ? `${user} ` : "";
  const description = schedule["description"] as string | undefined;
  return {
    name,
    zone: times.zone,
    shell,
    env,
    comments: [commentOfName(name), ...(description === undefined ? [] : [`# ${description.replaceAll(/\s+/g, " ")}`])],
    text: (rest) => {
      const part = write(rest);
      const command = "problem" in part ? whole.text : part.text;
      return `${paused === true ? "# paused: " : ""}${times.time} ${who}${command}${input.text}`;
    },
  };
}

/** The longest command of some crons. */
const commandMost = 999;

/** Variables that all have are said once, for all; others with the command, since what is set holds for each line below. */
function textOf(lines: readonly Line[]): string {
  const [first] = lines;
  if (first === undefined) return "";
  const isCommon = (key: string, value: string): boolean =>
    !value.includes('"') && lines.every(({ env }) => env[key] === value);
  const common = Object.entries(first.env).filter(([key, value]) => isCommon(key, value));
  const text = common.map(([key, value]) => `${key}="${value}"\n`);
  let [zone, shell] = ["", "/bin/sh"];
  for (const line of lines) {
    text.push("\n");
    if (line.zone !== zone) text.push(`CRON_TZ=${(zone = line.zone)}\n`);
    if (line.shell !== shell) text.push(`SHELL=${(shell = line.shell)}\n`);
    text.push(...line.comments.map((comment) => `${comment}\n`));
    const rest = Object.entries(line.env).filter(([key]) => !common.some(([one]) => one === key));
    text.push(`${line.text(Object.fromEntries(rest))}\n`);
  }
  return text.join("").replace(/^\n/, "");
}

function asMap(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
