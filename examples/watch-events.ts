/** Watches how jobs end, from the moment before they were submitted: an event's id is where a reader goes on, at any node. */
import { SkeinClient } from "skein-client";

const client = new SkeinClient({
  addrs: (process.env["SKEIN_ADDR"] ?? "http://127.0.0.1:7400").split(","),
  token: process.env["SKEIN_TOKEN"],
});

const { applied } = await client.cluster();
const { ids } = await client.submit([{ run: "true" }, { run: "exit 3" }]);
const open = new Set(ids);
for await (const event of client.events({ topics: ["job"], jobs: ids, from: applied })) {
  if (event.topic !== "job" || event.kind !== "state") continue;
  if (event.state === "queued" || event.state === "running") continue;
  console.log(`job ${ids.indexOf(event.job) + 1} ${event.state}`);
  open.delete(event.job);
  if (open.size === 0) break;
}
