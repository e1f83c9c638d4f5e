/**
 * How soon is an array of a million tasks acknowledged? Once it may run at once, and once it waits for an instant, through the leader and through a
 * follower, on a three-node mesh on loopback.
 *
 * `npm run bench -- array [--rounds=5] [--tasks=1000000] [--nodes=3] [--write]`
 */
import { Mesh } from "../scripts/mesh.ts";
import { measureInTurns, option, printMachine } from "./harness.ts";
import { acceptArrayMs, farOff } from "./measure/acceptance.ts";
import { conclude } from "./page/conclude.ts";
import { under } from "./page/rows.ts";

const count = option("tasks", 1_000_000);
const runs = { driver: "noop", count };
const waits = { ...runs, start_at: farOff };
const ways = [
  ["may run at once, asked of the leader", runs, "leader"],
  ["may run at once, asked of a follower", runs, "follower"],
  ["waits for an instant, asked of the leader", waits, "leader"],
] as const;

const conditions = await printMachine();
await using mesh = await Mesh.start({ nodes: option("nodes", 3) });
await mesh.leader({ voters: mesh.nodes.length });
const figures = await measureInTurns(
  ways.map(([name, spec, asked]) => ({
    name,
    measure: async () => {
      const leader = await mesh.leader();
      const other = mesh.nodes.find((node) => node !== leader) ?? leader;
      return { acknowledgedMs: await acceptArrayMs(asked === "leader" ? leader : other, spec) };
    },
  })),
  option("rounds", 5),
);
conclude("array", conditions, {
  rows: ways.map(([name]) =>
    under(`${count.toLocaleString("en-US")} tasks: ${name}`, 1000, " ms", figures[name]!["acknowledgedMs"]!),
  ),
  figures,
});
