/**
 * What do clients notice of a planned hand-over of the leadership, of a rolling restart of all nodes, and of a rolling upgrade by one level? See
 * scripts/measure-handover.ts.
 *
 * `npm run bench -- handover [--rounds=20] [--restarts=3]` (hand-overs, and restarts of all nodes)
 */
import { measureHandover } from "../scripts/measure-handover.ts";
import { option, printMachine } from "./harness.ts";

await printMachine();
const kinds = { transfer: option("rounds", 20), rolling: option("restarts", 3), upgrade: 1 } as const;
for (const kind of ["transfer", "rolling", "upgrade"] as const) {
  const { longestGapMs, gapAtRestMs, problems, ...rest } = await measureHandover(kind, kinds[kind], console.log);
  console.log(`${kind}: longest time without an acknowledged write, ms ${JSON.stringify(longestGapMs)}`);
  console.log(`${kind}: the same at rest, ms ${JSON.stringify(gapAtRestMs)}  ${JSON.stringify(rest)}`);
  if (problems.length > 0) {
    console.log(problems.join("\n"));
    process.exitCode = 1;
  }
}
