import type { Command } from "commander";
import { limits } from "../lib/limits.ts";
import type { Problem } from "../lib/outcome.ts";
import { parseSelector } from "../lib/selector.ts";
import type { ScheduleView } from "../state/answers.ts";
import type { Cli, Session } from "./cli.ts";
import { type DeclaredSchedule, readDeclared } from "./cron-apply-files.ts";
import { type ApplyPlan, planOf } from "./cron-apply-plan.ts";
import { setInBatches } from "./cron-apply-set.ts";
import { countsText, planLines } from "./cron-apply-text.ts";
import { CliError, exit } from "./exit.ts";
import { collect } from "./flags.ts";
import { paint } from "./text.ts";

interface ApplyFlags {
  readonly file?: readonly string[];
  readonly prune?: boolean;
  readonly label?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

/** `skein cron apply` */
export function addCronApply(parent: Command, cli: Cli): void {
  const command = parent
    .command("apply")
    .description("bring the mesh to what files declare; shows first what that changes")
    .argument("[files...]", "more of them")
    .option("-f, --file <file>", "schedules as YAML or JSON, a directory of such files, or - (repeatable)", collect)
    .option("--prune", "remove what has the --label and is not declared")
    .option("--label <selector>", "what --prune may remove: team=docs")
    .option("--dry-run", "show what would be changed, and change nothing")
    .option("--yes", "do not ask");
  cli.verb<ApplyFlags, [string[]]>(command, apply);
}

async function apply(session: Session, flags: ApplyFlags, more: readonly string[]): Promise<number> {
  const paths = [...(flags.file ?? []), ...more];
  if (paths.length === 0) throw new CliError(exit.usage, "which schedules? -f FILE, a directory, or -");
  checkPrune(flags);
  const { schedules, problems } = await readDeclared(paths, session.io);
  if (problems.length > 0) throw wrong(problems);
  const views = await presentOf(session, schedules);
  const removed = flags.prune === true ? await undeclared(session, flags.label!, schedules) : [];
  const plan = planOf(schedules, views, removed, Date.now());
  showPlan(session, plan, flags);
  const isNothing = plan.added.length + plan.changed.length + removed.length === 0;
  if (isNothing) return tell(session, plan, "nothing is to be changed", flags);
  if (flags.dryRun === true) return tell(session, plan, `nothing was set: it would be ${countsText(plan)}`, flags);
  await confirm(session, plan, flags);
  await setInBatches(session.client, [...plan.added, ...plan.changed.map(({ declared }) => declared)]);
  if (removed.length > 0) await session.client.removeSchedules(removed);
  return tell(session, plan, `done: ${countsText(plan)}`, flags);
}

/** What has no label that was named is never removed, so that one team's files do not remove what is another's. */
function checkPrune({ prune, label }: ApplyFlags): void {
  if (prune !== true) {
    if (label !== undefined) throw new CliError(exit.usage, "--label says what --prune may remove: add --prune");
    return;
  }
  const terms = parseSelector(label ?? "");
  if (typeof terms === "string") throw new CliError(exit.usage, `--label: ${terms}`);
  if (terms.length === 0)
    throw new CliError(exit.usage, "--prune needs --label k=v: only what has that label is removed");
}

const problemsShown = 100;

function wrong(problems: readonly Problem[]): CliError {
  const more = problems.length - problemsShown;
  const list = more <= 0 ? problems : [...problems.slice(0, problemsShown), { path: "", message: `and ${more} more` }];
  const what = problems.length === 1 ? "one thing is" : `${problems.length} things are`;
  return new CliError(exit.usage, `nothing was set: ${what} wrong`, list);
}

/** What the mesh has by the names that are declared. */
async function presentOf(
  { client }: Session,
  declared: readonly DeclaredSchedule[],
): Promise<ReadonlyMap<string, ScheduleView>> {
  const views = await client.schedulesNamed(declared.map(({ read }) => read.name));
  return new Map(views.map((view) => [view.name, view]));
}

/** What has the labels, and is not declared. */
async function undeclared(
  { client }: Session,
  label: string,
  declared: readonly DeclaredSchedule[],
): Promise<readonly string[]> {
  const names = new Set(declared.map(({ read }) => read.name));
  const found: string[] = [];
  let next: string | undefined;
  do {
    const page = await client.schedules({ label, limit: limits.listMax, next });
    for (const { name } of page.schedules) if (!names.has(name)) found.push(name);
    ({ next } = page);
  } while (next !== undefined);
  return found;
}

/** Before it is carried out; for programs only the person who is asked sees it. */
function showPlan({ output, io }: Session, plan: ApplyPlan, { yes, dryRun }: ApplyFlags): void {
  const isAsked = io.stderr.isTty && yes !== true && dryRun !== true;
  if (output.forMachines && !isAsked) return;
  for (const { text, colour } of planLines(plan)) {
    if (output.forMachines) output.note(text, colour);
    else output.line(paint(text, colour, output.colours));
  }
}

/** Who cannot be asked may add and change, and remove only what was said to be removed in any case. */
async function confirm({ io }: Session, plan: ApplyPlan, { yes }: ApplyFlags): Promise<void> {
  if (yes === true) return;
  const answer = await io.ask(`${countsText(plan)}: is that right? Type yes: `);
  if (answer === undefined) {
    if (plan.removed.length === 0) return;
    throw new CliError(
      exit.usage,
      `nothing was changed: this removes ${plan.removed.length} (the first: ${plan.removed[0]}), and nobody can be asked here: add --yes`,
    );
  }
  if (!/^\s*y(?:es)?\s*$/i.test(answer)) throw new CliError(exit.refused, "nothing was changed");
}

function tell({ output }: Session, plan: ApplyPlan, words: string, { dryRun }: ApplyFlags): number {
  const { added, changed, removed, over, same } = plan;
  const names = { new: added.map(({ read }) => read.name), removed };
  const leftOut = over.map(({ read }) => read.name);
  const changes = changed.map(({ declared, fields }) => ({ name: declared.read.name, fields }));
  output.result({
    value: { dry_run: dryRun === true, ...names, changed: changes, left_out: leftOut, same },
    ids: [...names.new, ...changes.map(({ name }) => name), ...removed],
    table: (out) => out.line(words),
  });
  return exit.done;
}
