import type { Command } from "commander";
import { limits } from "../lib/limits.ts";
import type { SecretView } from "../state/answers.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { limitFlag, noteNext } from "./jobs.ts";
import type { Output } from "./output.ts";
import { readText } from "./specs-file.ts";
import { stateColour } from "./text.ts";
import { instantText } from "./views.ts";

/** `skein secret set|ls|rm` */
export function addSecret(program: Command, cli: Cli): void {
  const secret = program
    .command("secret")
    .description("values that only tasks are given: env: {PASSWORD: {secret: NAME}}");
  addSet(secret, cli);
  addList(secret, cli);
  addRemove(secret, cli);
}

/** The value comes in by a file or standard input: other users of a host see the words of a command. */
function addSet(parent: Command, cli: Cli): void {
  const command = parent
    .command("set")
    .description("keep a secret, read from standard input (without the newline at its end) or a file (as it is)")
    .argument("<name>")
    .option("--file <file>", "the value is what is in this file");
  cli.verb<{ readonly file?: string }, [string]>(command, async (session, flags, name) => {
    const value = flags.file === undefined ? await typed(session) : await readText(flags.file);
    const made = await session.client.setSecret(name, value);
    session.output.result({
      value: made,
      ids: [made.name],
      table: (out) => out.line(`secret ${made.name} is set (revision ${made.revision})`),
    });
    return exit.done;
  });
}

async function typed(session: Session): Promise<string> {
  const bytes = await session.cli.io.readStdin(limits.secretBytes + 2);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes).replace(/\r?\n$/, "");
  } catch {
    throw new CliError(
      exit.usage,
      "the value on standard input is not text in UTF-8: encode it, as base64 for example",
    );
  }
}

function addList(parent: Command, cli: Cli): void {
  const command = parent
    .command("ls")
    .description("list secrets, never their values")
    .option("--limit <n>", `at most so many (1..${limits.listMax}, default ${limits.listDefault})`)
    .option("--next <mark>", "go on after an earlier list");
  cli.verb<{ readonly limit?: string; readonly next?: string }>(command, async (session, { limit, next }) => {
    const page = await session.client.secrets({ limit: limitFlag(limit), next });
    session.output.result({
      value: page,
      ids: page.secrets.map(({ name }) => name),
      table: (out) => printSecrets(out, page.secrets),
    });
    noteNext(session, page.next);
    return exit.done;
  });
}

function printSecrets(out: Output, secrets: readonly SecretView[]): void {
  out.rows(
    [
      { title: "NAME", shrinks: true },
      { title: "REVISION", align: "right" },
      { title: "STATE", colour: stateColour },
      { title: "SET" },
      { title: "BY", shrinks: true },
    ],
    secrets.map(({ name, revision, state, set_at: at, set_by: by }) => [
      name,
      String(revision),
      state,
      instantText(at),
      by,
    ]),
  );
}

function addRemove(parent: Command, cli: Cli): void {
  const command = parent
    .command("rm")
    .description("remove secrets; refused while unfinished jobs use one")
    .argument("<names...>")
    .option("--force", "also while unfinished jobs use it: their tasks fail when they start");
  cli.verb<{ readonly force?: boolean }, [string[]]>(command, async (session, { force }, names) => {
    const removed: { readonly name: string; readonly jobs: readonly number[] }[] = [];
    for (const secret of names)
      removed.push(await session.client.call("secret.rm", { secret, ...(force === true ? { force } : {}) }));
    for (const { name, jobs } of removed)
      if (jobs.length > 0) session.output.note(`unfinished jobs use ${name}: ${jobs.join(", ")}`, "yellow");
    session.output.result({
      value: removed.length === 1 ? removed[0] : { secrets: removed },
      ids: removed.map(({ name }) => name),
      table: (out) => removed.forEach(({ name }) => out.line(`secret ${name} is removed`)),
    });
    return exit.done;
  });
}
