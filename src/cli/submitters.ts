import type { Command } from "commander";
import { limits } from "../lib/limits.ts";
import type { SubmitterView } from "../state/answers.ts";
import type { Cli } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import type { Output } from "./output.ts";

/** `skein submitters ls|set` */
export function addSubmitters(program: Command, cli: Cli): void {
  const parent = program
    .command("submitters")
    .description(
      "what whoever submits jobs may have, by the name of their tokens: shares of the slots, unfinished jobs",
    );
  cli.verb(
    parent.command("ls").description("list who has a share or a limit of their own, and who has most unfinished jobs"),
    async (session) => {
      const submitters = await session.client.submitters();
      session.output.result({
        value: { submitters },
        ids: submitters.map(({ name }) => name),
        table: (out) => printSubmitters(out, submitters),
      });
      return exit.done;
    },
  );
  const set = parent
    .command("set")
    .description("set what whoever submits under a name may have; * is everybody without one of their own")
    .argument("<name>", 'the name of a token, as `jobs show` has it at "submitted"')
    .option("--weight <n>", `share of the slots that are contended for (1..${limits.shareWeight}, default 1)`)
    .option(
      "--jobs <n>",
      "how many unfinished jobs they may have, or none for no limit; more are refused until some have ended",
    );
  cli.verb<{ readonly weight?: string; readonly jobs?: string }, [string]>(set, async (session, flags, name) => {
    const weight = whole("--weight", flags.weight, limits.shareWeight);
    const jobs = flags.jobs === "none" ? null : whole("--jobs", flags.jobs, limits.unfinishedJobs);
    if (weight === undefined && jobs === undefined)
      throw new CliError(exit.usage, "nothing is to be set: give --weight or --jobs");
    const input = {
      name,
      ...(weight === undefined ? {} : { weight }),
      ...(jobs === undefined ? {} : { jobs_max: jobs }),
    };
    const row = await session.client.call("submitter.set", input, { idempotent: true });
    const shown = { ...row, jobs: null };
    session.output.result({ value: row, ids: [name], table: (out) => printSubmitters(out, [shown]) });
    return exit.done;
  });
}

function whole(flag: string, text: string | undefined, high: number): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= high) return value;
  throw new CliError(exit.usage, `${flag} "${text}" is not a whole number from 1 to ${high}`);
}

function printSubmitters(out: Output, submitters: readonly SubmitterView[]): void {
  out.rows(
    [
      { title: "NAME", shrinks: true },
      { title: "WEIGHT", align: "right" },
      { title: "JOBS", align: "right" },
      { title: "AT MOST", align: "right" },
    ],
    submitters.map(({ name, weight, jobs, jobs_max: most }) => [
      name,
      String(weight),
      jobs === null ? "-" : String(jobs),
      most === null ? "-" : String(most),
    ]),
  );
}
