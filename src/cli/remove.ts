import type { Command } from "commander";
import { forEachJob } from "./cancel.ts";
import type { Cli } from "./cli.ts";

/** `skein jobs rm ID...` */
export function addRemove(parent: Command, cli: Cli): void {
  const command = parent
    .command("rm")
    .description("forget finished jobs at once, with their results and output")
    .argument("<ids...>", "5  1-10  1,3,5-8  last");
  cli.verb<object, [string[]]>(command, (session, _flags, texts) =>
    forEachJob(session, texts, {
      call: (id) => session.client.remove(id),
      name: "removed",
      line: (id) => `job ${id} is forgotten`,
    }),
  );
}
