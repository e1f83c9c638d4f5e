import type { Command } from "commander";
import { addBenchCron } from "./bench-cron.ts";
import { addBenchCycle } from "./bench-cycle.ts";
import { addBenchSubmit } from "./bench-submit.ts";
import type { Cli } from "./cli.ts";

/** `skein bench submit|cycle|cron`: load on any mesh, and what came of it. */
export function addBench(program: Command, cli: Cli): void {
  const bench = program.command("bench").description("measure a mesh by the load of this host");
  addBenchSubmit(bench, cli);
  addBenchCycle(bench, cli);
  addBenchCron(bench, cli);
}
