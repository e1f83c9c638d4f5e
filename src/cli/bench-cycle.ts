import type { Command } from "commander";
import { limits } from "../lib/limits.ts";
import { isTerminal } from "../lib/states.ts";
import { formatDuration } from "../lib/units.ts";
import type { JobState } from "../state/types.ts";
import { type Conditions, conditionFields, conditionsOf, wholeFlag } from "./bench-conditions.ts";
import type { Cli, Session } from "./cli.ts";
import { exit } from "./exit.ts";
import { OwnStarts } from "./own-starts.ts";
import { advanceOf, Progress } from "./progress.ts";
import { durationFlag } from "./wait.ts";

const submitsAtOnce = 4;
/** At most so many jobs, evenly chosen, are looked at for where and when they ran. */
const sampledJobsMax = 500;
const pollMs = 1000;

interface BenchCycleFlags {
  readonly jobs?: string;
  readonly batch?: string;
  readonly array?: boolean;
  readonly taskTimeout?: string;
  readonly timeout?: string;
}

/** `skein bench cycle` */
export function addBenchCycle(parent: Command, cli: Cli): void {
  const command = parent
    .command("cycle")
    .description("submit noop jobs and wait until all have run")
    .option("--jobs <n>", "how many (default 10000)")
    .option("--batch <n>", "jobs in a request (default 200)")
    .option("--array", "one job with so many tasks instead")
    .option(
      "--task-timeout <duration>",
      "each task has this timeout: none of them is run by a shorter way, as units of such are that can do nothing",
    )
    .option("--timeout <duration>", "give up after this long with exit code 124 (default 5m)");
  cli.verb<BenchCycleFlags>(command, async (session, flags) => benchCycle(session, flags, await conditionsOf(session)));
}

async function benchCycle(session: Session, flags: BenchCycleFlags, given: Conditions): Promise<number> {
  const count = wholeFlag("--jobs", flags.jobs, 10_000, 1, 1_000_000);
  const batch = wholeFlag("--batch", flags.batch, 200, 1, limits.specsPerRequest);
  const timeoutMs = durationFlag("--timeout", flags.timeout) ?? 5 * 60_000;
  const array = flags.array === true;
  const taskTimeoutMs = durationFlag("--task-timeout", flags.taskTimeout);
  const common = taskTimeoutMs === undefined ? {} : { timeout: formatDuration(taskTimeoutMs) };

  const start = performance.now();
  const cpu = process.cpuUsage();
  const ids = array
    ? (await session.client.submit({ driver: "noop", count, ...common })).ids
    : await submitAll(session, count, batch, common);
  const submittedMs = performance.now() - start;
  const ended = await session.interruptible((signal) => untilDone(session, ids, start + timeoutMs, signal));
  const totalMs = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  const seen = ended.finished ? await lookAt(session, ids, given.nodes) : undefined;

  const figures = {
    jobs: array ? 1 : count,
    tasks: count,
    submit_seconds: seconds(submittedMs),
    total_seconds: seconds(totalMs),
    tasks_per_second: ended.finished ? Math.round((count * 1000) / totalMs) : null,
    client_cpu_seconds: seconds((user + system) / 1000),
    finished: ended.finished,
    failed: ended.failed,
    looked_at: seen?.tasks ?? 0,
    share_by_node: seen?.shareByNode ?? {},
    least_share: seen?.leastShare ?? null,
    without_own_start: seen?.withoutOwnStart ?? null,
  };
  session.output.result({
    value: { ...given, ...figures },
    ids: [figures.tasks_per_second ?? 0],
    table: (out) =>
      out.fields([
        ...conditionFields(given),
        ["work", array ? `one array of ${count} noop tasks` : `${count} noop jobs in batches of ${batch}`],
        ["task timeout", flags.taskTimeout],
        ["submitted", `in ${figures.submit_seconds} s`],
        [
          "all done",
          ended.finished ? `in ${figures.total_seconds} s` : "no: the time is up",
          ended.finished ? undefined : "red",
        ],
        ["tasks", figures.tasks_per_second === null ? undefined : `${figures.tasks_per_second}/s`, "bold"],
        ["failed", ended.failed === 0 ? undefined : String(ended.failed), "red"],
        ["nodes", seen === undefined ? undefined : shareText(seen)],
        [
          "no own start",
          seen === undefined || seen.withoutOwnStart === 0 ? undefined : `${seen.withoutOwnStart} tasks`,
          "red",
        ],
      ]),
  });
  if (!ended.finished) return exit.timedOut;
  return ended.failed === 0 ? exit.done : exit.jobFailed;
}

