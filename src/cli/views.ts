import { parseInstant } from "../lib/calendar.ts";
import { formatDuration } from "../lib/units.ts";
import type { JobView, ResultView, TaskView } from "../state/types.ts";
import type { Output } from "./output.ts";
import { advanceOf } from "./progress.ts";
import { cut, printable, stateColour } from "./text.ts";

/** How jobs and tasks look to people. */

/** Jobs as a table, one a line. */
export function printJobs(out: Output, jobs: readonly JobView[]): void {
  out.rows(
    [
      { title: "ID", align: "right" },
      { title: "NAME", shrinks: true },
      { title: "STATE", colour: (cell) => stateColour(cell.split(" ")[0]!) },
      { title: "TASKS", align: "right" },
      { title: "FAILED", align: "right" },
      { title: "SUBMITTED" },
      { title: "TOOK", align: "right" },
    ],
    jobs.map((job) => {
      const { done, total, failed } = advanceOf(job.counts);
      return [
        String(job.id),
        job.name,
        stateText(job),
        `${done}/${total}`,
        failed === 0 ? "" : String(failed),
        instantText(job.submitted_at),
        spanText(job.started_at, job.finished_at),
      ];
    }),
  );
}

/** One job with its counts and times. */
export function printJob(out: Output, job: JobView): void {
  const counts = Object.entries(job.counts).filter(([, count]) => count > 0);
  out.fields([
    ["job", String(job.id), "bold"],
    ["name", job.name === "" ? undefined : job.name],
    ["state", stateText(job), stateColour(job.state)],
    ["reason", job.reason],
    ["waits for", waitsText(job) || undefined],
    ["batch", batchText(job)],
    ["tasks", counts.map(([state, count]) => `${count} ${state}`).join(", ")],
    ["playbook", recapText(job)],
    ["submitted", `${instantText(job.submitted_at)} by ${job.submitted_by}`],
    ["schedule", scheduleText(job)],
    ["template", job.template],
    ["retried as", job.retried_as === undefined ? undefined : `job ${job.retried_as}`],
    ["retry of", job.retry_of === undefined ? undefined : `job ${job.retry_of}`],
    ["started", job.started_at === null ? undefined : instantText(job.started_at)],
    ["finished", job.finished_at === null ? undefined : instantText(job.finished_at)],
    ["took", spanText(job.started_at, job.finished_at) || undefined],
    ["labels", labelsText(job.labels) || undefined],
    ["spec", JSON.stringify(job.spec)],
  ]);
}

/** Which schedule made it, of which instant; one that somebody asked for is of the instant when they did. */
function scheduleText({ schedule, fire_at: fireAt }: JobView): string | undefined {
  if (schedule === undefined) return undefined;
  return fireAt === undefined ? schedule : `${schedule}, of ${instantText(fireAt)}`;
}

/** Tasks as a table, one a line. */
export function printTasks(out: Output, tasks: readonly TaskView[]): void {
  const targets = tasks.some((task) => task.target !== undefined);
  const indices = tasks.some((task) => task.index !== undefined && task.index !== task.task);
  const points = tasks.some((task) => task.matrix !== undefined);
  const rates = tasks.some((task) => task.success_percent !== undefined);
  out.rows(
    [
      { title: "TASK", align: "right" },
      ...(indices ? [{ title: "INDEX", align: "right" } as const] : []),
      ...(points ? [{ title: "MATRIX", shrinks: true } as const] : []),
      ...(targets ? [{ title: "TARGET", shrinks: true } as const] : []),
      { title: "STATE", colour: stateColour },
      { title: "EXIT", align: "right" },
      ...(rates ? [{ title: "OK", align: "right" } as const] : []),
      { title: "NODE", align: "right" },
      { title: "TRY", align: "right" },
      { title: "TOOK", align: "right" },
      { title: "LAST LINE", shrinks: true },
    ],
    tasks.map((task) => [
      String(task.task),
      ...(indices ? [task.index === undefined ? "" : String(task.index)] : []),
      ...(points ? [pointText(task)] : []),
      ...(targets ? [task.target ?? ""] : []),
      task.state,
      task.signal ?? (task.exit_code === null ? "" : String(task.exit_code)),
      ...(rates ? [percentText(task)] : []),
      task.node === null ? "" : String(task.node),
      task.attempt === 0 ? "" : String(task.attempt),
      spanText(task.started_at, task.finished_at),
      cut(task.reason ?? lastLine(task.tail), 200),
    ]),
  );
}

