import type { Command } from "commander";
import type { Cli } from "./cli.ts";
import { addCronNext } from "./cron-next.ts";

/** `skein cron next` */
export function addCron(program: Command, cli: Cli): void {
  const cron = program.command("cron").description("schedules: jobs in time");
  addCronNext(cron, cli);
}
