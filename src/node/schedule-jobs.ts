import type { Problem } from "../lib/outcome.ts";
import { inTurns } from "../lib/turns.ts";
import { newJob } from "../state/adding.ts";
import { resolveBundles } from "../state/bundles.ts";
import { problemsOf } from "../state/commands/problems.ts";
import { specSchema } from "../state/commands/spec-schema.ts";
import { type MadeJob, specOfFire } from "../state/firing.ts";
import { readGroups } from "../state/groups.ts";
import { findTemplate } from "../state/queries.ts";
import { type Definition, definitionOf } from "../state/schedules.ts";
import type { StoredSchedule } from "../state/tables/schedule.ts";
import { groupsNamed, resolveTargets } from "../state/targets.ts";
import { bind, render } from "../state/template.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Spec } from "../state/types.ts";
import { noJob } from "./step-parts.ts";

/** What was found of a job, or why there is none. */
type Found<Value> = Value | { readonly why: string };

/**
 * The job of a fire that the schedule alone does not say: its template as it is now, with the schedule's values; the hosts that its targets stand for now; the newest tree of its bundle. What
 * cannot be made is said in words, for the history of the schedule.
 */
export async function makeScheduledJob(
  row: Pick<StoredSchedule, "name" | "definition">,
  at: number,
  view: <Value>(query: (tx: ReadTx) => Value) => Value,
): Promise<MadeJob> {
  const definition = definitionOf(row);
  const read = view((tx) => specFrom(tx, definition));
  if ("why" in read) return noJob(read.why);
  const { spec, template } = read;
  const bundled = view((tx) => resolveBundles(tx, [specOfFire(row.name, definition, spec, at)]));
  if (bundled.problems.length > 0) return noJob(wordsOf(bundled.problems));
  const groups = view((tx) => readGroups(tx, groupsNamed(bundled.jobs)));
  const { jobs, lists, problems } = await inTurns(resolveTargets(bundled.jobs, groups));
  const [job] = jobs;
  if (problems.length > 0 || job === undefined) return noJob(wordsOf(problems));
  return {
    job: newJob(job, () => []),
    ...(lists.length === 0 ? {} : { lists }),
    ...(template === undefined ? {} : { template }),
  };
}

function specFrom(
  tx: ReadTx,
  { job, template: name = "", params = {} }: Definition,
): Found<{ readonly spec: Spec; readonly template?: string }> {
  if (job !== undefined) return { spec: job };
  const template = findTemplate(tx, name);
  if (template === undefined) return { why: `there is no template ${name} any more` };
  const named = `${template.name}@${template.revision}`;
  const { values, problems } = bind(template.parameters, params);
  if (problems.length > 0) return { why: `${named} does not take the schedule's params: ${wordsOf(problems)}` };
  const rendered = render(template.spec, values);
  if (rendered === undefined) return { why: `what ${named} makes of these params is longer than any spec may be` };
  const parsed = specSchema.safeParse(rendered);
  if (!parsed.success) return { why: `what ${named} makes is no job: ${wordsOf(problemsOf(parsed.error))}` };
  if (parsed.data.after !== undefined)
    return { why: `${named} names other jobs (after), which a schedule's job cannot` };
  return { spec: parsed.data, template: named };
}

/** Paths of a request of one job are those of its spec. */
function wordsOf(problems: readonly Problem[]): string {
  const words = problems.slice(0, 5).map(({ path, message }) => `${path.replace(/^jobs\[0\]\.?/, "")}: ${message}`);
  return problems.length > 5 ? `${words.join("; ")} (and ${problems.length - 5} more)` : words.join("; ");
}
