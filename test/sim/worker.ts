import { runSeed, type SimOptions } from "./run-seed.ts";

/**
 * A process that runs seeds: `bun test/sim/worker.ts`, with one request per line on its standard input and one result per line on its
 * standard output. It ends with its input.
 */
export interface WorkerRequest {
  readonly seed: number;
  readonly options?: SimOptions;
}

if (import.meta.main) {
  for await (const line of console) {
    if (line === "") continue;
    const { seed, options } = JSON.parse(line) as WorkerRequest;
    const before = process.cpuUsage();
    const result = await runSeed(seed, options);
    const { user, system } = process.cpuUsage(before);
    // The plan is drawn again from the seed by whoever needs it; a story only where there is something to tell.
    const { plan: _, story, ...rest } = result;
    const told = result.problems.length > 0 || options?.story === true ? story : [];
    process.stdout.write(`${JSON.stringify({ ...rest, story: told, cpuMs: (user + system) / 1000 })}\n`);
  }
  // A write whose cluster is gone would wait for its answer in real time from here on, half a minute.
  process.stdout.write("", () => process.exit());
}
