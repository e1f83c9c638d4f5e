import type { Command } from "commander";
import type { Cli, Session } from "./cli.ts";
import { eachJob } from "./each-job.ts";

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
  const { code, done } = await eachJob(session, texts, async (id) => {
    await verb.call(id);
    return id;
  });
  output.result({
    value: { [verb.name]: done },
    ids: done,
    table: (out) => done.forEach((id) => out.line(verb.line(id))),
  });
  return code;
}
