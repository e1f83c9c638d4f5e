import type { Command } from "commander";
import type { Problem } from "../lib/outcome.ts";
import { isLabel } from "../lib/selector.ts";
import type { Cli } from "./cli.ts";
import { eachNode } from "./each-node.ts";
import { CliError, exit } from "./exit.ts";
import { labelsText } from "./views.ts";
import { goals, noteVoters, timeoutOption, type VotersGoal, waitMsOf } from "./voters-note.ts";

/** `skein nodes label|promote|demote` */
export function addNodeChanges(nodes: Command, cli: Cli): void {
  const label = nodes
    .command("label")
    .description(
      "set labels of a node (zone=eu) and take some away (gpu-); they outlive its restarts, but for those that `up --label` gives",
    )
    .argument("<node>", "id or name")
    .argument("<labels...>", "name=value to set, name- to take away");
  cli.verb<object, [string, string[]]>(label, async (session, _flags, node, texts) => {
    const changed = await session.client.call("node.label", { node, labels: labelsOf(texts) }, { idempotent: true });
    session.output.result({
      value: changed,
      ids: [changed.node],
      table: (out) => out.line(`node ${changed.node} has the labels ${labelsText(changed.labels) || "(none)"}`),
    });
    return exit.done;
  });
  addWish(nodes, cli, {
    verb: "promote",
    description: "have nodes vote, before others",
    done: "is to be a voter",
    goal: goals.promoted,
  });
  addWish(nodes, cli, {
    verb: "demote",
    description: "have nodes vote no longer, once another one can take their place",
    done: "is to be a learner",
    goal: goals.demoted,
  });
}

interface WishFlags {
  readonly forget?: boolean;
  readonly timeout?: string;
}

interface Wish {
  readonly verb: "promote" | "demote";
  readonly description: string;
  readonly done: string;
  readonly goal: (nodes: readonly number[]) => VotersGoal;
}

function addWish(nodes: Command, cli: Cli, { verb, description, done, goal }: Wish): void {
  const command = nodes
    .command(verb)
    .description(description)
    .argument("<nodes...>", "ids or names")
    .option("--forget", "take an earlier promote or demote back: the leader decides again")
    .option(...timeoutOption);
  cli.verb<WishFlags, [string[]]>(command, async (session, { forget = false, timeout }, names) => {
    const waitMs = waitMsOf(session, timeout);
    const changed: readonly { readonly node: number; readonly already?: true | undefined }[] = await eachNode(
      session,
      names,
      (node) => session.client.call(`node.${verb}`, { node, forget }, { idempotent: true }),
    );
    session.output.result({
      value: changed.length === 1 ? changed[0] : { nodes: changed },
      ids: changed.map((one) => one.node),
      table: (out) =>
        changed.forEach((one) => {
          const become = one.already === true ? "is a voter already" : forget ? "is the leader's to decide on" : done;
          out.line(`node ${one.node} ${become}`);
        }),
    });
    if (forget)
      session.output.note(
        "the leader decides who votes: `skein cluster status` shows it, and what the cluster bears",
        "dim",
      );
    else await noteVoters(session, goal(changed.map((one) => one.node)), waitMs);
    return exit.done;
  });
}

/** `zone=eu gpu-` as the API takes it: null takes a label away. Throws CliError with every problem. */
function labelsOf(texts: readonly string[]): Record<string, string | null> {
  const labels: Record<string, string | null> = {};
  const problems: Problem[] = [];
  for (const text of texts) {
    const at = text.indexOf("=");
    const [key, value] = at > 0 ? [text.slice(0, at), text.slice(at + 1)] : [text.replace(/-$/, ""), null];
    const isRemoval = at < 0 && text.length > 1 && text.endsWith("-");
    if (key in labels) problems.push({ path: key, message: "is given twice" });
    else if ((value !== null || isRemoval) && isLabel(key, value ?? "x")) labels[key] = value;
    else problems.push({ path: "", message: `"${text}" is neither name=value nor name-` });
  }
  if (problems.length > 0) throw new CliError(exit.usage, "a label is wrong", problems);
  return labels;
}
