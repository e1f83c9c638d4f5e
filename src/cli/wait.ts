import type { Command } from "commander";
import { isTerminal } from "../lib/states.ts";
import { formatDuration, parseDuration } from "../lib/units.ts";
import type { WaitView } from "../state/answers.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { type Advance, advanceOf, Progress } from "./progress.ts";
import { parseIds } from "./selectors.ts";
import { stateColour } from "./text.ts";

/** A terminal's bar moves this often; elsewhere lines are enough. */
const pollTerminalMs = 1000;
const pollLinesMs = 10_000;

/** `skein wait ID...` */
export function addWait(program: Command, cli: Cli): void {
  const command = program
    .command("wait")
    .description("wait until jobs are finished; exits 0 when all succeeded, 1 when one did not")
    .argument("<ids...>", "5  1-10  1,3,5-8  last")
    .option("--timeout <duration>", "give up after this long with exit code 124; the jobs go on");
  cli.verb<{ readonly timeout?: string }, [string[]]>(command, async (session, flags, texts) => {
    const timeoutMs = durationFlag("--timeout", flags.timeout);
    return waitFor(session, await parseIds(texts, session.findLast), timeoutMs);
  });
}

/** Milliseconds of a duration flag, within the range where one is given; undefined: not given. Throws CliError. */
export function durationFlag(
  flag: string,
  text: string | undefined,
  range?: { readonly minMs: number; readonly maxMs: number },
): number | undefined {
  if (text === undefined) return undefined;
  const durationMs = parseDuration(text);
  if (durationMs === undefined) {
    throw new CliError(exit.usage, `${flag} "${text}" is not a duration: write 250ms, 90s, 1h30m or 7d`);
  }
  if (range !== undefined && (durationMs < range.minMs || durationMs > range.maxMs)) {
    const [least, most] = [formatDuration(range.minMs), formatDuration(range.maxMs)];
    throw new CliError(exit.usage, `${flag} "${text}" is not from ${least} to ${most}`);
  }
  return durationMs;
}

/** Waits for these jobs with progress, prints their states, and gives the exit code. */
export async function waitFor(
  session: Session,
  ids: readonly number[],
  timeoutMs: number | undefined,
): Promise<number> {
  const { output, io } = session;
  const label = ids.length === 1 ? `job ${ids[0]}` : `${ids.length} jobs`;
  const progress = new Progress(io.stderr, label, output.errorColours);
  let view: WaitView;
  try {
    view = await session.interruptible(async (signal) => waitWithProgress(session, ids, timeoutMs, progress, signal));
  } finally {
    progress.hide();
  }
  output.result({
    value: view,
    ids: view.jobs.filter((job) => isTerminal(job.state)).map((job) => job.id),
    table: (out) =>
      out.rows(
        [
          { title: "ID", align: "right" },
          { title: "STATE", colour: stateColour },
        ],
        view.jobs.map((job) => [String(job.id), job.state]),
      ),
  });
  if (view.forgotten !== undefined)
    output.note(`skein: finished, and forgotten before anybody saw how: ${view.forgotten.join(", ")}`);
  if (!view.finished) {
    output.note(`skein: the time is up; ${label} ${ids.length === 1 ? "goes" : "go"} on`);
    return exit.timedOut;
  }
  const allSucceeded = view.forgotten === undefined && view.jobs.every((job) => job.state === "succeeded");
  return allSucceeded ? exit.done : exit.jobFailed;
}

/** Progress is shown between the client's requests; each of them ends at once when all are finished. */
function waitWithProgress(
  session: Session,
  ids: readonly number[],
  timeoutMs: number | undefined,
  progress: Progress,
  signal: AbortSignal,
): Promise<WaitView> {
  const { client, io } = session;
  return client.wait(ids, {
    timeoutMs,
    everyMs: io.stderr.isTty ? pollTerminalMs : pollLinesMs,
    onProgress: async (view) => progress.show(await advance(session, view)),
    signal,
  });
}

async function advance(session: Session, view: WaitView): Promise<Advance> {
  const [only] = view.jobs;
  if (view.jobs.length === 1 && view.forgotten === undefined)
    return advanceOf((await session.client.job(only!.id)).counts);
  return {
    done: view.jobs.filter((job) => isTerminal(job.state)).length + (view.forgotten?.length ?? 0),
    total: view.jobs.length + (view.forgotten?.length ?? 0),
    failed: view.jobs.filter((job) => job.state === "failed").length,
    running: view.jobs.filter((job) => job.state === "running").length,
  };
}
