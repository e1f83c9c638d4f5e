/**
 * How long are writes held up when the leader of three dies (`kill`), freezes (`freeze`), is cut off in silence (`partition`), or its disk hangs
 * (`hang`) or is full (`full`)? See scripts/measure-failover.ts.
 *
 * `npm run bench -- failover [--rounds=20] [--ways=kill,freeze,partition,hang,full]`
 */
import { measureFailover, ways, type Way } from "../scripts/measure-failover.ts";
import { enterOwnNetwork } from "../scripts/namespaces.ts";
import { whyNot } from "../scripts/soak-rig.ts";
import { root, textOption } from "../scripts/steps.ts";
import { option, printMachine } from "./harness.ts";

const chosen = (textOption("ways") ?? Object.keys(ways).join(",")).split(",") as Way[];
const wrong = chosen.find((way) => !(way in ways));
if (wrong !== undefined) throw new Error(`there is no way "${wrong}": ${Object.keys(ways).join(", ")}`);
const possible: Way[] = [];
for (const way of chosen) {
  const reason = await whyNot([ways[way]]);
  if (reason === undefined) possible.push(way);
  else console.log(`${way} is left out: ${reason}`);
}
if (possible.includes("partition")) {
  await enterOwnNetwork([process.execPath, `${root}/scripts/setup.mjs`, "bench", ...process.argv.slice(2)]);
}
await printMachine();
for (const way of possible) {
  const { nextWriteMs, replacedMs, problems, ...rest } = await measureFailover(way, option("rounds", 20), console.log);
  console.log(`${way}: next acknowledged write after, ms ${JSON.stringify(nextWriteMs)}  ${JSON.stringify(rest)}`);
  console.log(`${way}: replaced after, ms ${JSON.stringify(replacedMs)}`);
  if (problems.length > 0) {
    console.log(problems.join("\n"));
    process.exitCode = 1;
  }
}
