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

/** Goes on past jobs that cannot be cancelled; the first one's exit code counts. */
async function cancel(session: Session, _flags: object, texts: readonly string[]): Promise<number> {
  const { client, output } = session;
  const done: number[] = [];
  let code: number = exit.done;
  for (const id of await parseIds(texts, session.findLast)) {
    try {
      await client.cancel(id);
      done.push(id);
    } catch (error) {
      if (!(error instanceof ApiError) || (error.code !== "not-found" && error.code !== "conflict")) throw error;
      output.note(`skein: ${error.message}`, "red");
      if (code === exit.done) code = endingOf(error).code;
    }
  }
  output.result({
    value: { cancelling: done },
    ids: done,
    table: (out) => done.forEach((id) => out.line(`job ${id} is being cancelled`)),
  });
  return code;
}
