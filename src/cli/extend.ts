import type { Command } from "commander";
import type { Cli } from "./cli.ts";
import { exit } from "./exit.ts";
import { parseTask } from "./selectors.ts";

/** `skein jobs extend ID[/TASK] BY` */
export function addExtend(parent: Command, cli: Cli): void {
  const command = parent
    .command("extend")
    .description("give running tasks more time than their timeout")
    .argument("<id>", "5, last, or one task: 5/0")
    .argument("<by>", "how much longer: 90s, 1h30m");
  cli.verb<object, [string, string]>(command, async (session, _flags, text, by) => {
    const { job, task } = await parseTask(text, session.findLast);
    const { tasks } = await session.client.extend(job, by, task);
    session.output.result({
      value: { id: job, tasks },
      ids: [job],
      table: (out) => out.line(`${tasks} ${tasks === 1 ? "task" : "tasks"} of job ${job} may run ${by} longer`),
    });
    return exit.done;
  });
}
