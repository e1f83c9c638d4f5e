import { limits } from "../lib/limits.ts";
import { lastingMistake, shownMistake } from "../lib/node-set.ts";
import { accept, type Outcome, type Problem } from "../lib/outcome.ts";
import { instantsOf, type Timing } from "../lib/schedule-timing.ts";
import { inTurns } from "../lib/turns.ts";
import type { TemplateView } from "../state/answers.ts";
import { resolveBundles } from "../state/bundles.ts";
import { problemsOf } from "../state/commands/problems.ts";
import { type ReadAhead, scheduleName } from "../state/commands/schedule-schema.ts";
import { specSchema } from "../state/commands/spec-schema.ts";
import { findTemplate } from "../state/queries.ts";
import { passedOf, missingNeeds, missingSecrets, type ScheduleNeeds } from "../state/schedule-needs.ts";
import { scheduleByName } from "../state/tables/schedule.ts";
import { groupsOf, resolveTargets } from "../state/targets.ts";
import { bind, render } from "../state/template.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Spec } from "../state/types.ts";
import { type Exchange, type HttpParts, readState } from "./route.ts";

/**
 * What of schedules that are to be set only the state can tell: what they name and is not there, whether a template takes their params, what no later state would mend of their targets.
 * Looked at before the log, together with what could not be read (S3): apply looks at names alone, and a fire at all of it, when nobody does.
 */

/** A schedule of a request. */
export interface AskedSchedule extends ReadAhead {
  readonly raw: unknown;
}

/** What is to be looked at: of what could not be read that part which could. */
interface Asked extends ScheduleNeeds {
  readonly params: Readonly<Record<string, unknown>> | undefined;
  readonly problems: Problem[];
  found: TemplateView | undefined;
  /** What its template makes. */
  made: Spec | undefined;
}

const atOnce = 100;

/** Problems of each of them, with paths of the schedule. Who is there as it is asked for, or (`onlyNew`) at all, is not looked at: nothing changes, and apply says so. */
export async function problemsInState(
  parts: HttpParts,
  exchange: Exchange,
  schedules: readonly AskedSchedule[],
  onlyNew: boolean,
): Promise<Outcome<readonly (readonly Problem[])[]>> {
  const now = Date.now();
  const all: (Asked | undefined)[] = [];
  for (let from = 0; from < schedules.length; from += atOnce) {
    const some = schedules.slice(from, from + atOnce);
    const look = (tx: ReadTx): (Asked | undefined)[] => some.map((one) => looked(tx, one, onlyNew, now));
    const read = await readState(parts, exchange, from === 0 ? "linearizable" : "stale", look);
    if (!read.ok) return read;
    all.push(...read.value.value);
  }
  await inTurns(makeAll(all));
  const made = all.filter((one) => one?.made !== undefined);
  for (let from = 0; from < made.length; from += atOnce) {
    const some = made.slice(from, from + atOnce);
    const read = await parts.node.read((tx) => some.forEach((one) => lookAtMade(tx, one!)), { consistency: "stale" });
    if (!read.ok) return read;
  }
  return accept(all.map((one) => one?.problems ?? []));
}

function looked(tx: ReadTx, { raw, schedule }: AskedSchedule, onlyNew: boolean, now: number): Asked | undefined {
  if (schedule === undefined) {
    const needs = { ...partOf(raw), found: undefined, made: undefined };
    return withFound(tx, { ...needs, problems: missingNeeds(tx, needs) });
  }
  const { name, definition } = schedule;
  const row = scheduleByName(tx, name);
  if (row !== undefined && (onlyNew || row.definition === JSON.stringify(definition))) return undefined;
  const { rules, job, template, params = {} } = definition;
  const needs = { calendars: (rules.calendars ?? []).map((one) => one.name), job, template };
  const problems = [...missingNeeds(tx, needs), ...neverFrom(rules.timing, name, now)];
  return withFound(tx, { ...needs, params, problems, found: undefined, made: undefined });
}

/** With its template and its bundle. */
function withFound(tx: ReadTx, one: Asked): Asked {
  if (one.job !== undefined) one.problems.push(...bundleProblems(tx, one.job, "job."));
  return one.template === undefined ? one : { ...one, found: findTemplate(tx, one.template) };
}

/** What can be looked at of a schedule that could not be read. */
function partOf(raw: unknown): ScheduleNeeds & Pick<Asked, "params"> {
  const { calendars, template, params, job } = isFields(raw) ? raw : {};
  const names = Array.isArray(calendars) ? (calendars as readonly unknown[]).slice(0, limits.scheduleCalendars) : [];
  const read = job === undefined ? undefined : specSchema.safeParse(job);
  return {
    calendars: names.map((text) => (typeof text === "string" ? named(text.replace(/^only:/, "")) : undefined)),
    template: named(template),
    params: params === undefined ? {} : isFields(params) ? params : undefined,
    job: read?.data,
  };
}

