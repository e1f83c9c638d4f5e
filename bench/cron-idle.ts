/**
 * What do schedules cost that are not due, and how late are those that are? Three nodes on loopback, without schedules, and with more and more of them of which always as many are due each second.
 *
 * `npm run bench -- cron-idle [--sizes=10000,100000,1000000] [--due=100] [--settle=30] [--seconds=30] [--write]`: due each second; seconds until it is
 * measured, and while it is. A size takes as long as it takes to set so many.
 */
import { Mesh } from "../scripts/mesh.ts";
import { formatMs } from "../scripts/steps.ts";
import { list, option, printMachine, short } from "./harness.ts";
import { lagsOfTurns, setTurns } from "./measure/cron-turns.ts";
import { inStep, pause } from "./measure/gauges.ts";
import { conclude } from "./page/conclude.ts";
import { under } from "./page/rows.ts";
import { usageOf } from "./processes.ts";

const sizes = list("sizes", [10_000, 100_000, 1_000_000]);
const duePerSecond = option("due", 100);
const settleSeconds = option("settle", 30);
const seconds = option("seconds", 30);
/** What comes due last has so long to come into a history. */
const readAfterMs = 10_000;

interface Cost {
  readonly mebibytes: number;
  readonly percentOfACore: number;
}

interface Measured extends Cost {
  readonly schedules: number;
  readonly setPerSecond: number;
  readonly fires: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const conditions = await printMachine();
const rest = await atRest();
const measured: Measured[] = [];
for (const size of sizes) measured.push(await withSchedules(size));
const [fewest] = measured;
const many = measured.filter((one) => one !== fewest);
const named = ({ schedules }: Measured): string => `${schedules.toLocaleString("en-US")} schedules`;
conclude("cron-idle", conditions, {
  rows: measured.flatMap((one) => [
    under(`${named(one)}: late, p50`, 100, " ms", [one.p50Ms]),
    under(`${named(one)}: late, p99`, 1_000, " ms", [one.p99Ms]),
  ]),
  lines: [
    "| | memory of a node | processor, all nodes | late, p50 | p99 | most | set |",
    "|---|---:|---:|---:|---:|---:|---:|",
    `| none | ${short(rest.mebibytes)} MiB | ${short(rest.percentOfACore)} % of a core | – | – | – | – |`,
    ...measured.map(
      (one) =>
        `| ${named(one)}, ${duePerSecond} due each second | ${short(one.mebibytes)} MiB | ${short(one.percentOfACore)} % of a core | ${short(one.p50Ms)} ms | ${short(one.p99Ms)} ms | ${short(one.maxMs)} ms | ${short(one.setPerSecond)}/s |`,
    ),
    ...(many.length === 0
      ? []
      : [
          "",
          ...many.map((one) => {
            const more = one.schedules - fewest!.schedules;
            const bytes = ((one.mebibytes - fewest!.mebibytes) * 2 ** 20) / more;
            const percent = one.percentOfACore - fewest!.percentOfACore;
            return `- ${named(one)} beside ${named(fewest!)}, with as many due each second: ${short(bytes)} bytes of memory for each, and ${short(percent)} % of a core in all.`;
          }),
        ]),
  ],
  figures: { rest, measured },
});

async function atRest(): Promise<Cost> {
  await using mesh = await Mesh.start({ nodes: 3 });
  await mesh.leader({ voters: 3 });
  await pause(settleSeconds * 1_000);
  const cost = await costOf(mesh);
  console.log(`none: ${JSON.stringify(cost)}`);
  return cost;
}

async function withSchedules(schedules: number): Promise<Measured> {
  await using mesh = await Mesh.start({ nodes: 3 });
  await mesh.leader({ voters: 3 });
  const began = performance.now();
  const turns = { schedules, perSecond: duePerSecond, begin: Math.ceil(Date.now() / 1_000) * 1_000 };
  const setPerSecond = await setTurns(mesh, turns);
  await inStep(mesh);
  console.log(`${schedules} schedules are set after ${formatMs(performance.now() - began)}`);
  await pause(settleSeconds * 1_000);
  const from = Date.now();
  const cost = await costOf(mesh);
  const to = Date.now();
  if (to > turns.begin + (schedules / duePerSecond) * 1_000)
    throw new Error(
      `${schedules} schedules have all been due before the end: take more, or --settle and --seconds shorter`,
    );
  await pause(readAfterMs);
  const { count: fires, p50: p50Ms, p99: p99Ms, max: maxMs } = await lagsOfTurns(mesh, turns, from, to);
  const found = { schedules, setPerSecond, ...cost, fires, p50Ms, p99Ms, maxMs };
  console.log(JSON.stringify(found));
  return found;
}

/** Over the time of the measurement. */
async function costOf(mesh: Mesh): Promise<Cost> {
  const before = mesh.nodes.map((node) => usageOf(node).cpuMs);
  const began = performance.now();
  await pause(seconds * 1_000);
  const tookMs = performance.now() - began;
  const after = mesh.nodes.map((node) => usageOf(node));
  const cpuMs = after.reduce((sum, { cpuMs: spent }, at) => sum + spent - before[at]!, 0);
  return {
    mebibytes: Math.max(...after.map(({ rssBytes }) => rssBytes)) / 2 ** 20,
    percentOfACore: (cpuMs / tookMs) * 100,
  };
}
