import type { Command } from "commander";
import { limits } from "../lib/limits.ts";
import type { AuditView } from "../state/answers.ts";
import type { Cli } from "./cli.ts";
import { exit } from "./exit.ts";
import { limitFlag, noteNext } from "./jobs.ts";
import type { Output } from "./output.ts";
import { instantText } from "./views.ts";

interface AuditFlags {
  readonly since?: string;
  readonly by?: string;
  readonly what?: string;
  readonly limit?: string;
  readonly next?: string;
}

/** `skein audit` */
export function addAudit(program: Command, cli: Cli): void {
  const command = program
    .command("audit")
    .description("who asked for what, newest first: every change that a person or a node asked for")
    .option("--since <time>", "2h (back from now) or an RFC 3339 time")
    .option("--by <who>", "a token's id or name, or the name of a node that acted by itself")
    .option("--what <command>", "a command (token.revoke), or all that begin so (token)")
    .option("--limit <n>", `at most so many (1..${limits.listMax}, default ${limits.listDefault})`)
    .option("--next <mark>", "go on after an earlier list");
  cli.verb<AuditFlags>(command, async (session, { since, by, what, limit, next }) => {
    const page = await session.client.audit({ since, by, what, limit: limitFlag(limit), next });
    session.output.result({
      value: page,
      ids: page.audit.map(({ id }) => id),
      table: (out) => printAudit(out, page.audit),
    });
    noteNext(session, page.next);
    return exit.done;
  });
}

function printAudit(out: Output, audit: readonly AuditView[]): void {
  out.rows(
    [
      { title: "TIME" },
      { title: "BY", shrinks: true },
      { title: "ROLE" },
      { title: "NODE", align: "right" },
      { title: "COMMAND" },
      { title: "WHAT", shrinks: true },
      { title: "OUTCOME", colour: (outcome) => (outcome === "ok" ? "green" : "red") },
      { title: "INDEX", align: "right" },
    ],
    audit.map((row) => [
      instantText(row.at),
      row.by.token === "" ? row.by.name : `${row.by.name} (${row.by.token})`,
      row.by.role,
      row.node === 0 ? "-" : String(row.node),
      row.times === 1 ? row.command : `${row.command} ×${row.times}`,
      row.what,
      row.outcome,
      String(row.index),
    ]),
  );
}
