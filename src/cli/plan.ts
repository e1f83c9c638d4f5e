import type { Command } from "commander";
import { foldNames } from "../lib/node-set-fold.ts";
import type { PlannedView } from "../state/answers.ts";
import type { Cli } from "./cli.ts";
import { CliError, exit, exitOfRefusal } from "./exit.ts";
import { printNodeReasons, printReasons, tasksText, waitText } from "./explain.ts";
import type { Output } from "./output.ts";
import { readSpecs } from "./specs-file.ts";
import { located, placesIn } from "./submit.ts";
import { printable } from "./text.ts";

/** `skein plan FILE|-` */
export function addPlan(program: Command, cli: Cli): void {
  const command = program
    .command("plan")
    .description(
      "show what specs would become if they were submitted now: tasks, placement, refusals; nothing is stored",
    )
    .argument("<file>", "the file, or - for standard input");
  cli.verb<object, [string]>(command, async (session, _flags, path) => {
    const file = await readSpecs(path, session.io);
    const plan = await located(file, () => session.client.plan(file.specs.length === 1 ? file.specs[0]! : file.specs));
    session.output.result({
      value: plan,
      ids: plan.jobs.flatMap(({ placement }, at) => placement.map(({ node, tasks }) => `${at} ${node} ${tasks}`)),
      table: (out) => {
        for (const [at, job] of plan.jobs.entries()) {
          if (at > 0) out.line("");
          printPlanned(out, job);
        }
      },
    });
    if (plan.refusal === null) return exit.done;
    const { code, message, details = [] } = plan.refusal;
    throw new CliError(exitOfRefusal(code), `a submit would be refused: ${message}`, placesIn(file, details));
  });
}

function printPlanned(out: Output, job: PlannedView): void {
  const { name, driver, tasks, slots, placement, waits } = job;
  const each = slots === 0 ? "" : `, ${slots} slot${slots === 1 ? "" : "s"} each`;
  out.line(printable(`${name}: ${tasksText(tasks)} of driver ${driver}${each}`));
  const where = placement.map((one) => `${one.tasks} on ${one.name}`).join(", ");
  const targets = job.first.flatMap(({ target }) => (target === undefined ? [] : [target]));
  const more = tasks > targets.length ? ` and ${tasks - targets.length} more` : "";
  if (targets.length > 0) out.line(printable(`  targets: ${foldNames(targets)}${more}`));
  if (job.batches !== undefined) out.line(`  in ${batchesText(job.batches)}`);
  if (placement.length > 0) out.line(printable(`  ${tasksText(tasks - waits)} would start at once: ${where}`));
  if (waits === 0) return;
  out.line(`  ${tasksText(waits)} would ${waitText(2)}:`);
  printReasons(out, job.reasons);
  printNodeReasons(out, job.nodes, job.nodes_more);
}

/** "3 batches: 1, 30, 269 tasks" */
function batchesText({ of, sizes }: NonNullable<PlannedView["batches"]>): string {
  const more = of > sizes.length ? ", …" : "";
  return `${of} batch${of === 1 ? "" : "es"}: ${sizes.join(", ")}${more} tasks`;
}
