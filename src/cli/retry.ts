import type { Command } from "commander";
import { parseRanges } from "../lib/ranges.ts";
import type { Cli, Session } from "./cli.ts";
import { eachJob } from "./each-job.ts";
import { CliError, exit } from "./exit.ts";
import { parseIds } from "./selectors.ts";
import { waitFor } from "./wait.ts";

interface RetryFlags {
  readonly failed?: boolean;
  readonly unreachable?: boolean;
  readonly unfinished?: boolean;
  readonly tasks?: string;
  readonly wait?: boolean;
  readonly idempotencyKey?: string;
}

/** `skein jobs retry ID...` */
export function addRetry(parent: Command, cli: Cli): void {
  const command = parent
    .command("retry")
    .description("run finished jobs again, each as a new job of the same spec, and print the new ids")
    .argument("<ids...>", "5  1-10  1,3,5-8  last")
    .option("--failed", "only tasks that failed, timed out or were lost")
    .option("--unreachable", "only tasks whose host could not be reached")
    .option("--unfinished", "only tasks that did not succeed, cancelled and skipped ones too")
    .option("--tasks <numbers>", "only these tasks: 1,3,5-8")
    .option("--wait", "wait until all are finished, and exit as `skein wait` does")
    .option("--idempotency-key <key>", "a repeated retry with this key gives the first one's id; for one job");
  cli.verb<RetryFlags, [string[]]>(command, retry);
}

async function retry(session: Session, flags: RetryFlags, texts: readonly string[]): Promise<number> {
  const { client, output } = session;
  const { failed, unreachable, unfinished, tasks, idempotencyKey: key } = flags;
  if ([failed, unreachable, unfinished, tasks].filter((one) => one !== undefined).length > 1)
    throw new CliError(
      exit.usage,
      "--failed, --unreachable, --unfinished and --tasks go not together: each says which tasks",
    );
  const list = tasks === undefined ? undefined : parseRanges(tasks);
  if (typeof list === "string") throw new CliError(exit.usage, `--tasks: ${list}`);
  const ids = await parseIds(texts, session.findLast);
  if (key !== undefined && ids.length > 1)
    throw new CliError(exit.usage, `--idempotency-key is for one job, and these are ${ids.length}`);
  const only =
    failed === true ? "failed" : unreachable === true ? "unreachable" : unfinished === true ? "unfinished" : undefined;
  const { code, done } = await eachJob(
    session,
    ids.map((id) => String(id)),
    async (id) => {
      const made = await client.retry(id, { only, tasks, key });
      if (made.repeated) output.note("retried before under this key: this is the first id");
      return { id: made.id, retry_of: id };
    },
  );
  const made = done.map((one) => one.id);
  if (flags.wait === true && made.length > 0) {
    const waited = await waitFor(session, made, undefined);
    return code === exit.done ? waited : code;
  }
  output.result({
    value: done.length === 1 ? done[0] : { jobs: done },
    ids: made,
    table: (out) => made.forEach((id) => out.line(String(id))),
  });
  return code;
}
