import type { Command } from "commander";
import type { Cli } from "./cli.ts";
import { addCronExport } from "./cron-export.ts";
import { addCronCalendar } from "./cron-calendar.ts";
import { addCronImport } from "./cron-import.ts";
import { addCronNext } from "./cron-next.ts";
import { addCronOwners } from "./cron-owners.ts";

/** `skein cron next|owners|import|export|calendar` */
export function addCron(program: Command, cli: Cli): void {
  const cron = program.command("cron").description("schedules: jobs in time");
  addCronNext(cron, cli);
  addCronOwners(cron, cli);
  addCronImport(cron, cli);
  addCronExport(cron, cli);
  addCronCalendar(cron, cli);
}
