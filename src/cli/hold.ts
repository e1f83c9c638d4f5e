import type { Command } from "commander";
import { forEachJob } from "./cancel.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";

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
    .description("let held jobs go on, and let batches begin that wait for approval")
    .argument("<ids...>", "5  1-10  1,3,5-8  last")
    .option("--batch <n>", "approve this batch and no other (default: the one that waits now)");
  cli.verb<ReleaseFlags, [string[]]>(release, (session, flags, texts) => {
    const named = batchOf(flags);
    const approved = new Map<number, number>();
    return forEachJob(session, texts, {
      async call(id) {
        const batch = named ?? (await waitingBatch(session, id));
        if (batch !== undefined) approved.set(id, batch);
        await session.client.release(id, batch);
      },
      name: "released",
      line: (id) => `job ${id} is released${approved.has(id) ? `: batch ${approved.get(id)}` : ""}`,
    });
  });
}

interface ReleaseFlags {
  readonly batch?: string;
}

function batchOf({ batch }: ReleaseFlags): number | undefined {
  if (batch === undefined || /^[1-9]\d{0,8}$/.test(batch)) return batch === undefined ? undefined : Number(batch);
  throw new CliError(exit.usage, `--batch: "${batch}" is not the number of a batch`);
}

/** Who lets a job go on approves what waits when he looks: said again, this cannot let the one after it begin. A job that is held is let go first. */
async function waitingBatch({ client }: Session, id: number): Promise<number | undefined> {
  const { held, waits } = await client.job(id);
  return held === true ? undefined : waits?.approval;
}
