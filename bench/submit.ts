/**
 * How many jobs a second does a three-node mesh on loopback accept, fsync on? Single jobs at 64 and 256 connections against batches of 200, in turns;
 * beside them, where it is installed, three etcd members under the same client. The bound below both is bench/commit.ts.
 *
 * Twice: jobs that run at once, so that placing, running and ending them takes its part of the same cores, and jobs that wait (held), where accepting is
 * all that is done for them. The second is what a put of etcd is to be compared with: it, too, is stored on three nodes and nothing more.
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
const held = { driver: "noop", hold: true };
const forms: Readonly<Record<string, object>> = { wait: held, run: { driver: "noop" } };
const single = (form: string, count: number): string => `single jobs that ${form}, ${count} connections`;
const etcd = (count: number): string => `etcd puts of 200 bytes, ${count} connections`;
await printMachine();
const peer = etcdVersion();
console.log(peer === undefined ? "peer      none: etcd is not installed here" : `peer      ${peer}`);
const medians = await compare(
  [
    ...Object.entries(forms).flatMap(([form, spec]) => [
      ...connections.map((count) => ({ name: single(form, count), measure: () => submit(spec, 1, count) })),
      { name: `batches of ${batch} that ${form}, 16 connections`, measure: () => submit(spec, batch, 16) },
    ]),
    ...(peer === undefined
      ? []
      : connections.map((count) => ({
          name: etcd(count),
          measure: () => etcdPuts(count, warm, seconds),
        }))),
  ],
  option("rounds", 5),
);
for (const count of connections) {
  const others = medians[etcd(count)]?.["requestsPerSecond"];
  if (others === undefined) continue;
  for (const form of Object.keys(forms)) {
    const own = medians[single(form, count)]!["requests_per_second"]!;
    console.log(`${count} connections: ${(own / others).toFixed(2)} single jobs that ${form} for each of etcd's puts`);
  }
}

/** On a mesh of its own. What the load before has left is run first: it is not to be run in the measured time. */
async function submit(spec: object, perRequest: number, atOnce: number): Promise<Record<string, number>> {
  await using mesh = await Mesh.start({ nodes: option("nodes", 3) });
  const leader = await mesh.leader({ voters: mesh.nodes.length });
  const words = ["--connections", `${atOnce}`, "--batch", `${perRequest}`, "--spec", "-"];
  // Batches bring in a second what takes five to run.
  const warmSeconds = perRequest === 1 ? warm : Math.ceil(warm / 5);
  await benchVerb(mesh, "submit", [...words, "--seconds", `${warmSeconds}`], JSON.stringify(spec));
  if (spec !== held)
    await until(
      async () => ((await unfinished(leader)) === 0 ? true : undefined),
      300_000,
      () => "the jobs of the warm-up do not end",
    );
  return await benchVerb(mesh, "submit", [...words, "--seconds", `${seconds}`], JSON.stringify(spec));
}

async function unfinished(node: MeshNode): Promise<number> {
  const { body } = await node.api("GET", "/metrics");
  return Number(/^skein_jobs_unfinished (\d+)$/m.exec(String(body))?.[1]);
}
