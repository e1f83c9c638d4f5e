import type { Command } from "commander";
import type { ScheduleOwnersView, ScheduleOwnerView, ScheduleRing } from "../state/answers.ts";
import type { Cli } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { collect } from "./flags.ts";
import type { Output } from "./output.ts";
import type { Column } from "./table.ts";
import { paint } from "./text.ts";
import { zonesText } from "./zones-note.ts";

interface OwnersFlags {
  readonly ring?: string;
  readonly without?: readonly string[];
  readonly with?: string;
}

const rings: readonly ScheduleRing[] = ["rendezvous", "tooz"];
const newMost = 1_000;

/** `skein cron owners` */
export function addCronOwners(cron: Command, cli: Cli): void {
  const command = cron
    .command("owners")
    .description("which node works out how many schedules, and how many would move if nodes came or went")
    .option("--without <node>", "as if this node, by id or name, were gone (repeatable)", collect)
    .option("--with <n>", "as if so many more nodes were there")
    .option(
      "--ring <rule>",
      `${rings.join(" (what the nodes go by) or ")} (that of OpenStack's tooz, to compare with)`,
    );
  cli.verb<OwnersFlags>(command, async (session, flags) => {
    const view = await session.client.scheduleOwners({
      ring: ringOf(flags.ring),
      without: flags.without?.join(","),
      with: newOf(flags.with),
    });
    session.output.result({
      value: view,
      ids: view.members.map(({ node }) => node),
      table: (out) => printOwners(out, view),
    });
    return exit.done;
  });
}

function ringOf(text: string | undefined): ScheduleRing | undefined {
  const ring = rings.find((one) => one === text);
  if (text === undefined || ring !== undefined) return ring;
  throw new CliError(exit.usage, `--ring "${text}" is neither ${rings.join(" nor ")}`);
}

function newOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\+?\d{1,9}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= newMost) return value;
  throw new CliError(exit.usage, `--with "${text}" is not a whole number from 1 to ${newMost}`);
}

function printOwners(out: Output, view: ScheduleOwnersView): void {
  const { members, change, schedules, due } = view;
  const columns: Column[] = [
    { title: "NODE", shrinks: true },
    { title: "SCHEDULES", align: "right" },
    { title: "SHARE", align: "right" },
    { title: "DUE IN 1m", align: "right" },
  ];
  if (change !== undefined) columns.push({ title: "AFTER", align: "right" }, { title: "CHANGE", align: "right" });
  out.rows(columns, members.map(rowOf));
  out.line(`${schedules} schedules, ${due} of them due within a minute; ${mostText(view.max_over_mean)}`);
  const zones = zonesText(members);
  if (zones !== undefined) out.line(paint(`zones' data ${zones}`, "yellow", out.colours));
  if (change === undefined) return;
  const { moved, moved_share: share, ideal_share: ideal, needless } = change;
  out.line(
    `${moved} would move (${percent(share)}; ${percent(ideal)} is the least that can), ${needless} of them between nodes that stay; then ${mostText(change.max_over_mean)}`,
  );
}

function rowOf({ node, name, schedules, share, due, after }: ScheduleOwnerView): string[] {
  const cells = [name ?? `(new, ${node})`, String(schedules), percent(share), String(due)];
  if (after === undefined) return cells;
  const by = after - schedules;
  return [...cells, String(after), by > 0 ? `+${by}` : String(by)];
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

function mostText(ratio: number | null): string {
  return ratio === null ? "there is nothing to share" : `who has most has ${ratio.toFixed(2)} times the mean`;
}
