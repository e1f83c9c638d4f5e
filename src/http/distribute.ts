import { z } from "zod";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, type Refusal, refuse } from "../lib/outcome.ts";
import { findTemplate, jobsUnderKey, listTasks, specOfJob } from "../state/queries.ts";
import { listResults } from "../state/results.ts";
import { bind, render } from "../state/template.ts";
import { expandTargets, groupsOf } from "../state/targets.ts";
import { readGroups } from "../state/groups.ts";
import { atOnce } from "../lib/turns.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Principal, Spec, TaskView } from "../state/types.ts";
import { check, invalid } from "./problems.ts";
import { type Exchange, type HttpParts, readJson, readState } from "./route.ts";
import { statusOf } from "./errors.ts";
import { proposeSubmit, withTargets } from "./targets.ts";
import { jobSubmit } from "../state/commands/job-submit.ts";

/**
 * The API of Distribute (`up --distribute`), so that its clients move over as they are: paths, fields and answers are that program's (docs/distribute.md), what is behind them are jobs of driver ansible. Every answer is
 * `{code, data, msg[, length]}` with code 200 or 500. The status of HTTP is 200 exactly where the code is: whoever looks at the code alone reads it as ever, and what stands between (proxies, monitors, clients that retry)
 * sees what is the matter.
 */
export const base = "/api/v1/distribute";

/** What was chosen for the jobs of this API beside what a request says: a template of this name, if there is one. Its spec may say anything but what is run and where. */
export const templateName = "distribute";

/** Names of tasks are one set for all callers, and looked up: keys that are of no token. */
const keyOwner = "distribute";

interface Answer {
  readonly code: 200 | 500;
  readonly data: unknown;
  readonly msg: string;
  readonly [more: string]: unknown;
}

/** An answer in Distribute's form. */
export function answered(
  parts: HttpParts,
  data: unknown,
  msg = "",
  more: Record<string, unknown> = {},
  index?: number,
): Response {
  return parts.reply.json({ code: 200, data, msg, ...more } satisfies Answer, index);
}

/** Nothing is at that path, or it is asked for in another way than it can be: in Distribute's form. */
export function notThere(parts: HttpParts, path: string, method: string, allow: readonly string[]): Response {
  if (allow.length === 0) return refused(parts, refuse("not-found", `there is no ${path}`).why);
  const why = refuse("not-found", `${path} does not know ${method}: use ${allow.join(", ")}`).why;
  const answer = refused(parts, why, 405);
  answer.headers.set("allow", allow.join(", "));
  return answer;
}

/** A list with its length, and where it goes on. */
export function listed(parts: HttpParts, items: readonly unknown[], next: string | undefined, index: number): Response {
  return answered(parts, items, "", { length: items.length, ...(next === undefined ? {} : { next }) }, index);
}

/** A refusal in Distribute's form. The words are ours, in full. */
export function refused({ reply }: HttpParts, why: Refusal, status = statusOf[why.code]): Response {
  const problems = (why.details ?? []).map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  const msg = problems.length > 1 ? problems.join("; ") : why.message;
  const answer = reply.json({ code: 500, data: null, msg } satisfies Answer, undefined, status);
  if (why.code === "busy" || why.code === "unavailable")
    answer.headers.set("retry-after", String(Math.max(1, Math.ceil((why.retryAfterMs ?? 1000) / 1000))));
  return answer;
}

/** The body of a request, which is JSON whatever it is called. */
export async function bodyOf(exchange: Exchange): Promise<Outcome<Record<string, unknown>>> {
  const body = await readJson(exchange.req.raw);
  if (!body.ok) return body;
  if (typeof body.value === "object" && body.value !== null && !Array.isArray(body.value))
    return accept(body.value as Record<string, unknown>);
  return invalid([{ path: "", message: "must be an object" }], "the body");
}