async function submitAll(session: Session, count: number, batch: number, common: object): Promise<number[]> {
  const ids: number[] = [];
  let left = count;
  const sender = async (): Promise<void> => {
    while (left > 0) {
      const size = Math.min(batch, left);
      left -= size;
      const specs = Array.from({ length: size }, (_, at) => ({ ...specOf(left + at), ...common }));
      const answer = await session.client.submit(specs);
      ids.push(...answer.ids);
    }
  };
  await Promise.all(Array.from({ length: submitsAtOnce }, sender));
  return ids.sort((a, b) => a - b);
}

/** No two are equal, as no two jobs of a real queue are. */
function specOf(number: number): object {
  return { driver: "noop", name: `cycle ${number}`, labels: { number: String(number) } };
}

/** Waits for all, by one wait: what has ended is not asked for again. */
async function untilDone(
  session: Session,
  ids: readonly number[],
  deadline: number,
  signal: AbortSignal,
): Promise<{ readonly finished: boolean; readonly failed: number }> {
  const { client, io, output } = session;
  const progress = new Progress(io.stderr, "bench", output.colours);
  const failedOf = (states: readonly JobState[]): number =>
    states.filter((state) => isTerminal(state) && state !== "succeeded").length;
  try {
    const view = await client.wait(ids, {
      timeoutMs: Math.max(0, deadline - performance.now()),
      signal,
      everyMs: pollMs,
      onProgress: async ({ jobs }) => {
        if (ids.length === 1) return progress.show(advanceOf((await client.job(ids[0]!, { signal })).counts));
        const states = jobs.map((job) => job.state);
        const open = states.filter((state) => !isTerminal(state)).length;
        const running = states.filter((state) => state === "running").length;
        return progress.show({ done: ids.length - open, total: ids.length, failed: failedOf(states), running });
      },
    });
    return { finished: view.finished, failed: failedOf(view.jobs.map((job) => job.state)) };
  } finally {
    progress.hide();
  }
}

interface Seen {
  readonly tasks: number;
  readonly shareByNode: Readonly<Record<string, number>>;
  /** Of the node that ran the fewest, from 0 to 1. */
  readonly leastShare: number;
  /** Tasks that lack a start of their own (own-starts.ts). */
  readonly withoutOwnStart: number;
}

/** Looks at all tasks of an array, or at those of jobs evenly chosen. */
async function lookAt(session: Session, ids: readonly number[], nodes: number): Promise<Seen> {
  const starts = new OwnStarts();
  const step = Math.max(1, Math.ceil(ids.length / sampledJobsMax));
  for (let at = 0; at < ids.length; at += step) {
    const { submitted_at } = await session.client.job(ids[at]!);
    for await (const task of session.client.everyTask(ids[at]!)) starts.look(task, submitted_at);
  }
  const { tasks, byNode: shareByNode, lacking: withoutOwnStart } = starts;
  const shares = Object.values(shareByNode);
  const leastShare = tasks === 0 || shares.length < nodes ? 0 : Math.min(...shares) / tasks;
  return { tasks, shareByNode, leastShare: Math.round(leastShare * 1000) / 1000, withoutOwnStart };
}

function shareText({ shareByNode, tasks }: Seen): string | undefined {
  if (tasks === 0) return undefined;
  const each = Object.entries(shareByNode).map(
    ([node, count]) => `node ${node}: ${Math.round((100 * count) / tasks)} %`,
  );
  return `${each.join(", ")}  (of ${tasks} tasks looked at)`;
}

function seconds(spanMs: number): number {
  return Math.round(spanMs) / 1000;
}
