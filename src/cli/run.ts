import { constants } from "node:os";
import type { Command } from "commander";
import { ApiError, Unreachable } from "../client/errors.ts";
import { isTerminal } from "../lib/states.ts";
import { isUnreachable } from "../lib/unreachable.ts";
import type { JobView, TaskView } from "../state/types.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit, Interrupted, OutputClosed } from "./exit.ts";
import { OutputPatience } from "./output-patience.ts";
import { failedStates, failureLines } from "./failures.ts";
import { addSpecFlags, type SpecFlags, specOf } from "./flags.ts";
import { GatheredResults } from "./gathered-results.ts";
import { advanceOf, Progress } from "./progress.ts";
import { streamOutput } from "./stream.ts";
import { noteUnfinished, RunningNames } from "./unfinished.ts";
import { printJob, recapText } from "./views.ts";
import { WaitNotes } from "./wait-notes.ts";

const pollMs = 1000;
/** After the job's end the rest of its output is given up when nothing has come for so long. */
const outputGraceMs = 10_000;

interface RunFlags extends SpecFlags {
  readonly detach?: boolean;
  readonly propagate?: boolean;
  readonly fold?: boolean;
  readonly diff?: boolean;
  readonly cancelOnInterrupt?: boolean;
  readonly idempotencyKey?: string;
}

/** `skein run [flags] -- CMD ARG...` */
export function addRun(program: Command, cli: Cli): void {
  const command = program
    .command("run")
    .description("run a command on the mesh, stream its output, and exit with its result")
    .usage("[flags] -- CMD ARG...")
    .argument("[words...]", "the command: several words are its arguments, one word with spaces is a line for /bin/sh")
    // What stands after the command's name belongs to the command.
    .passThroughOptions()
    .option("-d, --detach", "print the id and do not wait")
    .option("-b, --fold", "show equal output once, when all have ended: the odd ones first")
    .option("--diff", "the same, with what differs from the output of the most")
    .option(
      "--propagate",
      "exit with the command's own code (of several tasks the highest; 255: not reached, timed out or lost)",
    )
    .option("--cancel-on-interrupt", "Ctrl-C cancels the job instead of leaving it running")
    .option("--idempotency-key <key>", "a repeated run with this key shows the first one's job");
  addSpecFlags(command);
  cli.verb<RunFlags, [string[]]>(command, run);
}

async function run(session: Session, flags: RunFlags, words: readonly string[]): Promise<number> {
  const { client, output } = session;
  if (words.length === 0 && flags.driver !== "ansible")
    throw new CliError(exit.usage, "missing required argument 'words': what should be run?");
  const spec = await specOf(flags, words, session.io);
  const { ids } = await client.submit(spec, { key: flags.idempotencyKey });
  const id = ids[0]!;
  if (flags.detach === true) {
    output.result({ value: { id, ids }, ids, table: (out) => out.line(String(id)) });
    return exit.done;
  }
  const gathered = gatheredOf(session, id, flags, spec);
  const names = new RunningNames(client);
  let cancelled = false;
  for (;;) {
    let job: JobView;
    try {
      job = await session.interruptible((signal) => gathered?.toEnd(signal) ?? followToEnd(session, id, names, signal));
    } catch (error) {
      if (!(error instanceof Interrupted) && !(error instanceof OutputClosed)) throw error;
      if (flags.cancelOnInterrupt !== true || cancelled) {
        await gathered?.print().catch(leftAlone);
        if (error instanceof Interrupted) await noteUnfinished(session, id, gathered?.running ?? names.names);
        return detached(session, id);
      }
      // Once more to the end of it: the job is over when its tasks are.
      cancelled = true;
      output.note(`skein: cancelling job ${id}; interrupt again to leave it`, "yellow");
      await client.cancel(id);
      if (error instanceof OutputClosed) return detached(session, id);
      continue;
    }
    // Its result is the job's, whether or not somebody reads on; who interrupts has not seen all of it.
    await gathered?.print().catch((error: unknown) => {
      if (!(error instanceof OutputClosed)) throw error;
    });
    return finish(session, job, flags.propagate === true);
  }
}

/** Of results that are shown to somebody who leaves, and who may not want to see the end of them. */
function leftAlone(error: unknown): void {
  if (!(error instanceof Interrupted) && !(error instanceof OutputClosed)) throw error;
}

