/** Submits a job of four tasks, waits for it, and shows what each of them said. SKEIN_ADDR (URLs with commas) and SKEIN_TOKEN say where. */
import { ApiError, SkeinClient } from "skein-client";

const client = new SkeinClient({
  addrs: (process.env["SKEIN_ADDR"] ?? "http://127.0.0.1:7400").split(","),
  token: process.env["SKEIN_TOKEN"],
});

try {
  const { ids } = await client.submit({
    name: "greet",
    run: "echo hello from task $SKEIN_INDEX",
    count: 4,
    timeout: "1m",
  });
  const { jobs } = await client.wait(ids);
  for await (const task of client.everyTask(ids[0]!)) console.log(`${task.state}: ${task.tail.trim()}`);
  process.exitCode = jobs.every((job) => job.state === "succeeded") ? 0 : 1;
} catch (error) {
  if (!(error instanceof ApiError)) throw error;
  // Every problem of a spec at once, each with its path.
  console.error(error.message);
  for (const { path, message } of error.problems) console.error(`${path}: ${message}`);
  process.exitCode = 2;
}