/** A template's or a calendar's, which have the form of a schedule's; what has not is told of already. */
function named(value: unknown): string | undefined {
  return scheduleName.safeParse(value).data;
}

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** It would never fire. What an expression says of its years is looked at here and not in apply, which has no data of zones. */
function neverFrom(timing: Timing, name: string, now: number): Problem[] {
  const past = passedOf(timing, now);
  const { cron, end } = timing;
  if (past.length > 0 || timing.at !== undefined || instantsOf(timing, name).after(now) !== undefined) return past;
  const until = end === undefined ? "" : " before end";
  return [{ path: cron === undefined ? "every" : "cron", message: `has no run any more${until}: it would never fire` }];
}

/** One by one; of so many mistakes the last ones are not looked for. */
function* makeAll(all: readonly (Asked | undefined)[]): Generator<undefined, void, undefined> {
  const known = new Map<string, readonly Problem[]>();
  let told = 0;
  for (const one of all) {
    if (one === undefined) continue;
    if (told < limits.problemsPerRequest) {
      makeOf(one);
      yield;
      if (one.job !== undefined) one.problems.push(...prefixed(yield* targetProblems(one.job, known), "job."));
      if (one.made !== undefined) one.problems.push(...inTemplate(one, yield* targetProblems(one.made, known)));
    }
    told += one.problems.length;
    yield;
  }
}

/** What its template makes of its params, as a fire would (node/schedule-jobs.ts). */
function makeOf(one: Asked): void {
  const { found, params, problems } = one;
  if (found === undefined || params === undefined) return;
  const { values, problems: unfit } = bind(found.parameters, params);
  if (unfit.length > 0) return void problems.push(...unfit);
  const spec = render(found.spec, values);
  if (spec === undefined)
    return void problems.push(...inTemplate(one, [{ path: "", message: "longer than any spec may be" }]));
  const read = specSchema.safeParse(spec);
  if (!read.success) problems.push(...inTemplate(one, problemsOf(read.error)));
  else if (read.data.after === undefined) one.made = read.data;
  else problems.push(...inTemplate(one, [{ path: "after", message: "names other jobs, which a schedule's cannot" }]));
}

function lookAtMade(tx: ReadTx, one: Asked): void {
  const spec = one.made!;
  one.problems.push(...inTemplate(one, [...bundleProblems(tx, spec, ""), ...missingSecrets(tx, spec, "")]));
}

/** They are of what the template makes, which nobody wrote here. */
function inTemplate({ found }: Asked, problems: readonly Problem[]): Problem[] {
  const what = `what ${found!.name}@${found!.revision} makes of these params`;
  return problems.map(({ path, message }) => ({
    path: "template",
    message: `${what}: ${path === "" ? "" : `${path}: `}${message}`,
  }));
}

function bundleProblems(tx: ReadTx, spec: Spec, root: string): Problem[] {
  return prefixed(resolveBundles(tx, [spec]).problems, root);
}

/** Paths of a request of one job are those of its spec. */
function prefixed(problems: readonly Problem[], root: string): Problem[] {
  return problems.map(({ path, message }) => ({ path: root + path.replace(/^jobs\[0\]\.?/, ""), message }));
}

/** What is wrong with targets whatever the state will have. Where they name nothing of it, that is all that a fire would look at. */
function* targetProblems(
  spec: Spec,
  known: Map<string, readonly Problem[]>,
): Generator<undefined, readonly Problem[], undefined> {
  const { from } = spec.targets ?? {};
  if (from === undefined) return [];
  const key = JSON.stringify([from, spec.driver, spec.ansible, spec.unit]);
  const before = known.get(key);
  if (before !== undefined) return before;
  let problems: readonly Problem[];
  if (groupsOf(from).length === 0) problems = prefixed((yield* resolveTargets([spec], noGroups)).problems, "");
  else {
    const found: Problem[] = [];
    for (const [at, text] of from.entries()) {
      const mistake = lastingMistake(text, limits.targetsPerJob);
      if (mistake !== undefined) found.push({ path: `targets[${at}]`, message: shownMistake(text, mistake) });
      if (found.length >= mistakesTold) break;
      yield;
    }
    problems = found;
  }
  known.set(key, problems);
  return problems;
}

const noGroups = { names: new Map(), contents: new Map(), hints: new Map() };
const mistakesTold = 20;
