import type { Command } from "commander";
import type { Cli } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { durationFlag } from "./wait.ts";

const defaultTimeoutMs = 10 * 60_000;

/** `skein leave` */
export function addLeave(program: Command, cli: Cli): void {
  const command = program
    .command("leave")
    .description("take this host's node out of the cluster: its work ends, it hands leadership over, and it stops")
    .option("--timeout <duration>", "how long running tasks may take to end (default 10m)");
  cli.verb<{ readonly timeout?: string }>(command, async (session, flags) => {
    const timeoutMs = durationFlag("--timeout", flags.timeout) ?? defaultTimeoutMs;
    const { addrs } = session.target;
    // With a choice of addresses the request could reach, and remove, the wrong node.
    if (addrs.length > 1) {
      throw new CliError(
        exit.usage,
        `leave is about one node, and ${addrs.length} addresses are given: name it with --addr, or by the --data of its own`,
      );
    }
    await session.client.leave(timeoutMs);
    session.output.result({
      value: { left: true, addr: addrs[0] },
      ids: [],
      table: (out) => out.line(`the node at ${addrs[0]} has left its cluster and stops`),
    });
    return exit.done;
  });
}
