import type { Command } from "commander";
import { limits } from "../lib/limits.ts";
import type { DeadLetterView } from "../state/answers.ts";
import type { DeadQuery } from "../client/queries.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { limitFlag, noteNext } from "./jobs.ts";
import type { Output } from "./output.ts";
import { parseIds } from "./selectors.ts";
import { cut } from "./text.ts";
import { instantText } from "./views.ts";
import { waitFor } from "./wait.ts";

interface Which {
  readonly name?: string;
  readonly label?: string;
  readonly by?: string;
  readonly since?: string;
}

interface ListFlags extends Which {
  readonly limit?: string;
  readonly next?: string;
}

interface ReplayFlags extends Which {
  readonly all?: boolean;
  readonly wait?: boolean;
}

/** `skein jobs dead`, and `skein jobs replay` */
export function addDead(program: Command, cli: Cli): void {
  const parent = program.commands.find((one) => one.name() === "jobs")!;
  const list = which(
    parent
      .command("dead")
      .description("list dead letters: jobs that have failed, with all their retries, and were not run again"),
  )
    .option("--limit <n>", `at most so many (1..${limits.listMax}, default ${limits.listDefault})`)
    .option("--next <mark>", "go on after an earlier list");
  cli.verb<ListFlags>(list, async (session, flags) => {
    const page = await session.client.deadLetters({
      ...queryOf(flags),
      next: flags.next,
      limit: limitFlag(flags.limit),
    });
    session.output.result({
      value: page,
      ids: page.dead_letters.map(({ id }) => id),
      table: (out) => printDead(out, page.dead_letters),
    });
    noteNext(session, page.next);
    return exit.done;
  });
  const replay = which(
    parent
      .command("replay")
      .description(
        "run dead letters again, oldest first, each once and what of it did not succeed, and print the new ids",
      )
      .argument("[ids...]", "5  1-10  1,3,5-8  last"),
  )
    .option("--all", "all of them")
    .option("--wait", "wait until all are finished, and exit as `skein wait` does");
  cli.verb<ReplayFlags, [string[]]>(replay, replayDead);
}

function which(command: Command): Command {
  return command
    .option("--name <name>", "only jobs of this name")
    .option("--label <selector>", "only jobs with these labels: team=docs")
    .option("--by <name>", "only jobs that were submitted under this name")
    .option("--since <time>", "failed since: 2h (back from now) or an RFC 3339 time");
}

function queryOf({ name, label, by, since }: Which): DeadQuery {
  return { name, label, by, since };
}

async function replayDead(session: Session, flags: ReplayFlags, texts: readonly string[]): Promise<number> {
  const { client, output } = session;
  const query = queryOf(flags);
  const isFiltered = flags.all === true || Object.values(query).some((one) => one !== undefined);
  if (isFiltered === texts.length > 0)
    throw new CliError(exit.usage, "say which dead letters: ids, or --all, --name, --label, --by or --since");
  const ids = isFiltered ? undefined : await parseIds(texts, session.findLast);
  const { replayed, refused } = await client.replay(ids === undefined ? query : { ids });
  for (const { id, message } of refused) output.note(`skein: job ${id}: ${message}`, "red");
  const made = replayed.map(({ id }) => id);
  const code =
    refused.length === 0 ? exit.done : refused.every((one) => one.code === "not-found") ? exit.notFound : exit.refused;
  if (flags.wait === true && made.length > 0) {
    const waited = await waitFor(session, made, undefined);
    return code === exit.done ? waited : code;
  }
  output.result({
    value: { replayed, refused },
    ids: made,
    table: (out) => {
      for (const { id, retry_of: of } of replayed) out.line(`${id} (job ${of} again)`);
      if (replayed.length === 0 && refused.length === 0) output.note("there are none", "dim");
    },
  });
  return code;
}

function printDead(out: Output, letters: readonly DeadLetterView[]): void {
  out.rows(
    [
      { title: "ID", align: "right" },
      { title: "NAME", shrinks: true },
      { title: "FAILED", align: "right" },
      { title: "TRIES", align: "right" },
      { title: "NODE", align: "right" },
      { title: "BY", shrinks: true },
      { title: "AT" },
      { title: "WHY", shrinks: true },
    ],
    letters.map((one) => [
      String(one.id),
      one.name,
      `${one.failed}/${one.tasks}`,
      one.example === undefined ? "" : String(one.example.attempts),
      one.example?.node === undefined || one.example.node === null ? "" : String(one.example.node),
      one.submitted_by,
      instantText(one.finished_at),
      cut(whyOf(one), 200),
    ]),
  );
}

function whyOf({ reason, example }: DeadLetterView): string {
  if (example === undefined) return reason ?? "";
  const end = example.signal ?? (example.exit_code === null ? example.state : `exit code ${example.exit_code}`);
  return [...new Set([reason, example.reason ?? end])].filter((one) => one !== undefined).join("; ");
}
