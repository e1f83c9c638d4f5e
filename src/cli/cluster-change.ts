import type { Command } from "commander";
import type { ClusterView } from "../state/answers.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import type { Output } from "./output.ts";
import { addSet } from "./cluster-set.ts";
import { stateColour } from "./text.ts";

/** `skein cluster set|transfer|upgrade` */
export function addClusterChanges(cluster: Command, cli: Cli): void {
  addSet(cluster, cli);
  const transfer = cluster
    .command("transfer")
    .description("hand the leadership over, and wait until the other node leads")
    .option("--to <node>", "id or name of a voter (default: the one that is closest)");
  cli.verb<{ readonly to?: string }>(transfer, async (session, { to }) => {
    const { from, leader } = await session.client.transfer(to);
    session.output.result({
      value: { from, leader },
      ids: [leader],
      table: (out) => out.line(leader === from ? `node ${leader} leads already` : `node ${leader} leads now`),
    });
    return exit.done;
  });
  addUpgrade(cluster, cli);
}

interface UpgradeFlags {
  readonly level?: string;
  readonly now?: boolean;
  readonly hold?: boolean;
  readonly release?: boolean;
}

function addUpgrade(cluster: Command, cli: Cli): void {
  const command = cluster
    .command("upgrade")
    .description(
      "show the cluster's level and what each node understands; raise it now, or hold it while an upgrade may be rolled back",
    )
    .option("--now", "raise it to what every member understands, without waiting a minute")
    .option("--level <n>", "raise it to this level now")
    .option("--hold", "the leader is not to raise it by itself")
    .option("--release", "the leader raises it by itself again");
  cli.verb<UpgradeFlags>(command, async (session, flags) => {
    const given = [flags.level !== undefined, flags.now, flags.hold, flags.release].filter((one) => one === true);
    if (given.length > 1) throw new CliError(exit.usage, "give one of --now, --level, --hold and --release");
    if (flags.hold === true || flags.release === true)
      await session.client.call("cluster.hold", { hold: flags.hold === true }, { idempotent: true });
    if (flags.now === true || flags.level !== undefined) await raise(session, flags.level);
    const view = await session.client.cluster();
    session.output.result({ value: upgradeOf(view), ids: [view.level], table: (out) => printUpgrade(out, view) });
    return exit.done;
  });
}

async function raise(session: Session, text: string | undefined): Promise<void> {
  if (text !== undefined && !/^[1-9]\d{0,5}$/.test(text))
    throw new CliError(exit.usage, `--level "${text}" is not a whole number above 0`);
  const level = text === undefined ? (await session.client.cluster()).level_understood : Number(text);
  await session.client.call("cluster.raise", { level }, { idempotent: true });
}

function upgradeOf(view: ClusterView) {
  const { level, level_understood, level_held, nodes } = view;
  const levels = nodes.map(({ id, name, state, version, level }) => ({ id, name, state, version, level }));
  return { level, level_understood, level_held, nodes: levels };
}

function printUpgrade(out: Output, view: ClusterView): void {
  out.fields([["level", levelText(view)]]);
  out.line("");
  out.rows(
    [
      { title: "ID", align: "right" },
      { title: "NAME", shrinks: true },
      { title: "STATE", colour: stateColour },
      { title: "VERSION" },
      { title: "UNDERSTANDS", align: "right" },
    ],
    view.nodes.map((node) => [String(node.id), node.name, node.state, node.version, String(node.level)]),
  );
}

/** The level, and what becomes of it. */
export function levelText({ level, level_understood, level_held }: ClusterView): string {
  const held = level_held ? ", held: 'skein cluster upgrade --release' lets it rise" : "";
  if (level_understood <= level) return `${level}${held}`;
  return `${level}, every member understands ${level_understood}${held === "" ? ": rises a minute after they all do" : held}`;
}
