import type { Command } from "commander";
import { stringify } from "yaml";
import { type InventoryFormat, inventoryFormats } from "../lib/inventory-format.ts";
import { limits } from "../lib/limits.ts";
import { foldNames } from "../lib/node-set-fold.ts";
import type { InventoryDetailView, InventorySourceView, InventoryView, SetInventoryView } from "../state/answers.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { readInventoryFile } from "./inventory-file.ts";
import { limitFlag, noteNext, oneOf } from "./jobs.ts";
import type { Output } from "./output.ts";
import { readFileText } from "./specs-file.ts";
import { instantText } from "./views.ts";

/** `skein inventory set|ls|show|history|refresh|rm` */
export function addInventory(program: Command, cli: Cli): void {
  const inventory = program
    .command("inventory")
    .description("named lists of targets, in groups and with variables: @name in targets");
  addSet(inventory, cli);
  addList(inventory, cli);
  addShow(inventory, cli);
  addHistory(inventory, cli);
  addRefresh(inventory, cli);
  addRemove(inventory, cli);
}

interface SetFlags {
  readonly format?: string;
  readonly fromVersion?: string;
  readonly command?: string | false;
  readonly every?: string;
  readonly on?: string;
  readonly timeout?: string;
}

function addSet(parent: Command, cli: Cli): void {
  const command = parent
    .command("set")
    .description("set an inventory from a file, from what a command prints, or to a version of before")
    .argument("<name>")
    .argument("[file]", "Ansible's YAML, INI or JSON, or a list with a node set a line; - is standard input")
    .option("--format <format>", `${inventoryFormats.join(", ")} (default: guessed; of a command: json)`)
    .option("--from-version <n>", "as it was (see `skein inventory history`)")
    .option("--command <text>", "run by a shell again and again; what it prints is the inventory")
    .option("--no-command", "no command sets it any more")
    .option("--every <time>", "how often the command is run (default 10m)")
    .option("--on <labels>", "which nodes may run the command")
    .option("--timeout <time>", "how long the command may take (default 1m)");
  cli.verb<SetFlags, [string, string | undefined]>(command, set);
}

async function set(session: Session, flags: SetFlags, name: string, file: string | undefined): Promise<number> {
  const { format, fromVersion, command, every, on, timeout } = flags;
  const ways = [file, fromVersion, command].filter((way) => way !== undefined).length;
  if (ways !== 1)
    throw new CliError(
      exit.usage,
      "say where the inventory comes from: a file (or -), --command, --no-command, or --from-version",
    );
  if (typeof command !== "string" && (every ?? on ?? timeout) !== undefined)
    throw new CliError(exit.usage, "--every, --on and --timeout are of --command");
  if (format !== undefined && file === undefined && typeof command !== "string")
    throw new CliError(exit.usage, "--format is of a file, or of what a command prints");
  if (typeof command === "string" || command === false) {
    await session.client.setInventorySource(name, {
      command: command === false ? null : command,
      every,
      format,
      on,
      timeout,
    });
    session.output.result({
      value: { name },
      ids: [name],
      table: (out) =>
        out.line(
          command === false
            ? `no command sets inventory ${name} any more; it stays as it is`
            : `inventory ${name} is given by a command, every ${every ?? "10m"}; 'skein inventory show ${name}' says how that goes`,
        ),
    });
    return exit.done;
  }
  if (fromVersion !== undefined) {
    const from = Number(/^[1-9]\d{0,14}$/.exec(fromVersion)?.[0] ?? Number.NaN);
    if (Number.isNaN(from)) throw new CliError(exit.usage, `--from-version "${fromVersion}" is not a whole number`);
    return tellSet(session, await session.client.setInventory(name, { from_version: from }));
  }
  const form = oneOf<InventoryFormat>("--format", format, inventoryFormats);
  const text = await readFileText(file!, session.io);
  const what = readInventoryFile(text, file === "-" ? "stdin" : file!, form);
  return tellSet(session, await session.client.setInventory(name, what));
}

