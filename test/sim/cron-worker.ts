import { type CronHours, runCronHours } from "./cron-run.ts";

/** A process that runs hours of schedules: one request per line on its standard input, one result per line on its standard output, as worker.ts does. */
if (import.meta.main) {
  for await (const line of console) {
    if (line === "") continue;
    const result = runCronHours(JSON.parse(line) as CronHours);
    process.stdout.write(`${JSON.stringify(result.problems.length > 0 ? result : { ...result, story: [] })}\n`);
  }
  process.stdout.write("", () => process.exit());
}
