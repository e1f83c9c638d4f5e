/**
 * How many jobs a second does a three-node mesh on loopback accept, fsync on? Single jobs at 256 connections against batches of 200, in turns;
 * beside them, where it is installed, three etcd members under the same client. The bound below both is bench/commit.ts.
 *
 * `npm run bench -- submit [--rounds=5] [--seconds=5] [--connections=256] [--batch=200] [--nodes=3]`
 */
import { Mesh } from "../scripts/mesh.ts";
import { etcdPuts, etcdVersion } from "./peers/etcd.ts";
import { benchVerb, compare, option, printMachine } from "./harness.ts";

const seconds = option("seconds", 5);
const connections = option("connections", 256);
const batch = option("batch", 200);
await printMachine();
const peer = etcdVersion();
console.log(peer === undefined ? "peer      none: etcd is not installed here" : `peer      ${peer}`);
await compare(
  [
    { name: `single jobs, ${connections} connections`, measure: () => submit(1, connections) },
    { name: `batches of ${batch}, 16 connections`, measure: () => submit(batch, 16) },
    ...(peer === undefined
      ? []
      : [
          { name: `etcd puts of 200 bytes, ${connections} connections`, measure: () => etcdPuts(connections, seconds) },
        ]),
  ],
  option("rounds", 5),
);

/** On a mesh of its own: the jobs that one measurement leaves would run during the next. */
async function submit(perRequest: number, atOnce: number): Promise<Record<string, number>> {
  await using mesh = await Mesh.start({ nodes: option("nodes", 3) });
  await mesh.leader({ voters: mesh.nodes.length });
  const words = ["--seconds", `${seconds}`, "--connections", `${atOnce}`, "--batch", `${perRequest}`];
  return await benchVerb(mesh, "submit", words);
}