/** Whoever has many wants to see each result, or equal ones once, and not the output as it comes; undefined: the output. */
function gatheredOf(
  session: Session,
  id: number,
  flags: RunFlags,
  spec: Readonly<Record<string, unknown>>,
): GatheredResults | undefined {
  const { diff = false, fold = false } = flags;
  const isAboutMany = spec["targets"] !== undefined || spec["each_node"] !== undefined;
  const form =
    session.output.format === "json"
      ? isAboutMany
        ? "lines"
        : undefined
      : diff
        ? "diff"
        : fold
          ? "folded"
          : undefined;
  return form === undefined ? undefined : new GatheredResults(session, id, form);
}

function detached(session: Session, id: number): number {
  session.output.note(
    `skein: job ${id} goes on; see it with \`skein logs ${id} -f\`, end it with \`skein cancel ${id}\``,
  );
  return exit.interrupted;
}

/** Output and state at the same time, until the job is terminal and its output complete. */
async function followToEnd(session: Session, id: number, names: RunningNames, outer: AbortSignal): Promise<JobView> {
  const { io, output } = session;
  const progress = new Progress(io.stderr, `job ${id}`, output.errorColours);
  const over = new AbortController();
  const signal = AbortSignal.any([outer, over.signal]);
  const patience = new OutputPatience(outputGraceMs, () => {
    output.note(`skein: the rest of the output has not arrived; \`skein logs ${id}\` shows it`, "yellow");
    over.abort();
  });
  const streaming: Promise<unknown> = streamOutput(session, id, {
    task: undefined,
    follow: true,
    before() {
      progress.hide();
      patience.came();
    },
    after: () => patience.written(),
    signal,
  }).catch((error: unknown) => {
    outer.throwIfAborted();
    // Output that cannot be had does not change the job's result.
    if (error instanceof ApiError || error instanceof Unreachable) {
      output.note(`skein: the output of job ${id} cannot be shown: ${error.message}`, "yellow");
    } else if (!over.signal.aborted) throw error;
  });
  try {
    // If one of the two is interrupted the other is too; neither may be left without a listener.
    const [job] = await Promise.all([
      watch(session, id, progress, names, outer).finally(() => patience.begin()),
      streaming,
    ]);
    return job;
  } finally {
    progress.hide();
    patience.end();
    over.abort();
  }
}

async function watch(
  session: Session,
  id: number,
  progress: Progress,
  names: RunningNames,
  signal: AbortSignal,
): Promise<JobView> {
  const notes = new WaitNotes(session.output, () => progress.hide());
  for (;;) {
    const job = await session.client.job(id, { waitMs: pollMs, signal });
    if (isTerminal(job.state)) return job;
    notes.see(job);
    const advance = advanceOf(job.counts);
    if (advance.total <= 1 || !session.io.stderr.isTty) continue;
    await names.refresh(job, signal);
    progress.show(advance, names.names);
  }
}

async function finish(session: Session, job: JobView, propagate: boolean): Promise<number> {
  const { output } = session;
  if (output.forMachines) output.result({ value: job, ids: [job.id], table: (out) => printJob(out, job) });
  const recap = output.forMachines ? undefined : recapText(job);
  if (recap !== undefined) output.note(`skein: playbook of job ${job.id}: ${recap}`);
  if (job.state === "succeeded") return exit.done;
  const reason = job.reason === undefined ? "" : `: ${job.reason}`;
  output.note(`skein: job ${job.id} ${job.state === "failed" ? "failed" : `was ${job.state}`}${reason}`, "red");
  for (const line of await failureLines(session.client, job)) output.note(`  ${line}`);
  return propagate ? highestCode(session, job) : exit.jobFailed;
}

/** Of all tasks that failed, however many those are. */
async function highestCode(session: Session, job: JobView): Promise<number> {
  if (job.counts.timeout + job.counts.lost > 0) return codeOfNone;
  let highest: number = exit.jobFailed;
  for (const state of failedStates) {
    if (job.counts[state] === 0) continue;
    for await (const task of session.client.everyTask(job.id, { state })) {
      highest = Math.max(highest, codeOf(job, task));
      if (highest >= codeOfNone) return highest;
    }
  }
  return highest;
}

/** Of a command that never came to its end: it was not reached, its time was over, or it was lost. As ssh and `clush -S` have it. */
const codeOfNone = 255;

/** A shell's way: 128 and the signal's number for a killed command. */
function codeOf({ spec }: JobView, task: TaskView): number {
  const isRemote = spec["driver"] === "ssh" || spec["driver"] === "ansible";
  if (isRemote && isUnreachable(task)) return codeOfNone;
  if (task.signal === null) return task.exit_code ?? exit.jobFailed;
  return 128 + ((constants.signals as Readonly<Record<string, number>>)[task.signal] ?? 0);
}