/** What was run on targets as a table, one a line. */
export function printResults(out: Output, results: readonly ResultView[]): void {
  const rates = results.some((one) => one.success_percent !== undefined);
  const facts = results.some((one) => one.facts_changed !== undefined);
  out.rows(
    [
      { title: "TARGET", shrinks: true },
      { title: "TASK", align: "right" },
      { title: "NAME", shrinks: true },
      { title: "STATE", colour: stateColour },
      { title: "EXIT", align: "right" },
      ...(rates ? [{ title: "OK", align: "right" } as const] : []),
      { title: "NODE", align: "right" },
      { title: "TRY", align: "right" },
      { title: "FINISHED" },
      { title: "TOOK", align: "right" },
      ...(facts ? [{ title: "FACTS CHANGED", shrinks: true } as const] : []),
      { title: "LAST LINE", shrinks: true },
    ],
    results.map((one) => [
      one.target ?? "",
      `${one.job}/${one.task}`,
      one.name,
      one.state,
      one.signal ?? (one.exit_code === null ? "" : String(one.exit_code)),
      ...(rates ? [percentText(one)] : []),
      one.node === null ? "" : String(one.node),
      one.attempt === 0 ? "" : String(one.attempt),
      one.finished_at === null ? "" : instantText(one.finished_at),
      spanText(one.started_at, one.finished_at),
      ...(facts ? [changesText(one)] : []),
      cut(one.reason ?? lastLine(one.tail), 200),
    ]),
  );
}

/** "cores: 2 -> 4, python: - -> /usr/bin/python3" */
function changesText({ facts_changed: changed = {} }: ResultView): string {
  const words = Object.entries(changed).map(([name, [was, is]]) => `${name}: ${was ?? "-"} -> ${is ?? "-"}`);
  return cut(words.join(", "), 200);
}

/** Of a playbook's tasks on a host. */
function percentText({ success_percent: percent }: TaskView): string {
  return percent === undefined ? "" : `${percent}%`;
}

/** Why a task did not succeed, in a few words. */
export function failureText(task: TaskView): string {
  const how =
    task.signal !== null ? `killed by ${task.signal}` : task.exit_code !== null ? `exit ${task.exit_code}` : task.state;
  const where = task.node === null ? "" : ` on node ${task.node}`;
  const about = task.target ?? (task.matrix === undefined ? indexText(task) : pointText(task));
  const name = about === undefined ? `task ${task.task}` : `task ${task.task} (${about})`;
  const ended = task.state === "timeout" ? "timed out" : how;
  return printable(`${name}: ${ended}${where}${task.reason === undefined ? "" : `: ${task.reason}`}`);
}

function indexText({ task, index }: TaskView): string | undefined {
  return index === undefined || index === task ? undefined : `index ${index}`;
}

/** `mode=a threads=8` */
function pointText({ matrix = {} }: TaskView): string {
  return Object.entries(matrix)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ");
}

/** Labels as people write them: `k=v,k=v`. */
export function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
}

/** "2026-11-23 01:48:31" in UTC. */
export function instantText(instant: string): string {
  return instant.replace("T", " ").replace(/\.\d+Z$/, "Z");
}

/** What keeps a job from starting, nodes and room aside; "" when nothing does. */
export function waitsText({ id, waits }: JobView): string {
  if (waits === undefined) return "";
  const { held, start_at, after, key, pause, approval } = waits;
  return [
    held === true ? "its release" : "",
    start_at === undefined ? "" : instantText(start_at),
    after === undefined ? "" : `the end of ${after === 1 ? "another job" : `${after} other jobs`}`,
    key === undefined ? "" : `its key "${key}"`,
    pause === undefined ? "" : `${instantText(pause)}, when its next batch begins`,
    approval === undefined ? "" : `the approval of batch ${approval} (skein jobs release ${id})`,
  ]
    .filter((text) => text !== "")
    .join(", ");
}

/** "hosts: 57 ok (12 changed), 2 failed, 1 unreachable; tasks: 93%, 651 of 700 ok, 40 failed"; undefined: of no playbook. */
export function recapText({ recap }: JobView): string | undefined {
  if (recap === undefined) return undefined;
  const { hosts, tasks, success_percent: percent } = recap;
  const ok = `${hosts.ok} ok${hosts.changed === 0 ? "" : ` (${hosts.changed} changed)`}`;
  return `hosts: ${ok}, ${hosts.failed} failed, ${hosts.unreachable} unreachable; tasks: ${percent}%, ${tasks.ok} of ${tasks.total} ok, ${tasks.failed} failed`;
}

/** "2 of 5: tasks 1 to 30" */
function batchText({ batch }: JobView): string | undefined {
  if (batch === undefined) return undefined;
  const { now, of, first, tasks } = batch;
  return `${now} of ${of}: ${tasks === 1 ? `task ${first}` : `tasks ${first} to ${first + tasks - 1}`}`;
}

function stateText(job: JobView): string {
  if (job.held === true) return `${job.state} (held)`;
  if (job.waits?.approval !== undefined) return `${job.state} (batch ${job.waits.approval} waits)`;
  if (job.cancelling === true && job.state === "running") return "running (cancelling)";
  return job.partial === true ? `${job.state} (partly)` : job.state;
}

function spanText(from: string | null, to: string | null): string {
  const start = from === null ? undefined : parseInstant(from);
  const end = to === null ? undefined : parseInstant(to);
  if (start === undefined || end === undefined) return "";
  const spanMs = Math.max(0, end - start);
  return spanMs < 10_000 ? `${(spanMs / 1000).toFixed(2)}s` : formatDuration(Math.round(spanMs / 1000) * 1000);
}

function lastLine(text: string): string {
  return text.trimEnd().split("\n").at(-1) ?? "";
}
