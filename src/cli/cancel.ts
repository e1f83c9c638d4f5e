import type { Command } from "commander";
import { ApiError } from "../client/errors.ts";
import type { Cli, Session } from "./cli.ts";
import { endingOf, exit } from "./exit.ts";
import { parseIds } from "./selectors.ts";

/** `skein cancel ID...`; `skein jobs cancel` is the same. */
export function addCancel(parent: Command, cli: Cli): void {
  const command = parent
    .command("cancel")
    .description("cancel jobs; they are cancelled once their running tasks have ended")
    .argument("<ids...>", "5  1-10  1,3,5-8  last");
  cli.verb<object, [string[]]>(command, cancel);
}

async function cancel(session: Session, _flags: object, texts: readonly string[]): Promise<number> {
  return forEachJob(session, texts, {
    call: (id) => session.client.cancel(id),
    name: "cancelling",
    line: (id) => `job ${id} is being cancelled`,
  });
}

/** What is done to one job after the other, and how it is told. */
export interface JobVerb {
  call(id: number): Promise<void>;
  /** The member of the JSON answer that lists the jobs. */
  readonly name: string;
  line(id: number): string;
}

/** Goes on past jobs to which it cannot be done; the first one's exit code counts. */
export async function forEachJob(session: Session, texts: readonly string[], verb: JobVerb): Promise<number> {
  const { output } = session;
  const done: number[] = [];
  let code: number = exit.done;
  for (const id of await parseIds(texts, session.findLast)) {
    try {
      await verb.call(id);
      done.push(id);
    } catch (error) {
      if (!(error instanceof ApiError) || (error.code !== "not-found" && error.code !== "conflict")) throw error;
      output.note(`skein: ${error.message}`, "red");
      if (code === exit.done) code = endingOf(error).code;
    }
  }
  output.result({
    value: { [verb.name]: done },
    ids: done,
    table: (out) => done.forEach((id) => out.line(verb.line(id))),
  });
  return code;
}
