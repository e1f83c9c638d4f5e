import type { Command } from "commander";
import type { ExplainView, NodeReasonView, ReasonView } from "../state/answers.ts";
import type { Cli } from "./cli.ts";
import { exit } from "./exit.ts";
import type { Output } from "./output.ts";
import { parseIds } from "./selectors.ts";
import { printable, stateColour } from "./text.ts";

/** `skein jobs explain ID...` */
export function addExplain(parent: Command, cli: Cli): void {
  const command = parent
    .command("explain")
    .description("say why jobs wait: what holds them up, and how every node stands to their tasks")
    .argument("<ids...>", "5  1-10  1,3,5-8  last");
  cli.verb<object, [string[]]>(command, async (session, _flags, texts) => {
    const views: ExplainView[] = [];
    for (const id of await parseIds(texts, session.findLast)) views.push(await session.client.explain(id));
    session.output.result({
      value: views.length === 1 ? views[0] : { jobs: views },
      ids: views.flatMap((view) => codesOf(view).map((code) => (views.length === 1 ? code : `${view.job} ${code}`))),
      table: (out) => {
        for (const [at, view] of views.entries()) {
          if (at > 0) out.line("");
          printExplain(out, view);
        }
      },
    });
    return exit.done;
  });
}

function codesOf({ reasons, waiting }: ExplainView): string[] {
  return [...new Set([...reasons, ...waiting.flatMap((group) => group.reasons)].map(({ code }) => code))];
}

function printExplain(out: Output, view: ExplainView): void {
  out.line(
    printable(
      `job ${view.job} (${view.name}) is ${view.state}: ${tasksText(view.queued)} ${waitText(view.queued)}, ${view.running} run`,
    ),
  );
  printReasons(out, view.reasons);
  for (const { tasks, first, pinned, reasons, nodes, nodes_more: more } of view.waiting) {
    const where = pinned === undefined ? "" : ` for node ${pinned}`;
    out.line(tasks === 1 ? `task ${first}${where}:` : `${tasksText(tasks)} from ${first} on${where}:`);
    printReasons(out, reasons);
    printNodeReasons(out, nodes, more);
  }
  if (view.waiting_more !== undefined) out.line(`and ${tasksText(view.waiting_more)} more`);
}

/** One sentence a line. */
export function printReasons(out: Output, reasons: readonly ReasonView[]): void {
  for (const { message } of reasons) out.line(`  ${printable(message)}`);
}

/** How every node stands to a task. */
export function printNodeReasons(out: Output, nodes: readonly NodeReasonView[], more: number | undefined): void {
  if (nodes.length === 0) return;
  out.rows(
    [
      { title: "  NODE", align: "right" },
      { title: "NAME", shrinks: true },
      { title: "STATE", colour: stateColour },
      { title: "WHY", shrinks: true },
    ],
    nodes.map(({ node, name, state, reasons }) => [String(node), name, state, reasons.join("; ")]),
  );
  if (more !== undefined) out.line(`  and ${more} more nodes`);
}

/** "1 task", "5 tasks" */
export function tasksText(count: number): string {
  return `${count} task${count === 1 ? "" : "s"}`;
}

/** The verb that goes with {@link tasksText}. */
export function waitText(count: number): string {
  return count === 1 ? "waits" : "wait";
}
