/**
 * How many jobs a second does a three-node mesh on loopback accept, fsync on? Single jobs at 256 connections against batches of 200, in turns;
 * beside them the bound: how often this disk commits (bench/commit.ts).
 *
 * `npm run bench -- submit [--rounds=5] [--seconds=5] [--connections=256] [--batch=200] [--nodes=3]`
 */
import { Mesh } from "../scripts/mesh.ts";
import { benchVerb, compare, option, printMachine } from "./harness.ts";

const seconds = option("seconds", 5);
const connections = option("connections", 256);
await printMachine();
await using mesh = await Mesh.start({ nodes: option("nodes", 3) });
await mesh.leader({ voters: mesh.nodes.length });
const submit = (batch: number, atOnce: number): Promise<Record<string, number>> =>
  benchVerb(mesh, "submit", ["--duration", `${seconds}s`, "--connections", `${atOnce}`, "--batch", `${batch}`]);
await compare(
  [
    { name: `single jobs, ${connections} connections`, measure: () => submit(1, connections) },
    { name: `batches of ${option("batch", 200)}, 16 connections`, measure: () => submit(option("batch", 200), 16) },
  ],
  option("rounds", 5),
);
