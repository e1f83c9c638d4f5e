import type { Command } from "commander";
import { stringify } from "yaml";
import { ApiError } from "../client/errors.ts";
import { limits } from "../lib/limits.ts";
import type { TemplateView } from "../state/answers.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { collect } from "./flags.ts";
import { limitFlag, noteNext } from "./jobs.ts";
import type { Output } from "./output.ts";
import { readSpecs } from "./specs-file.ts";
import { instantText } from "./views.ts";
import { waitFor } from "./wait.ts";

/** `skein jobs template add|ls|show|rm|run` */
export function addTemplate(program: Command, cli: Cli): void {
  const jobs = program.commands.find((one) => one.name() === "jobs")!;
  const template = jobs.command("template").description("keep job specs with parameters, and run them");
  addAdd(template, cli);
  addList(template, cli);
  addShow(template, cli);
  addRemove(template, cli);
  addRun(template, cli);
}

function addAdd(parent: Command, cli: Cli): void {
  const command = parent
    .command("add")
    .description("keep a template (YAML or JSON: name, description, parameters, spec), or a new revision of it")
    .argument("<file>", "the file, or - for standard input")
    .option("--name <name>", "its name, whatever the file says");
  cli.verb<{ readonly name?: string }, [string]>(command, async (session, { name }, path) => {
    const file = await readSpecs(path, session.io);
    if (file.specs.length !== 1)
      throw new CliError(exit.usage, `${path} holds ${file.specs.length} documents: one template a file`);
    try {
      const made = await session.client.setTemplate({ ...file.specs[0]!, ...(name === undefined ? {} : { name }) });
      session.output.result({
        value: made,
        ids: [made.name],
        table: (out) => out.line(`${made.name}@${made.revision}`),
      });
    } catch (error) {
      if (!(error instanceof ApiError) || error.problems.length === 0) throw error;
      const problems = error.problems.map(({ path: place, message }) => {
        const where = file.locate(place);
        return { path: where === undefined ? place : `${where}: ${place}`, message };
      });
      throw new CliError(exit.usage, error.message, problems);
    }
    return exit.done;
  });
}

interface ListFlags {
  readonly limit?: string;
  readonly next?: string;
}

function addList(parent: Command, cli: Cli): void {
  const command = parent
    .command("ls")
    .description("list templates")
    .option("--limit <n>", `at most so many (1..${limits.listMax}, default ${limits.listDefault})`)
    .option("--next <mark>", "go on after an earlier list");
  cli.verb<ListFlags>(command, async (session, { limit, next }) => {
    const page = await session.client.templates({ limit: limitFlag(limit), next });
    session.output.result({
      value: page,
      ids: page.templates.map(({ name }) => name),
      table: (out) => printTemplates(out, page.templates),
    });
    noteNext(session, page.next);
    return exit.done;
  });
}

function printTemplates(out: Output, templates: readonly Omit<TemplateView, "spec">[]): void {
  out.rows(
    [
      { title: "NAME" },
      { title: "REVISION", align: "right" },
      { title: "PARAMETERS", shrinks: true },
      { title: "SET" },
      { title: "DESCRIPTION", shrinks: true },
    ],
    templates.map((template) => [
      template.name,
      String(template.revision),
      Object.keys(template.parameters).join(","),
      instantText(template.set_at),
      template.description ?? "",
    ]),
  );
}

function addShow(parent: Command, cli: Cli): void {
  const command = parent.command("show").description("show a template").argument("<name>");
  cli.verb<object, [string]>(command, async (session, _flags, name) => {
    const template = await session.client.template(name);
    session.output.result({ value: template, ids: [template.name], table: (out) => print(out, template) });
    return exit.done;
  });
}

function print(out: Output, template: TemplateView): void {
  out.fields([
    ["template", `${template.name}@${template.revision}`, "bold"],
    ["description", template.description],
    ["set", `${instantText(template.set_at)} by ${template.set_by}`],
  ]);
  const parameters = Object.entries(template.parameters);
  if (parameters.length > 0) {
    out.line("");
    out.rows(
      [
        { title: "PARAMETER" },
        { title: "TYPE" },
        { title: "DEFAULT", shrinks: true },
        { title: "VALUES", shrinks: true },
        { title: "DESCRIPTION", shrinks: true },
      ],
      parameters.map(([name, { type, default: usual, required, values, description }]) => [
        name,
        type ?? "text",
        usual === undefined ? (required === false ? "(none)" : "(required)") : String(usual),
        (values ?? []).join(","),
        description ?? "",
      ]),
    );
  }
  out.line("");
  for (const line of stringify(template.spec).trimEnd().split("\n")) out.line(line);
}

function addRemove(parent: Command, cli: Cli): void {
  const command = parent
    .command("rm")
    .description("forget templates; jobs that were made of them stay")
    .argument("<names...>");
  cli.verb<object, [string[]]>(command, async (session, _flags, names) => {
    for (const name of names) await session.client.removeTemplate(name);
    session.output.result({
      value: { removed: names },
      ids: names,
      table: (out) => names.forEach((name) => out.line(`template ${name} is forgotten`)),
    });
    return exit.done;
  });
}

interface RunFlags {
  readonly param?: readonly string[];
  readonly revision?: string;
  readonly wait?: boolean;
  readonly idempotencyKey?: string;
}

function addRun(parent: Command, cli: Cli): void {
  const command = parent
    .command("run")
    .description("submit a job of a template, and print its id")
    .argument("<name>")
    .option("-p, --param <k=v>", "a parameter's value, lists with commas (repeatable)", collect)
    .option("--revision <n>", "refuse when the template is another one by now")
    .option("--wait", "wait until it is finished, and exit as `skein wait` does")
    .option("--idempotency-key <key>", "a repeated run with this key gives the first one's id");
  cli.verb<RunFlags, [string]>(command, run);
}

async function run(session: Session, flags: RunFlags, name: string): Promise<number> {
  const params: [string, string][] = [];
  for (const text of flags.param ?? []) {
    const at = text.indexOf("=");
    if (at < 1) throw new CliError(exit.usage, `--param "${text}" is not of the form name=value`);
    params.push([text.slice(0, at), text.slice(at + 1)]);
  }
  const { revision, idempotencyKey: key } = flags;
  if (revision !== undefined && !/^[1-9]\d{0,8}$/.test(revision))
    throw new CliError(exit.usage, `--revision "${revision}" is not a whole number`);
  const made = await session.client.runTemplate(name, {
    params: Object.fromEntries(params),
    revision: revision === undefined ? undefined : Number(revision),
    key,
  });
  if (made.repeated) session.output.note("run before under this key: this is the first id");
  if (flags.wait === true) return waitFor(session, [made.id], undefined);
  session.output.result({
    value: { id: made.id, template: made.template },
    ids: [made.id],
    table: (out) => out.line(String(made.id)),
  });
  return exit.done;
}
