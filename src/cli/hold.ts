import type { Command } from "commander";
import { forEachJob } from "./cancel.ts";
import type { Cli } from "./cli.ts";

/** `skein jobs hold|release ID...` */
export function addHold(parent: Command, cli: Cli): void {
  const hold = parent
    .command("hold")
    .description("start nothing more of these jobs until they are released; what runs goes on")
    .argument("<ids...>", "5  1-10  1,3,5-8  last");
  cli.verb<object, [string[]]>(hold, (session, _flags, texts) =>
    forEachJob(session, texts, {
      call: (id) => session.client.hold(id),
      name: "held",
      line: (id) => `job ${id} is held`,
    }),
  );
  const release = parent
    .command("release")
    .description("let held jobs go on")
    .argument("<ids...>", "5  1-10  1,3,5-8  last");
  cli.verb<object, [string[]]>(release, (session, _flags, texts) =>
    forEachJob(session, texts, {
      call: (id) => session.client.release(id),
      name: "released",
      line: (id) => `job ${id} is released`,
    }),
  );
}
