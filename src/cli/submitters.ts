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
    .description("what whoever submits jobs may have, by the name of their tokens: shares of the slots");
  cli.verb(parent.command("ls").description("list who has a share of their own"), async (session) => {
    const submitters = await session.client.submitters();
    session.output.result({
      value: { submitters },
      ids: submitters.map(({ name }) => name),
      table: (out) => printSubmitters(out, submitters),
    });
    return exit.done;
  });
  const set = parent
    .command("set")
    .description("set the share of whoever submits under a name; * is everybody without one of their own")
    .argument("<name>", 'the name of a token, as `jobs show` has it at "submitted"')
    .option("--weight <n>", `share of the slots that are contended for (1..${limits.shareWeight}, default 1)`);
  cli.verb<{ readonly weight?: string }, [string]>(set, async (session, flags, name) => {
    const weight = whole("--weight", flags.weight, limits.shareWeight);
    if (weight === undefined) throw new CliError(exit.usage, "nothing is to be set: give --weight");
    const row = await session.client.call("submitter.set", { name, weight }, { idempotent: true });
    session.output.result({ value: row, ids: [name], table: (out) => printSubmitters(out, [row]) });
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
    ],
    submitters.map(({ name, weight }) => [name, String(weight)]),
  );
}
