/**
 * How many jobs a second does a three-node mesh on loopback accept, fsync on? Single jobs at 64 and 256 connections against batches of 200, in turns;
 * beside them, where it is installed, three etcd members under the same client. The bound below both is bench/commit.ts.
 *
 * Every measurement has a mesh, or an etcd, of its own, and is preceded by `--warm` seconds of the same load: what runs for days is compared, and the
 * first seconds of a process go into compiling it, a fifth of its time on two cores. `--warm=1` shows a mesh as it has just begun.
 *
 * `npm run bench -- submit [--rounds=5] [--seconds=5] [--warm=15] [--connections=64,256] [--batch=200] [--nodes=3]`
 */
import { Mesh, type MeshNode, until } from "../scripts/mesh.ts";
import { etcdPuts, etcdVersion } from "./peers/etcd.ts";
import { benchVerb, compare, list, option, printMachine } from "./harness.ts";

const seconds = option("seconds", 5);
const warm = option("warm", 15);
const connections = list("connections", [64, 256]);
const batch = option("batch", 200);
await printMachine();
const peer = etcdVersion();
console.log(peer === undefined ? "peer      none: etcd is not installed here" : `peer      ${peer}`);
const medians = await compare(
  [
    ...connections.map((count) => ({ name: `single jobs, ${count} connections`, measure: () => submit(1, count) })),
    { name: `batches of ${batch}, 16 connections`, measure: () => submit(batch, 16) },
    ...(peer === undefined
      ? []
      : connections.map((count) => ({
          name: `etcd puts of 200 bytes, ${count} connections`,
          measure: () => etcdPuts(count, warm, seconds),
        }))),
  ],
  option("rounds", 5),
);
for (const count of connections) {
  const own = medians[`single jobs, ${count} connections`]?.["requests_per_second"];
  const others = medians[`etcd puts of 200 bytes, ${count} connections`]?.["requestsPerSecond"];
  if (own !== undefined && others !== undefined)
    console.log(`${count} connections: ${(own / others).toFixed(2)} single jobs for each of etcd's puts`);
}

/** On a mesh of its own. What the load before has left is run first: it is not to be run in the measured time. */
async function submit(perRequest: number, atOnce: number): Promise<Record<string, number>> {
  await using mesh = await Mesh.start({ nodes: option("nodes", 3) });
  const leader = await mesh.leader({ voters: mesh.nodes.length });
  const words = ["--connections", `${atOnce}`, "--batch", `${perRequest}`];
  // Batches bring in a second what takes five to run.
  const warmSeconds = perRequest === 1 ? warm : Math.ceil(warm / 5);
  await benchVerb(mesh, "submit", [...words, "--seconds", `${warmSeconds}`]);
  await until(
    async () => ((await unfinished(leader)) === 0 ? true : undefined),
    300_000,
    () => "the jobs of the warm-up do not end",
  );
  return await benchVerb(mesh, "submit", [...words, "--seconds", `${seconds}`]);
}

async function unfinished(node: MeshNode): Promise<number> {
  const { body } = await node.api("GET", "/metrics");
  return Number(/^skein_jobs_unfinished (\d+)$/m.exec(String(body))?.[1]);
}
