import type { Command } from "commander";
import type { Cli } from "./cli.ts";
import { addCronAdd } from "./cron-add.ts";
import { addCronApply } from "./cron-apply.ts";
import { addCronCalendar } from "./cron-calendar.ts";
import { addCronChange } from "./cron-change.ts";
import { addCronExport } from "./cron-export.ts";
import { addCronImport } from "./cron-import.ts";
import { addCronList } from "./cron-ls.ts";
import { addCronNext } from "./cron-next.ts";
import { addCronOwners } from "./cron-owners.ts";
import { addCronShow } from "./cron-show.ts";

/** `skein cron add|ls|show|fires|next|pause|resume|fire|rm|owners|apply|import|export|calendar` */
export function addCron(program: Command, cli: Cli): void {
  const cron = program.command("cron").description("schedules: jobs in time");
  addCronAdd(cron, cli);
  addCronList(cron, cli);
  addCronShow(cron, cli);
  addCronNext(cron, cli);
  addCronChange(cron, cli);
  addCronOwners(cron, cli);
  addCronApply(cron, cli);
  addCronImport(cron, cli);
  addCronExport(cron, cli);
  addCronCalendar(cron, cli);
}
