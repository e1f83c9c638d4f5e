import type { Command } from "commander";
import { limits } from "../lib/limits.ts";
import { formatDuration } from "../lib/units.ts";
import { type Conditions, conditionFields, conditionsOf, wholeFlag } from "./bench-conditions.ts";
import type { Cli, Session } from "./cli.ts";
import { measureCron } from "./cron-load.ts";
import { CliError, exit } from "./exit.ts";
import type { Histogram } from "./histogram.ts";
import { durationFlag } from "./wait.ts";

interface BenchCronFlags {
  readonly schedules?: string;
  readonly every?: string;
  readonly spread?: boolean;
  readonly seconds?: string;
}

/** Instants of warming up, and those that pass until the history is read. */
const otherInstants = 100;

/** `skein bench cron` */
export function addBenchCron(parent: Command, cli: Cli): void {
  const command = parent
    .command("cron")
    .description("make schedules, measure how late they fire, and remove them")
    .option("--schedules <n>", "how many (default 1000)")
    .option("--every <duration>", "how often each is due (default 5s)")
    .option("--spread", "by jitter over the whole interval; otherwise all are due at one instant")
    .option("--seconds <n>", "how long to measure, after an interval of warming up (default 30)");
  cli.verb<BenchCronFlags>(command, async (session, flags) => benchCron(session, flags, await conditionsOf(session)));
}

async function benchCron(session: Session, flags: BenchCronFlags, given: Conditions): Promise<number> {
  const count = wholeFlag("--schedules", flags.schedules, 1_000, 1, 100_000);
  const everyMs = durationFlag("--every", flags.every, { minMs: 1_000, maxMs: 3_600_000 }) ?? 5_000;
  const seconds = wholeFlag("--seconds", flags.seconds, 30, 1, 3_600);
  const instants = Math.ceil((seconds * 1_000) / everyMs);
  const most = limits.firesKept - otherInstants;
  if (instants > most)
    throw new CliError(
      exit.usage,
      `--seconds ${seconds}: ${instants} instants each are more than the ${most} that are remembered; measure for less time, or with a longer --every`,
    );
  const isSpread = flags.spread === true;
  const { setMs, lateness, started } = await measureCron(session, { count, everyMs, isSpread, instants });
  return report(session, given, {
    schedules: count,
    every: formatDuration(everyMs),
    spread: isSpread,
    seconds: (instants * everyMs) / 1_000,
    set_per_second: Math.round((count * 1_000) / setMs),
    fires_per_second: Math.round((count * 1_000) / everyMs),
    ...lateness.counts,
    late_ms: figuresOf(lateness.lags),
    started_late_ms: figuresOf(started),
  });
}

interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

function figuresOf(values: Histogram): Percentiles {
  const at = (share: number): number => Math.round(values.percentile(share) * 10) / 10;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: Math.round(values.maxMs * 10) / 10 };
}

interface Figures {
  readonly schedules: number;
  readonly every: string;
  readonly spread: boolean;
  readonly seconds: number;
  readonly set_per_second: number;
  readonly fires_per_second: number;
  readonly fires: number;
  readonly doubled: number;
  readonly missed: number;
  readonly early: number;
  /** To the fire's entry in the log. */
  readonly late_ms: Percentiles;
  /** To the start of its job. */
  readonly started_late_ms: Percentiles;
}

/** Prints the figures; a run in which an instant was doubled, missed or early exits 1. */
function report(session: Session, given: Conditions, figures: Figures): number {
  const { doubled, missed, early } = figures;
  const isWell = doubled + missed + early === 0;
  session.output.result({
    value: { ...given, ...figures },
    ids: [figures.late_ms.p99],
    table: (out) => {
      const how = figures.spread ? "spread over it" : "all at one instant";
      out.fields([
        ...conditionFields(given),
        ["work", `${figures.schedules} schedules every ${figures.every}, ${how}, ${figures.seconds} s`],
        ["set", `${figures.set_per_second}/s`],
        ["fires", `${figures.fires} (${figures.fires_per_second}/s)`, "bold"],
        ["late", textOf(figures.late_ms), "bold"],
        ["jobs started", textOf(figures.started_late_ms)],
        ["wrong", isWell ? "none" : `${doubled} doubled, ${missed} missed, ${early} early`, isWell ? undefined : "red"],
      ]);
    },
  });
  return isWell ? exit.done : exit.jobFailed;
}

function textOf({ p50, p90, p99, max }: Percentiles): string {
  return `p50 ${p50} ms, p90 ${p90} ms, p99 ${p99} ms, max ${max} ms`;
}
