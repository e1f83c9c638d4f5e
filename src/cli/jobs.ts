import type { Command } from "commander";
import { limits } from "../lib/limits.ts";
import type { AskedState, JobState, JobView } from "../state/types.ts";
import { addCancel } from "./cancel.ts";
import { addExtend } from "./extend.ts";
import { addHold } from "./hold.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { addExplain } from "./explain.ts";
import { addRemove } from "./remove.ts";
import { addRetry } from "./retry.ts";
import { parseIds, parseTask } from "./selectors.ts";
import { printJob, printJobs, printTasks } from "./views.ts";

const jobStates = [
  "queued",
  "running",
  "succeeded",
  "failed",
  "cancelled",
  "skipped",
] as const satisfies readonly JobState[];

/** Of tasks, for flags. */
export const askedStates = [...jobStates, "timeout", "lost", "unreachable"] as const satisfies readonly AskedState[];

/** `skein jobs ls|show|tasks|explain|cancel|hold|release|extend|retry|rm`, and `skein ps`. */
export function addJobs(program: Command, cli: Cli): void {
  const jobs = program.command("jobs").description("list, show, cancel, retry and remove jobs");
  addList(jobs, "ls", cli);
  addShow(jobs, cli);
  addTasks(jobs, cli);
  addExplain(jobs, cli);
  addCancel(jobs, cli);
  addHold(jobs, cli);
  addRetry(jobs, cli);
  addRemove(jobs, cli);
  addExtend(jobs, cli);
  addList(program, "ps", cli);
}

interface ListFlags {
  readonly state?: string;
  readonly name?: string;
  readonly label?: string;
  readonly since?: string;
  readonly limit?: string;
  readonly next?: string;
}

function addList(parent: Command, name: string, cli: Cli): void {
  const command = parent
    .command(name)
    .description(name === "ps" ? "short for `jobs ls`" : "list jobs, newest first")
    .option("--state <state>", jobStates.join(", "))
    .option("--name <name>", "only jobs of this name")
    .option("--label <selector>", "only jobs with these labels: team=docs")
    .option("--since <time>", "submitted since: 2h (back from now) or an RFC 3339 time")
    .option("--limit <n>", `at most so many (1..${limits.listMax}, default ${limits.listDefault})`)
    .option("--next <mark>", "go on after an earlier list");
  cli.verb<ListFlags>(command, async (session, flags) => {
    const { state, name, label, since, limit, next } = flags;
    const page = await session.client.jobs({
      name,
      label,
      since,
      next,
      state: oneOf("--state", state, jobStates),
      limit: limitFlag(limit),
    });
    session.output.result({
      value: page,
      ids: page.jobs.map((job) => job.id),
      table: (out) => printJobs(out, page.jobs),
    });
    noteNext(session, page.next);
    return exit.done;
  });
}

function addShow(parent: Command, cli: Cli): void {
  const command = parent.command("show").description("show jobs").argument("<ids...>", "5  1-10  1,3,5-8  last");
  cli.verb<object, [string[]]>(command, async (session, _flags, texts) => {
    const jobs: JobView[] = [];
    for (const id of await parseIds(texts, session.findLast)) jobs.push(await session.client.job(id));
    session.output.result({
      value: jobs.length === 1 ? jobs[0] : { jobs },
      ids: jobs.map((job) => job.id),
      table: (out) => {
        for (const [at, job] of jobs.entries()) {
          if (at > 0) out.line("");
          printJob(out, job);
        }
      },
    });
    return exit.done;
  });
}

interface TasksFlags {
  readonly state?: string;
  readonly target?: string;
  readonly limit?: string;
  readonly next?: string;
}

function addTasks(parent: Command, cli: Cli): void {
  const command = parent
    .command("tasks")
    .description("list the tasks of a job")
    .argument("<id>", "5, last, or one task: 5/0")
    .option("--state <state>", askedStates.join(", "))
    .option("--target <name>", "only the task about this target, or this node")
    .option("--limit <n>", `at most so many (1..${limits.listMax}, default ${limits.listDefault})`)
    .option("--next <mark>", "go on after an earlier list");
  cli.verb<TasksFlags, [string]>(command, async (session, flags, text) => {
    const { job, task } = await parseTask(text, session.findLast);
    const { state, target, limit, next } = flags;
    const query = { target, next, state: oneOf<AskedState>("--state", state, askedStates), limit: limitFlag(limit) };
    const page =
      task === undefined ? await session.client.tasks(job, query) : { tasks: [await session.client.task(job, task)] };
    session.output.result({
      value: task === undefined ? page : page.tasks[0],
      ids: page.tasks.map((one) => `${one.job}/${one.task}`),
      table: (out) => printTasks(out, page.tasks),
    });
    if ("next" in page) noteNext(session, page.next);
    return exit.done;
  });
}

/** Says how a list goes on, when it does. */
export function noteNext(session: Session, next: string | undefined): void {
  if (next !== undefined) session.output.note(`there are more: repeat with --next ${next}`, "dim");
}

/** The value of --limit. Throws CliError. */
export function limitFlag(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= limits.listMax) return value;
  throw new CliError(exit.usage, `--limit "${text}" is not a whole number from 1 to ${limits.listMax}`);
}

/** The value of a flag that has few. Throws CliError. */
export function oneOf<Value extends string>(
  flag: string,
  text: string | undefined,
  values: readonly Value[],
): Value | undefined {
  if (text === undefined) return undefined;
  const value = values.find((one) => one === text);
  if (value === undefined) throw new CliError(exit.usage, `${flag} "${text}" is none of ${values.join(", ")}`);
  return value;
}
