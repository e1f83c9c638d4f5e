import type { Command } from "commander";
import { monotonicMs } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { FactsView } from "../state/answers.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { collect, sshFlags, targetsOf } from "./flags.ts";
import { limitFlag, noteNext } from "./jobs.ts";
import { instantText } from "./views.ts";
import { waitFor } from "./wait.ts";

/** `skein facts gather|ls|show` */
export function addFacts(program: Command, cli: Cli): void {
  const facts = program
    .command("facts")
    .description("what is known of targets: system, architecture, cores; os=debian in targets");
  addGather(facts, cli);
  addList(facts, cli);
  addShow(facts, cli);
}

interface GatherFlags {
  readonly target?: readonly string[];
  readonly targetsFrom?: string;
  readonly eachNode?: boolean;
  readonly driver?: string;
  readonly ssh?: readonly string[];
  readonly on?: string;
  readonly timeout?: string;
  readonly detach?: boolean;
}

function addGather(parent: Command, cli: Cli): void {
  const command = parent
    .command("gather")
    .description("ask targets what they are; and keep what they say")
    .option("--target <expr>", "whom: names, sets, @inventory (repeatable)", collect)
    .option("--targets-from <file>", "the same, one a line; - is standard input")
    .option("--each-node", "every node of the mesh, by itself")
    .option("--driver <driver>", "ssh (default), or ansible, by its module raw")
    .option("--ssh <k=v>", "how they are reached, as of `skein run` (repeatable)", collect)
    .option("--on <labels>", "which nodes ask")
    .option("--timeout <time>", "of one target (default 1m)")
    .option("--detach", "print the job's id and do not wait");
  cli.verb<GatherFlags>(command, gather);
}

async function gather(session: Session, flags: GatherFlags): Promise<number> {
  const { target, targetsFrom, eachNode, driver, ssh, on, timeout, detach } = flags;
  if ((target ?? targetsFrom ?? eachNode) === undefined)
    throw new CliError(exit.usage, "say whom to ask: --target, --targets-from or --each-node");
  const targets = await targetsOf({ ...(target && { target }), ...(targetsFrom && { targetsFrom }) }, session.io);
  const { id } = await session.client.gatherFacts({
    driver,
    targets,
    ssh: ssh === undefined ? undefined : sshFlags(ssh),
    on,
    timeout,
    each_node: eachNode,
  });
  if (detach !== true) {
    const code = await waitFor(session, [id], undefined);
    await session.interruptible((signal) => untilKept(session, id, signal));
    return code;
  }
  session.output.result({ value: { id }, ids: [id], table: (out) => out.line(String(id)) });
  return exit.done;
}

const lookMs = 200;
/** The leader keeps some hundred targets with each entry. */
const keptPatienceMs = 60_000;

/** What is known of targets is used by what comes after: by then it is there. */
async function untilKept(session: Session, job: number, signal: AbortSignal): Promise<void> {
  for (const began = monotonicMs(); !(await session.client.factsKept(job));) {
    signal.throwIfAborted();
    if (monotonicMs() - began > keptPatienceMs) {
      session.output.note(`what job ${job} has found is not kept yet: 'skein facts ls' shows when it is`);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}

function addList(parent: Command, cli: Cli): void {
  const command = parent
    .command("ls")
    .description("list what is known of targets")
    .option("--limit <n>", `at most so many (1..${limits.listMax}, default ${limits.listDefault})`)
    .option("--next <mark>", "go on after an earlier list");
  cli.verb<{ readonly limit?: string; readonly next?: string }>(command, async (session, { limit, next }) => {
    const page = await session.client.facts({ limit: limitFlag(limit), next });
    session.output.result({
      value: page,
      ids: page.facts.map(({ target }) => target),
      table: (out) =>
        out.rows(
          [
            { title: "TARGET" },
            { title: "SYSTEM", shrinks: true },
            { title: "KERNEL", shrinks: true },
            { title: "ARCH" },
            { title: "CORES", align: "right" },
            { title: "MEMORY", align: "right" },
            { title: "ASKED" },
            { title: "CHANGED", shrinks: true },
          ],
          page.facts.map(({ target, facts, at, changed }) => [
            target,
            `${facts["os"] ?? ""} ${facts["os_version"] ?? ""}`.trim(),
            facts["kernel"] ?? "",
            facts["arch"] ?? "",
            facts["cores"] ?? "",
            facts["memory_mb"] === undefined ? "" : `${facts["memory_mb"]} MiB`,
            instantText(at),
            Object.keys(changed).join(","),
          ]),
        ),
    });
    noteNext(session, page.next);
    return exit.done;
  });
}

function addShow(parent: Command, cli: Cli): void {
  const command = parent.command("show").description("show what is known of a target").argument("<target>");
  cli.verb<object, [string]>(command, async (session, _flags, target) => {
    const view = await session.client.factsOf(target);
    session.output.result({
      value: view,
      ids: [target],
      table: (out) =>
        out.fields([
          ["target", target, "bold"],
          ["asked", `${instantText(view.at)} by job ${view.job}`],
          ...Object.entries(view.facts).map(([name, value]): [string, string] => [name, value + was(view, name)]),
        ]),
    });
    return exit.done;
  });
}

function was({ changed }: FactsView, name: string): string {
  const [before] = changed[name] ?? [];
  return before === undefined ? "" : before === null ? "  (new)" : `  (was ${before})`;
}
