/**
 * How does each figure of the job engine grow with the number of nodes, and with the number of jobs in the state? Real nodes, all on this machine; then
 * three nodes with so many jobs that wait: for an instant (`gated`), or for a node that nobody is (`nowhere`), which the planner has to pass over.
 * As tables and as plots of what one operation costs, beside a linear one.
 *
 * `npm run bench -- growth [--nodes=1,3,5,10,30] [--jobs=1000,10000,100000,1000000] [--ways=nowhere,gated] [--rounds=1] [--seconds=3] [--singles=5000]
 * [--array=20000] [--accepted=1000000] [--shells=500] [--dispatches=50] [--write]`. Without `--write` the plots are not kept. A size that cannot be measured is said, and left out.
 */
import { Mesh } from "../scripts/mesh.ts";
import { none, type Row } from "../scripts/reliability-judge.ts";
import { formatMs } from "../scripts/steps.ts";
import { list, median, option, printMachine, words } from "./harness.ts";
import { type Amounts, allFigures, type FigureKind, figureKinds } from "./measure/all-figures.ts";
import { fill, type Wait, waits } from "./measure/fill.ts";
import { inStep } from "./measure/gauges.ts";
import { conclude, writeBeside } from "./page/conclude.ts";
import { growthLines, growthTable, judgeGrowth, type Series } from "./page/growth-judge.ts";
import { drawPlot } from "./page/plot.ts";

const nodeCounts = list("nodes", [1, 3, 5, 10, 30]);
const jobCounts = list("jobs", [1_000, 10_000, 100_000, 1_000_000]);
const ways = (words("ways") ?? ["nowhere", "gated"]) as readonly Wait[];
const rounds = option("rounds", 1);
const amounts: Amounts = {
  dispatches: option("dispatches", 50),
  acceptedTasks: option("accepted", 1_000_000),
  arrayTasks: option("array", 20_000),
  singleJobs: option("singles", 5_000),
  shellTasks: option("shells", 500),
  seconds: option("seconds", 3),
};
const kinds = Object.keys(figureKinds) as readonly FigureKind[];
type Figures = Readonly<Record<FigureKind, number>>;

const conditions = await printMachine();
const rows: Row[] = [];
const lines: string[] = [];
const figures: Record<string, unknown> = {};
let failed = 0;
await measure("nodes", "nodes", "With more nodes", nodeCounts, (nodes) => once(nodes, "gated", 0));
for (const way of ways) {
  if (way === "busy" || !(way in waits)) throw new Error(`--ways=${way}: there are nowhere, gated`);
  await measure(way, "jobs", `With more jobs that wait (\`${way}\`)`, jobCounts, (jobs) => once(3, way, jobs));
}
rows.push(none("sizes that could not be measured", failed));
conclude("growth", conditions, { rows, lines, figures });

/** One table and one plot: every size measured `rounds` times, the median of each figure. */
async function measure(
  name: string,
  what: string,
  title: string,
  sizes: readonly number[],
  atSize: (size: number) => Promise<Figures>,
): Promise<void> {
  const found: (readonly Figures[])[] = [];
  for (const size of sizes) {
    const measured: Figures[] = [];
    for (let round = 1; round <= rounds; round++) {
      const began = performance.now();
      try {
        const one = await atSize(size);
        measured.push(one);
        console.log(`${name}: ${size} ${what}, ${formatMs(performance.now() - began)}  ${JSON.stringify(one)}`);
      } catch (error) {
        failed += 1;
        console.log(`${name}: ${size} ${what}: ${error instanceof Error ? error.message : String(error)}`);
        await Mesh.stopAll();
      }
    }
    found.push(measured);
  }
  figures[name] = { sizes, found };
  const series = kinds.map((kind): Series => {
    const values = found.map((all) => (all.length === 0 ? undefined : median(all.map((one) => one[kind]))));
    return { ...figureKinds[kind], values };
  });
  rows.push(...judgeGrowth(what, sizes, series).map((row) => ({ ...row, what: `\`${name}\`: ${row.what}` })));
  const plot = { title: `${title}: what one operation costs`, x: what, y: "times the smallest size" };
  lines.push(`### ${title}`, "", ...growthTable(what, sizes, series), "");
  if (!process.argv.includes("--write") || found.every((all) => all.length === 0)) return;
  const file = writeBeside(
    `benchmarks-jobs-${name}.svg`,
    drawPlot({ ...plot, lines: growthLines(sizes, series) }).replaceAll("`", ""),
  );
  lines.push(`![${plot.title}](${file})`, "");
}

async function once(nodes: number, way: Wait, waiting: number): Promise<Figures> {
  await using mesh = await Mesh.start({ nodes: Math.min(nodes, 5) });
  const voters = nodes < 3 ? 1 : nodes < 5 ? 3 : 5;
  await mesh.leader({ voters });
  // Each join takes a core for a while.
  while (mesh.nodes.length < nodes)
    await Promise.all(Array.from({ length: Math.min(4, nodes - mesh.nodes.length) }, () => mesh.add()));
  await fill(mesh, way, waiting);
  await inStep(mesh);
  return await allFigures(mesh, waiting, amounts);
}
