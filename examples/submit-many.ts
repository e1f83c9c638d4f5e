/**
 * Submits as many jobs as it is told to (default 10,000), without ever holding more than a few batches of them, and waits for all. Started again with the same
 * SKEIN_KEY it submits nothing twice.
 */
import { type JobSpec, PartlySubmitted, SkeinClient } from "skein-client";

const client = new SkeinClient({
  addrs: (process.env["SKEIN_ADDR"] ?? "http://127.0.0.1:7400").split(","),
  token: process.env["SKEIN_TOKEN"],
});
const count = Number(process.argv[2] ?? 10_000);

/** They could as well come from a file or a database: the source is read no faster than the mesh takes them. */
function* specs(): Generator<JobSpec> {
  for (let number = 0; number < count; number++) yield { name: `point-${number}`, driver: "noop" };
}

const ids: number[] = [];
try {
  for await (const batch of client.submitMany(specs(), { key: process.env["SKEIN_KEY"] })) ids.push(...batch.ids);
} catch (error) {
  if (error instanceof PartlySubmitted)
    console.error(`${error.first} were submitted; go on with SKEIN_KEY=${error.key}`);
  throw error;
}
const { jobs } = await client.wait(ids, {
  onProgress: ({ jobs }) => console.error(`${jobs.filter((job) => job.state === "succeeded").length} of ${count}`),
});
console.log(`${jobs.filter((job) => job.state === "succeeded").length} of ${ids.length} jobs succeeded`);