function tellSet(session: Session, made: SetInventoryView): number {
  const { name, version, changed, hosts, groups, differences } = made;
  session.output.result({
    value: made,
    ids: [`${name}@${version}`],
    table: (out) =>
      out.line(
        changed
          ? `${name}@${version}: ${counted(hosts, "host")}, ${counted(groups, "group")} (${changesText(differences)})`
          : `${name}@${version} is as it was: ${counted(hosts, "host")}, ${counted(groups, "group")}`,
      ),
  });
  return exit.done;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function changesText(changes: SetInventoryView["differences"]): string {
  const parts = [
    [changes.added, "new"],
    [changes.removed, "gone"],
    [changes.changed, "changed"],
    [changes.groups, changes.groups === 1 ? "group other" : "groups other"],
  ] as const;
  const said = parts.flatMap(([count, word]) => (count === 0 ? [] : [`${count} ${word}`]));
  return said.length === 0 ? "in another order" : said.join(", ");
}

interface ListFlags {
  readonly limit?: string;
  readonly next?: string;
}

function addList(parent: Command, cli: Cli): void {
  const command = parent
    .command("ls")
    .description("list inventories")
    .option("--limit <n>", `at most so many (1..${limits.listMax}, default ${limits.listDefault})`)
    .option("--next <mark>", "go on after an earlier list");
  cli.verb<ListFlags>(command, async (session, { limit, next }) => {
    const page = await session.client.inventories({ limit: limitFlag(limit), next });
    session.output.result({
      value: page,
      ids: page.inventories.map(({ name }) => name),
      table: (out) => printList(out, page.inventories),
    });
    noteNext(session, page.next);
    return exit.done;
  });
}

function printList(out: Output, inventories: readonly InventoryView[]): void {
  out.rows(
    [
      { title: "NAME" },
      { title: "VERSION", align: "right" },
      { title: "HOSTS", align: "right" },
      { title: "GROUPS", align: "right" },
      { title: "SET" },
      { title: "BY" },
      { title: "COMMAND", shrinks: true },
    ],
    inventories.map(({ name, version, hosts, groups, set_at: at, set_by: by, source }) => [
      name,
      version === 0 ? "-" : String(version),
      String(hosts),
      String(groups),
      version === 0 ? "" : instantText(at),
      by,
      source === undefined ? "" : standing(source),
    ]),
  );
}

function standing({ every, failing, good_at: good }: InventorySourceView): string {
  if (failing !== undefined)
    return `failing since ${instantText(failing.since)} (${failing.times}): ${failing.reason.split("\n", 1)[0]}`;
  return good === null ? `every ${every}, has given nothing yet` : `every ${every}, good ${instantText(good)}`;
}

interface ShowFlags {
  readonly version?: string;
  readonly host?: string;
  readonly group?: string;
}

function addShow(parent: Command, cli: Cli): void {
  const command = parent
    .command("show")
    .description("show an inventory: its groups, its hosts, or what it says of one host")
    .argument("<name>")
    .option("--version <n>", "as that version was")
    .option("--host <host>", "groups and variables of this host")
    .option("--group <group>", "the hosts of this group");
  cli.verb<ShowFlags, [string]>(command, show);
}

async function show(session: Session, flags: ShowFlags, name: string): Promise<number> {
  const { version: versionText, host, group } = flags;
  if (versionText !== undefined && !/^[1-9]\d{0,14}$/.test(versionText))
    throw new CliError(exit.usage, `--version "${versionText}" is not a whole number`);
  const version = versionText === undefined ? undefined : Number(versionText);
  const { client, output } = session;
  if (host !== undefined) {
    const view = await client.inventoryHost(name, host, version);
    output.result({
      value: view,
      ids: [host],
      table: (out) => {
        out.fields([
          ["host", host, "bold"],
          ["inventory", `${name}@${view.version}`],
          ["groups", view.groups.join(",")],
        ]);
        if (Object.keys(view.vars).length === 0) return;
        out.line("");
        for (const line of stringify(view.vars).trimEnd().split("\n")) out.line(line);
      },
    });
    return exit.done;
  }
  const page = await client.inventoryHosts(name, { group, version, limit: limits.listMax });
  if (group !== undefined) {
    output.result({ value: page, ids: page.hosts, table: (out) => out.line(foldedHosts(page)) });
    if (page.next !== undefined) output.note(`only the first ${page.hosts.length} hosts are shown`);
    return exit.done;
  }
  const view = await client.inventory(name, version);
  output.result({ value: view, ids: [view.name], table: (out) => print(out, view, page) });
  return exit.done;
}

function foldedHosts({ hosts, next }: { readonly hosts: readonly string[]; readonly next?: string }): string {
  return `${foldNames(hosts)}${next === undefined ? "" : ",…"}`;
}

function print(
  out: Output,
  view: InventoryDetailView,
  page: { readonly hosts: readonly string[]; readonly next?: string },
): void {
  const { source } = view;
  out.fields([
    ["inventory", `${view.name}@${view.shown}`, "bold"],
    ["in force", view.shown === view.version ? undefined : `${view.name}@${view.version}`],
    ["set", view.version === 0 ? "not yet" : `${instantText(view.set_at)} by ${view.set_by}`],
    [
      "hosts",
      page.hosts.length === 0 ? "0" : `${view.shown === view.version ? `${view.hosts}: ` : ""}${foldedHosts(page)}`,
    ],
    ["command", source === undefined ? undefined : [source.command].flat().join(" ")],
    [
      "runs",
      source &&
        `every ${source.every}${source.on === undefined ? "" : ` on ${source.on}`}, as ${source.by}, next ${source.next_at === null ? "" : instantText(source.next_at)}`,
    ],
    ["running", source?.job === undefined ? undefined : `job ${source.job}`],
    ["good", source && (source.good_at === null ? "not yet" : instantText(source.good_at))],
    [
      "failing",
      source?.failing &&
        `since ${instantText(source.failing.since)}, ${source.failing.times === 1 ? "once" : `${source.failing.times} times`}: ${source.failing.reason}`,
    ],
  ]);
  if (view.group_list.length === 0) return;
  out.line("");
  out.rows(
    [
      { title: "GROUP" },
      { title: "HOSTS", align: "right" },
      { title: "CHILDREN", shrinks: true },
      { title: "VARIABLES", shrinks: true },
    ],
    view.group_list.map(({ name, hosts, children, vars }) => [
      name,
      String(hosts),
      children.join(","),
      Object.keys(vars).join(","),
    ]),
  );
}

function addHistory(parent: Command, cli: Cli): void {
  const command = parent
    .command("history")
    .description("list the versions of an inventory that can be put back, newest first")
    .argument("<name>");
  cli.verb<object, [string]>(command, async (session, _flags, name) => {
    const history = await session.client.inventoryHistory(name);
    session.output.result({
      value: history,
      ids: history.versions.map(({ version }) => String(version)),
      table: (out) =>
        out.rows(
          [
            { title: "VERSION", align: "right" },
            { title: "SET" },
            { title: "BY" },
            { title: "FROM" },
            { title: "HOSTS", align: "right" },
            { title: "NEW", align: "right" },
            { title: "GONE", align: "right" },
            { title: "CHANGED", align: "right" },
            { title: "GROUPS", align: "right" },
          ],
          history.versions.map((one) => [
            String(one.version),
            instantText(one.at),
            one.by,
            one.origin,
            ...[one.hosts, one.added, one.removed, one.changed, one.changed_groups].map(String),
          ]),
        ),
    });
    return exit.done;
  });
}

function addRefresh(parent: Command, cli: Cli): void {
  const command = parent
    .command("refresh")
    .description("run the command that gives an inventory now, and print its job's id")
    .argument("<name>");
  cli.verb<object, [string]>(command, async (session, _flags, name) => {
    const made = await session.client.refreshInventory(name);
    session.output.result({ value: made, ids: [made.job], table: (out) => out.line(String(made.job)) });
    return exit.done;
  });
}

function addRemove(parent: Command, cli: Cli): void {
  const command = parent
    .command("rm")
    .description("forget inventories with their history; jobs keep what they were submitted with")
    .argument("<names...>");
  cli.verb<object, [string[]]>(command, async (session, _flags, names) => {
    for (const name of names) await session.client.removeInventory(name);
    session.output.result({
      value: { removed: names },
      ids: names,
      table: (out) => names.forEach((name) => out.line(`inventory ${name} is forgotten`)),
    });
    return exit.done;
  });
}
