/**
 * How many no-op jobs a second go the whole way on a three-node mesh on loopback: submitted, assigned, run, reported, finished?
 *
 * `npm run bench -- cycle [--rounds=5] [--jobs=20000] [--nodes=3]`
 */
import { Mesh } from "../scripts/mesh.ts";
import { benchVerb, compare, option, printMachine } from "./harness.ts";

await printMachine();
await using mesh = await Mesh.start({ nodes: option("nodes", 3) });
await mesh.leader({ voters: mesh.nodes.length });
await compare(
  [{ name: "no-op jobs", measure: () => benchVerb(mesh, "cycle", ["--jobs", `${option("jobs", 20_000)}`]) }],
  option("rounds", 5),
);
