import type { Command } from "commander";
import { CommandClient } from "../client/command-client.ts";
import { formatInstant } from "../lib/calendar.ts";
import { limits } from "../lib/limits.ts";
import type { NewTokenView, TokenView } from "../state/answers.ts";
import type { Role } from "../state/types.ts";
import { addGlobalFlags, type Cli, type GlobalFlags, Session } from "./cli.ts";
import { defaultDataDir, expandHome, findTarget } from "./context.ts";
import { eachOf } from "./each-node.ts";
import { CliError, exit } from "./exit.ts";
import { limitFlag, noteNext, oneOf } from "./jobs.ts";
import type { Output } from "./output.ts";
import { stateColour } from "./text.ts";
import { instantText } from "./views.ts";
import { durationFlag } from "./wait.ts";

const roles = ["viewer", "operator", "admin"] as const satisfies readonly Role[];
const kinds = ["api", "join"] as const;

/** `skein token create|ls|revoke` */
export function addToken(program: Command, cli: Cli): void {
  const token = program
    .command("token")
    .description("make, list and revoke tokens (join tokens: `skein cluster token`)");
  addCreate(token, cli);
  addList(token, cli);
  const revoke = token
    .command("revoke")
    .description("end API or join tokens at once")
    .argument("<ids...>", "ids as `token ls` shows them, or whole tokens");
  cli.verb<object, [string[]]>(revoke, async (session, _flags, texts) => {
    const ids = texts.map(idOf); // a text that is none is told before anything is done
    const revoke = (id: string): Promise<{ readonly id: string }> =>
      session.client.call("token.revoke", { id }, { idempotent: true });
    const revoked = await eachOf(session, ids, revoke, ({ id }) => `token ${id}`);
    session.output.result({
      value: revoked.length === 1 ? revoked[0] : { tokens: revoked },
      ids: revoked.map(({ id }) => id),
      table: (out) => revoked.forEach(({ id }) => out.line(`token ${id} is revoked`)),
    });
    return exit.done;
  });
}

interface CreateFlags {
  readonly role?: string;
  readonly name?: string;
  readonly ttl?: string;
  readonly recover?: boolean;
}

function addCreate(parent: Command, cli: Cli): void {
  const command = parent
    .command("create")
    .description("make an API token; it is shown once")
    .option("--role <role>", `${roles.join(", ")} (default viewer)`)
    .option("--name <name>", "what lists and the audit call it (default: its role)")
    .option("--ttl <duration>", "how long it is good for: 90s, 12h, 30d (default: until it is revoked)")
    .option(
      "--recover",
      "every admin token is lost: prove the right by the data directory of this host's node (--data)",
    );
  addGlobalFlags(command);
  cli.local<CreateFlags>(command, async (flags, global) => {
    const role = oneOf("--role", flags.role, roles) ?? "viewer";
    const name = flags.name ?? role;
    if (name === "" || name.length > limits.nameLength)
      throw new CliError(exit.usage, `--name must have 1 to ${limits.nameLength} characters`);
    const ttlMs = durationFlag("--ttl", flags.ttl, { minMs: limits.tokenTtlMinMs, maxMs: limits.tokenTtlMaxMs });
    const output = cli.output(global);
    const made =
      flags.recover === true
        ? await recover(cli, global, { name, role, ttlMs })
        : await new Session(cli, findTarget(global, cli.env), output).client.createToken({ name, role, ttlMs });
    output.result({
      value: made,
      ids: [made.token],
      table: (out) => {
        out.line(made.token);
        const end = made.expires_at === null ? "until it is revoked" : `until ${instantText(made.expires_at)}`;
        output.note(`id ${made.id}, role ${role}, good ${end}; use it as SKEIN_TOKEN or --token`, "dim");
      },
    });
    return exit.done;
  });
}

async function recover(
  cli: Cli,
  global: GlobalFlags,
  { name, role, ttlMs }: { readonly name: string; readonly role: Role; readonly ttlMs: number | undefined },
): Promise<NewTokenView> {
  const dataDir = expandHome(global.data ?? defaultDataDir(cli.env), cli.env);
  const expiresAt = ttlMs === undefined ? null : Date.now() + ttlMs;
  const { addr, ca, id, token, request } = cli.actions.askForToken(dataDir, { name, role, expiresAt });
  const { addrs } = findTarget({ addr: global.addr ?? addr }, {});
  await new CommandClient({ addrs, ca, token: undefined }).recoverToken(request);
  return { id, token, name, role, expires_at: expiresAt === null ? null : formatInstant(expiresAt) };
}

interface ListFlags {
  readonly kind?: string;
  readonly all?: boolean;
  readonly limit?: string;
  readonly next?: string;
}

function addList(parent: Command, cli: Cli): void {
  const command = parent
    .command("ls")
    .description("list API and join tokens that can be used, never their secrets")
    .option("--kind <kind>", kinds.join(" or "))
    .option("--all", "those that were revoked, expired or used up as well")
    .option("--limit <n>", `at most so many (1..${limits.listMax}, default ${limits.listDefault})`)
    .option("--next <mark>", "go on after an earlier list");
  cli.verb<ListFlags>(command, async (session, { kind, all, limit, next }) => {
    const page = await session.client.tokens({
      kind: oneOf("--kind", kind, kinds),
      all,
      limit: limitFlag(limit),
      next,
    });
    session.output.result({
      value: page,
      ids: page.tokens.map(({ id }) => id),
      table: (out) => printTokens(out, page.tokens),
    });
    noteNext(session, page.next);
    return exit.done;
  });
}

function printTokens(out: Output, tokens: readonly TokenView[]): void {
  out.rows(
    [
      { title: "ID" },
      { title: "KIND" },
      { title: "NAME", shrinks: true },
      { title: "ROLE" },
      { title: "STATE", colour: stateColour },
      { title: "EXPIRES" },
      { title: "USES", align: "right" },
      { title: "NODE", align: "right" },
    ],
    tokens.map((token) => [
      token.id,
      token.kind,
      token.name,
      token.role ?? "-",
      token.state,
      token.expires_at === null ? "never" : instantText(token.expires_at),
      token.uses === null ? "-" : String(token.uses),
      token.node === null ? "-" : String(token.node),
    ]),
  );
}

/** The id within a whole token, so that its secret goes nowhere. */
function idOf(text: string): string {
  return /^skein_([0-9a-f]{12})_/.exec(text)?.[1] ?? /^skein1\.[0-9a-f]+\.([0-9a-f]{12})\./.exec(text)?.[1] ?? text;
}
