import type { Command } from "commander";
import { ApiError } from "../client/errors.ts";
import type { Problem } from "../lib/outcome.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { readSpecs, type SpecsFile } from "./specs-file.ts";
import { waitFor } from "./wait.ts";

interface SubmitFlags {
  readonly wait?: boolean;
  readonly idempotencyKey?: string;
}

/** `skein submit FILE|-` */
export function addSubmit(program: Command, cli: Cli): void {
  const command = program
    .command("submit")
    .description("submit the specs of a file (YAML, JSON or NDJSON; one or many) and print the ids")
    .argument("<file>", "the file, or - for standard input")
    .option("--wait", "wait until all are finished, and exit as `skein wait` does")
    .option("--idempotency-key <key>", "a repeated submit with this key gives the first one's ids");
  cli.verb<SubmitFlags, [string]>(command, submit);
}

async function submit(session: Session, flags: SubmitFlags, path: string): Promise<number> {
  const { output } = session;
  const file = await readSpecs(path, session.io);
  const { ids, repeated } = await send(session, file, flags.idempotencyKey);
  if (repeated) output.note("submitted before under this key: these are the first ids");
  if (flags.wait === true) return waitFor(session, ids, undefined);
  output.result({
    value: ids.length === 1 ? { id: ids[0], ids } : { ids },
    ids,
    table: (out) => ids.forEach((id) => out.line(String(id))),
  });
  return exit.done;
}

/** All specs in one request: all or none. */
function send(
  session: Session,
  file: SpecsFile,
  key: string | undefined,
): Promise<{ readonly ids: readonly number[]; readonly repeated: boolean }> {
  return located(file, () => session.client.submit(file.specs.length === 1 ? file.specs[0]! : file.specs, { key }));
}

/** Problems that the API finds in specs are told with their place in the file. */
export async function located<Value>(file: SpecsFile, ask: () => Promise<Value>): Promise<Value> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof ApiError) || error.problems.length === 0) throw error;
    throw new CliError(exit.usage, error.message, placesIn(file, error.problems));
  }
}

/** Problems at their places in the file. */
export function placesIn(file: SpecsFile, problems: readonly Problem[]): Problem[] {
  return problems.map((problem) => {
    const place = file.locate(problem.path);
    return place === undefined ? problem : { path: `${place}: ${problem.path}`, message: problem.message };
  });
}
