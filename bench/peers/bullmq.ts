/** BullMQ on one unreplicated Redis, as the peer for adding and running jobs. Its client and its worker are a process of their own, in the runtime that skein has. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { root, run, tool } from "../../scripts/steps.ts";
import { type AppendFsync, redisVersion, startRedis } from "./redis.ts";

/** What is measured beside us, in words, or undefined when there is no Redis on the path. */
export function bullmqVersion(): string | undefined {
  const redis = redisVersion();
  const { version } = packageOf("bullmq");
  const client = packageOf("ioredis").version;
  return redis === undefined
    ? undefined
    : `bullmq ${version} (ioredis ${client}, bun) on one ${redis}, append-only file`;
}

/** Adds a second, `connections` calls under way at once: `add`, or `addBulk` of `batch` jobs. */
export async function bullmqAdds(
  fsync: AppendFsync,
  load: {
    readonly connections: number;
    readonly batch: number;
    readonly warmSeconds: number;
    readonly seconds: number;
  },
): Promise<Record<string, number>> {
  const { connections, ...rest } = load;
  return await withRedis(fsync, { do: "add", atOnce: connections, ...rest }, load.warmSeconds + load.seconds);
}

/** No-op jobs a second, all of which were added before: one worker that runs `atOnce` at once. */
export async function bullmqProcesses(
  fsync: AppendFsync,
  load: { readonly jobs: number; readonly atOnce: number },
): Promise<Record<string, number>> {
  // A thousand a second is a tenth of what it does here.
  return await withRedis(fsync, { do: "process", ...load }, load.jobs / 1000);
}

async function withRedis(fsync: AppendFsync, wanted: object, seconds: number): Promise<Record<string, number>> {
  await using redis = await startRedis(fsync);
  const words = ["bench/peers/bullmq-load.ts", JSON.stringify({ port: redis.port, ...wanted })];
  const said = await run(tool("bun"), words, { timeoutMs: (seconds + 60) * 1000 });
  if (said.code !== 0) throw new Error(`BullMQ failed: ${said.output}`);
  return JSON.parse(said.output) as Record<string, number>;
}

function packageOf(name: string): { readonly version: string } {
  const file = path.join(root, "node_modules", name, "package.json");
  return JSON.parse(readFileSync(file, "utf8")) as { version: string };
}
