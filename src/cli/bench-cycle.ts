import type { Command } from "commander";
import { limits } from "../lib/limits.ts";
import { isTerminal } from "../lib/states.ts";
import { type Conditions, conditionFields, conditionsOf, wholeFlag } from "./bench-conditions.ts";
import type { Cli, Session } from "./cli.ts";
import { exit } from "./exit.ts";
import { advanceOf, Progress } from "./progress.ts";
import { durationFlag } from "./wait.ts";

const submitsAtOnce = 4;
/** The share of the nodes is counted from at most so many jobs, evenly chosen. */
const sampledJobsMax = 500;
const pollMs = 500;

interface BenchCycleFlags {
  readonly jobs?: string;
  readonly batch?: string;
  readonly array?: boolean;
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
    .option("--timeout <duration>", "give up after this long with exit code 124 (default 5m)");
  cli.verb<BenchCycleFlags>(command, async (session, flags) => benchCycle(session, flags, await conditionsOf(session)));
}

async function benchCycle(session: Session, flags: BenchCycleFlags, given: Conditions): Promise<number> {
  const count = wholeFlag("--jobs", flags.jobs, 10_000, 1, 1_000_000);
  const batch = wholeFlag("--batch", flags.batch, 200, 1, limits.specsPerRequest);
  const timeoutMs = durationFlag("--timeout", flags.timeout) ?? 5 * 60_000;
  const array = flags.array === true;

  const start = performance.now();
  const ids = array
    ? (await session.client.submit({ driver: "noop", count })).ids
    : await submitAll(session, count, batch);
  const submittedMs = performance.now() - start;
  const ended = await session.interruptible((signal) => untilDone(session, ids, start + timeoutMs, signal));
  const totalMs = performance.now() - start;
  const share = ended.finished ? await shareOf(session, ids) : {};

  const figures = {
    jobs: array ? 1 : count,
    tasks: count,
    submit_seconds: seconds(submittedMs),
    total_seconds: seconds(totalMs),
    tasks_per_second: ended.finished ? Math.round((count * 1000) / totalMs) : null,
    finished: ended.finished,
    failed: ended.failed,
    share_by_node: share,
  };
  session.output.result({
    value: { ...given, ...figures },
    ids: [figures.tasks_per_second ?? 0],
    table: (out) =>
      out.fields([
        ...conditionFields(given),
        ["work", array ? `one array of ${count} noop tasks` : `${count} noop jobs in batches of ${batch}`],
        ["submitted", `in ${figures.submit_seconds} s`],
        [
          "all done",
          ended.finished ? `in ${figures.total_seconds} s` : "no: the time is up",
          ended.finished ? undefined : "red",
        ],
        ["tasks", figures.tasks_per_second === null ? undefined : `${figures.tasks_per_second}/s`, "bold"],
        ["failed", ended.failed === 0 ? undefined : String(ended.failed), "red"],
        ["nodes", shareText(share)],
      ]),
  });
  if (!ended.finished) return exit.timedOut;
  return ended.failed === 0 ? exit.done : exit.jobFailed;
}

async function submitAll(session: Session, count: number, batch: number): Promise<number[]> {
  const ids: number[] = [];
  let left = count;
  const sender = async (): Promise<void> => {
    while (left > 0) {
      const size = Math.min(batch, left);
      left -= size;
      const answer = await session.client.submit(Array.from({ length: size }, () => ({ driver: "noop" })));
      ids.push(...answer.ids);
    }
  };
  await Promise.all(Array.from({ length: submitsAtOnce }, sender));
  return ids.sort((a, b) => a - b);
}

/** Waits for all; jobs start about in order, so the last ones are asked for last. */
async function untilDone(
  session: Session,
  ids: readonly number[],
  deadline: number,
  signal: AbortSignal,
): Promise<{ readonly finished: boolean; readonly failed: number }> {
  const { client, io, output } = session;
  const progress = new Progress(io.stderr, "bench", output.colours);
  let failed = 0;
  try {
    for (let at = 0; at < ids.length; at += limits.specsPerRequest) {
      const some = ids.slice(at, at + limits.specsPerRequest);
      for (;;) {
        const view = await client.wait(some, { timeoutMs: pollMs, signal });
        const states = view.jobs.map((job) => job.state);
        if (view.finished) {
          failed += states.filter((state) => state !== "succeeded").length;
          break;
        }
        if (performance.now() > deadline) return { finished: false, failed };
        if (ids.length === 1) progress.show(advanceOf((await client.job(ids[0]!, { signal })).counts));
        else {
          const open = states.filter((state) => !isTerminal(state));
          const running = states.filter((state) => state === "running").length;
          progress.show({ done: at + some.length - open.length, total: ids.length, failed, running });
        }
      }
    }
  } finally {
    progress.hide();
  }
  return { finished: true, failed };
}

/** Tasks by node id, of all tasks of an array's first pages or of jobs evenly chosen. */
async function shareOf(session: Session, ids: readonly number[]): Promise<Record<string, number>> {
  const share: Record<string, number> = {};
  const step = Math.max(1, Math.ceil(ids.length / sampledJobsMax));
  for (let at = 0; at < ids.length; at += step) {
    for await (const task of session.client.everyTask(ids[at]!)) {
      const node = String(task.node ?? "none");
      share[node] = (share[node] ?? 0) + 1;
    }
  }
  return share;
}

function shareText(share: Readonly<Record<string, number>>): string | undefined {
  const total = Object.values(share).reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  const each = Object.entries(share).map(([node, count]) => `node ${node}: ${Math.round((100 * count) / total)} %`);
  return `${each.join(", ")}  (of ${total} tasks looked at)`;
}

function seconds(spanMs: number): number {
  return Math.round(spanMs) / 1000;
}