/** A task of Distribute's as a job; answers with success only the first time. `at`: which field of the request a key of the spec is. */
export async function submitTask(
  parts: HttpParts,
  exchange: Exchange,
  by: Principal,
  task: string,
  spec: Readonly<Record<string, unknown>>,
  at: Readonly<Record<string, string>>,
): Promise<Response> {
  const chosen = await parts.node.read((tx) => findTemplate(tx, templateName), { consistency: "linearizable" });
  if (!chosen.ok) return refused(parts, chosen.why);
  const template = chosen.value.value;
  let given: Readonly<Record<string, unknown>> = {};
  if (template !== undefined) {
    const { values, problems } = bind(template.parameters, {});
    const rendered = problems.length > 0 ? undefined : render(template.spec, values);
    if (rendered === undefined)
      return refused(
        parts,
        invalid([{ path: "", message: "its parameters need values by themselves" }], `the template ${templateName}`)
          .why,
      );
    given = mapOf(rendered);
  }
  const input = check(
    jobSubmit.input,
    { jobs: [merged(given, spec, task)], key: task, digest: task, owner: keyOwner },
    "the request",
    (path) => fieldOf(path, at),
  );
  if (!input.ok) return refused(parts, input.why);
  const pathOf = (path: string): string => inField(path.replace(/\[\d+\]$/, ""), at);
  const resolved = await withTargets(parts, exchange, input.value, "the request", pathOf);
  if (!resolved.ok) return refused(parts, resolved.why);
  const outcome = await proposeSubmit(parts, resolved.value, by);
  if (!outcome.ok) return refused(parts, inFields(outcome.why, at));
  const { value, index } = outcome.value;
  if (value.repeated)
    return refused(
      parts,
      invalid(
        [{ path: "task_id", message: `"${task}" was given before (job ${value.first}): choose another one` }],
        "the request",
      ).why,
      409,
    );
  return answered(parts, null, "任务下发成功", { job: value.first }, index);
}

/** What the template says, and over it what the request does. What is run and where is the request's alone. */
function merged(
  given: Readonly<Record<string, unknown>>,
  spec: Readonly<Record<string, unknown>>,
  task: string,
): Record<string, unknown> {
  const { ansible: chosen, labels, run: _run, ...rest } = given;
  const { module: _module, args: _args, playbook: _playbook, vars, ...ansible } = mapOf(chosen);
  const own = mapOf(spec["ansible"]);
  return {
    ...rest,
    ...spec,
    ansible: { ...ansible, ...own, vars: { ...mapOf(vars), ...mapOf(own["vars"]), [taskVariable]: task } },
    labels: { ...mapOf(labels), ...mapOf(spec["labels"]) },
  };
}

function mapOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function fieldOf(path: readonly PropertyKey[], at: Readonly<Record<string, string>>): readonly PropertyKey[] {
  if (path[0] === "key") return ["task_id"];
  if (path[0] !== "jobs") return path;
  const rest = path.slice(2);
  const field = at[rest.slice(0, 2).join(".")] ?? at[String(rest[0])];
  return field === undefined ? rest : [field];
}

/** As the variable is called in which a job, and its playbook, knows its task_id. */
export const taskVariable = "distribute_task_id";

/** What the state refuses speaks of the job that the request became. */
function inFields(why: Refusal, at: Readonly<Record<string, string>>): Refusal {
  const details = why.details?.map((one) => ({ ...one, path: inField(one.path, at) }));
  return { ...why, message: inField(why.message, at), ...(details === undefined ? {} : { details }) };
}

function inField(text: string, at: Readonly<Record<string, string>>): string {
  return text.replace(/\bjobs\[0\]\.(\w+)/g, (_, key: string) => at[key] ?? key);
}

/** The label by which jobs of this API are known, and their kind. */
export const kindLabel = "distribute";

/** Of what a request needs at least. */
export function textIn(body: Readonly<Record<string, unknown>>, name: string): string {
  const value = body[name];
  if (typeof value === "number") return String(value);
  return Array.isArray(value) ? value.join(",") : typeof value === "string" ? value.trim() : "";
}

/** Addresses as they were written: commas around them, blanks between. */
export function addressesIn(text: string): string {
  return text.replace(/[\s,]+/g, ",").replace(/^,|,$/g, "");
}

/** Problems of a request in which one of these is not there. */
export function missingIn(
  body: Readonly<Record<string, unknown>>,
  names: readonly string[],
): Outcome<never> | undefined {
  const problems = names.filter((name) => textIn(body, name) === "").map((path) => ({ path, message: "is required" }));
  return problems.length === 0 ? undefined : invalid(problems, "the request");
}

/** `timeout` of a request, seconds as a number or text, or with units; else what is usual. */
export function timeoutIn(body: Readonly<Record<string, unknown>>, usualSeconds: number): string {
  const text = textIn(body, "timeout");
  return text === "" ? `${usualSeconds}s` : /^\d+$/.test(text) ? `${text}s` : text;
}

/** What every task of this API is as a job, whatever is run. */
export function specOf(body: Readonly<Record<string, unknown>>, kind: Kind): Record<string, unknown> {
  const project = textIn(body, "project_name");
  return {
    ...(project === "" ? {} : { bundle: project }),
    driver: "ansible",
    name: textIn(body, "task_name"),
    targets: [addressesIn(textIn(body, "ips"))],
    labels: { [kindLabel]: kind },
    output: { tail: `${limits.tailMaxBytes >> 10}KiB` },
  };
}

export type Kind = "adhoc" | "playbook";

/** A task of a job, and the job's spec. */
export interface Found {
  readonly view: TaskView;
  readonly spec: Spec;
}

