import { type Command, Option } from "commander";
import { urlOf } from "../lib/host-port.ts";
import { limits } from "../lib/limits.ts";
import { type Conditions, conditionFields, conditionsOf, wholeFlag } from "./bench-conditions.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { type LoadResult, makeLoad } from "./http-load.ts";
import { readSpecs } from "./specs-file.ts";

const warmupMs = 1000;

interface BenchSubmitFlags {
  readonly connections?: string;
  readonly batch?: string;
  readonly seconds?: string;
  readonly spec?: string;
  readonly to?: "leader" | "all";
}

/** `skein bench submit` */
export function addBenchSubmit(parent: Command, cli: Cli): void {
  const command = parent
    .command("submit")
    .description("submit jobs as fast as the mesh takes them")
    .option("--connections <n>", "requests under way at once (default 256)")
    .option("--batch <n>", "jobs in a request (default 1)")
    .option("--seconds <n>", "how long to measure, after a second of warming up (default 5)")
    .option("--spec <file>", "noop (default), or a file with one spec")
    .addOption(
      new Option("--to <nodes>", "leader, or all nodes of --addr in turn (default)").choices(["leader", "all"]),
    );
  cli.verb<BenchSubmitFlags>(command, async (session, flags) =>
    benchSubmit(session, flags, await conditionsOf(session)),
  );
}

async function benchSubmit(session: Session, flags: BenchSubmitFlags, given: Conditions): Promise<number> {
  const connections = wholeFlag("--connections", flags.connections, 256, 1, 10_000);
  const batch = wholeFlag("--batch", flags.batch, 1, 1, limits.specsPerRequest);
  const seconds = wholeFlag("--seconds", flags.seconds, 5, 1, 600);
  const spec = await specOf(session, flags.spec ?? "noop");
  const origins = flags.to === "leader" ? [await leaderOrigin(session)] : session.target.addrs;
  const { token } = session.target;
  const body = JSON.stringify(batch === 1 ? spec : { jobs: Array.from({ length: batch }, () => spec) });
  const before = process.cpuUsage();
  const result = await session.interruptible((signal) =>
    makeLoad({
      origins: origins.map((origin) => new URL(origin).origin),
      ca: session.target.ca,
      connections,
      path: "/v1/jobs",
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      body,
      warmupMs,
      measuredMs: seconds * 1000,
      signal,
    }),
  );
  const { user, system } = process.cpuUsage(before);
  const setting = { ...given, connections, batch, to: flags.to ?? "all", addrs: origins };
  return report(session, result, { ...setting, client_cpu_seconds: rounded((user + system) / 1e6) });
}

interface Setting extends Conditions {
  readonly connections: number;
  readonly batch: number;
  readonly to: string;
  readonly addrs: readonly string[];
  /** Processor time of this process, the warming up included. */
  readonly client_cpu_seconds: number;
}

/** Prints the figures; a run in which nothing was accepted, or something was refused, exits 1. */
function report(session: Session, result: LoadResult, setting: Setting): number {
  const { latencies, seconds } = result;
  const accepted = latencies.count;
  const errors = Object.fromEntries(
    [...result.statuses].filter(([status]) => status >= 300).map(([status, count]) => [String(status), count]),
  );
  const broken = Object.fromEntries(result.broken);
  const figures = {
    requests_per_second: Math.round(accepted / seconds),
    jobs_per_second: Math.round((accepted * setting.batch) / seconds),
    latency_ms: {
      p50: rounded(latencies.percentile(0.5)),
      p90: rounded(latencies.percentile(0.9)),
      p99: rounded(latencies.percentile(0.99)),
      max: rounded(latencies.maxMs),
    },
    errors: { ...errors, ...broken },
  };
  session.output.result({
    value: { ...setting, seconds, ...figures },
    ids: [figures.jobs_per_second],
    table: (out) => {
      const { p50, p90, p99, max } = figures.latency_ms;
      const wrong = Object.entries(figures.errors).map(([what, count]) => `${count} x ${what}`);
      out.fields([
        ...conditionFields(setting),
        [
          "load",
          `${setting.connections} connections to ${setting.addrs.join(", ")}, ${setting.batch} jobs a request, ${seconds} s`,
        ],
        ["requests", `${figures.requests_per_second}/s`, "bold"],
        ["jobs", `${figures.jobs_per_second}/s`, "bold"],
        ["latency", `p50 ${p50} ms, p90 ${p90} ms, p99 ${p99} ms, max ${max} ms`],
        ["errors", wrong.length === 0 ? "none" : wrong.join(", "), wrong.length === 0 ? undefined : "red"],
      ]);
    },
  });
  return accepted > 0 && Object.keys(figures.errors).length === 0 ? exit.done : exit.jobFailed;
}

async function specOf(session: Session, name: string): Promise<object> {
  if (name === "noop") return { driver: "noop" };
  const { specs } = await readSpecs(name, session.io);
  if (specs.length !== 1) throw new CliError(exit.usage, `--spec ${name} holds ${specs.length} specs: one is wanted`);
  return specs[0]!;
}

async function leaderOrigin(session: Session): Promise<string> {
  const cluster = await session.client.cluster();
  const leader = cluster.nodes.find((node) => node.id === cluster.leader);
  if (leader === undefined) throw new CliError(exit.unreachable, "no leader is known now: try again, or use --to all");
  return urlOf(leader.api);
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