/** What an answer lists, and where it goes on. */
interface Gathered {
  readonly tasks: readonly Found[];
  readonly next: string | undefined;
  readonly index: number;
}

interface Page {
  readonly limit?: number | undefined;
  readonly next?: string | undefined;
}

/** The tasks of the job that a task_id stands for, as many as an answer holds. */
export function tasksOfTask(
  parts: HttpParts,
  exchange: Exchange,
  task: string,
  kind: Kind,
  page: Page,
): Promise<Outcome<Gathered>> {
  return gather(parts, exchange, page, (tx, { limit, next }) => {
    const job = jobsUnderKey(tx, keyOwner, task)?.first;
    const spec = job === undefined ? undefined : jobSpec(tx, job);
    const isOne = job !== undefined && spec?.labels?.[kindLabel] === kind;
    const listed = isOne ? listTasks(tx, job, { limit, next }) : undefined;
    if (listed === undefined || spec === undefined)
      return refuse(
        "not-found",
        `there is no ${kind} task "${task}": it was never given, or its job is forgotten (ttl)`,
      );
    return accept({ found: listed.items.map((view) => ({ view, spec })), next: listed.next });
  });
}

/** What was run on these addresses by tasks of this API, newest first, as many as an answer holds: however much else was run there. */
export function resultsOf(
  parts: HttpParts,
  exchange: Exchange,
  targets: readonly string[],
  kind: Kind,
  page: Page,
): Promise<Outcome<Gathered>> {
  return gather(parts, exchange, page, (tx, { limit, next }) => {
    const results = listResults(tx, { targets, label: [kindLabel, kind], limit, next });
    const found = results.items.map((view) => ({ view, spec: jobSpec(tx, view.job) }));
    return accept({ found, next: results.next });
  });
}

/** Pages one after the other, since clients know none; of very much what is behind {@link pagesLooked} of them goes on at `next`. */
async function gather(
  parts: HttpParts,
  exchange: Exchange,
  { limit = Infinity, next: from }: Page,
  read: (
    tx: ReadTx,
    page: { readonly limit: number; readonly next: string | undefined },
  ) => Outcome<{ readonly found: readonly Found[]; readonly next: string | undefined }>,
): Promise<Outcome<Gathered>> {
  let next = from;
  let bytes = 0;
  const tasks: Found[] = [];
  for (let looked = 1; ; looked += 1) {
    const page = { limit: Math.min(limits.listMax, limit - tasks.length), next };
    const answer = await readState(parts, exchange, looked === 1 ? "linearizable" : "stale", (tx) => read(tx, page));
    if (!answer.ok) return answer;
    const { value: found, index } = answer.value;
    if (!found.ok) return found;
    for (const one of found.value.found) {
      tasks.push(one);
      bytes += one.view.tail.length;
    }
    next = found.value.next;
    if (next === undefined || tasks.length >= limit || bytes > answerBytes || looked === pagesLooked)
      return accept({ tasks, next, index });
  }
}

/** Of one answer: what else was run on an address may be without end. */
export const pagesLooked = 200;

/** Answers hold all there is, since clients know no pages; what is larger than any of them would take goes on at `next`. */
const answerBytes = 32 * 1024 * 1024;

/** The spec of a job; an empty one where it is forgotten. */
export function jobSpec(tx: ReadTx, job: number): Spec {
  return specOfJob(tx, job) ?? {};
}

/** The addresses of a query, which may be node sets and groups as in a request. */
export async function namesIn(parts: HttpParts, exchange: Exchange, text: string): Promise<Outcome<readonly string[]>> {
  const from = [addressesIn(text)];
  const groups = await readState(parts, exchange, "linearizable", (tx) => readGroups(tx, groupsOf(from)));
  if (!groups.ok) return groups;
  const names = atOnce(expandTargets(from, groups.value.value, limits.resultTargets));
  return names.ok
    ? accept(names.names)
    : invalid(
        names.problems.map(({ message }) => ({ path: "", message })),
        "the query",
      );
}

/** Every answer, for the documents. */
export const answer = z.object({
  code: z.union([z.literal(200), z.literal(500)]),
  data: z.unknown(),
  msg: z.string(),
  length: z.int().optional(),
  next: z.string().optional().describe("Goes on after what is listed; absent at the end."),
});

/** "2026-11-27 21:40:05", in UTC. */
export function dateOf(instant: string | null): string {
  return instant === null ? "" : instant.replace("T", " ").slice(0, 19);
}

/** As Distribute's rows had one: unique, a whole number, and the same each time. */
export function rowNumber({ job, task }: { readonly job: number; readonly task: number }): number {
  return job * limits.targetsPerJob + task;
}
