/**
 * What do a million queued single jobs cost? On a three-node mesh on loopback: memory of the leader's process, the rate of single submits before and
 * after, the leader's restart and that of all. Once the jobs wait because all nodes are full, once for an instant.
 *
 * `npm run bench -- queued [--jobs=1000000] [--rounds=3] [--seconds=5] [--warm=10] [--ways=busy,gated] [--write]`: rounds of the submits, before and
 * after; each way has a mesh of its own.
 */
import { Mesh } from "../scripts/mesh.ts";
import { none, type Row } from "../scripts/reliability-judge.ts";
import { formatMs } from "../scripts/steps.ts";
import { median, option, printMachine, spread, words } from "./harness.ts";
import { fill, occupy, restartMs, submitRate, type Wait, waits } from "./measure/fill.ts";
import { gauge, inStep, pause, untilUnfinished } from "./measure/gauges.ts";
import { conclude } from "./page/conclude.ts";
import { shown, under } from "./page/rows.ts";
import { peakRssBytes, usageOf } from "./processes.ts";

const jobs = option("jobs", 1_000_000);
const rounds = option("rounds", 3);
const seconds = option("seconds", 5);
const warm = option("warm", 10);
const ways = (words("ways") ?? ["busy", "gated"]) as readonly Wait[];
const load = { connections: 256, batch: 1, seconds };
/** The default of `skein up`. */
const ioTasks = 64;
const mebibyte = 2 ** 20;
const megabytes = (bytes: number): number => bytes / mebibyte;

const conditions = await printMachine();
const rows: Row[] = [];
const figures: Record<string, unknown> = {};
for (const way of ways) {
  if (!(way in waits)) throw new Error(`--ways=${way}: there are ${Object.keys(waits).join(", ")}`);
  rows.push(...(await measure(way)));
}
conclude("queued", conditions, { rows, figures });

async function measure(way: Wait): Promise<Row[]> {
  await using mesh = await Mesh.start({ nodes: 3, flags: ["--io-tasks", `${ioTasks}`] });
  const first = await mesh.leader({ voters: 3 });
  await submitRate(mesh, { driver: "noop" }, { ...load, seconds: warm });
  await untilUnfinished(first, 0);
  if (way === "busy") await occupy(mesh, ioTasks);
  const spec = { driver: "noop", ...waits[way] };
  const before = await submits(mesh, spec);
  say(way, `empty: ${spread(before)} submits/s`);
  const filledPerSecond = await fill(mesh, way, jobs);
  await inStep(mesh);
  const leader = await mesh.leader();
  const queued = await gauge(leader, "skein_jobs_unfinished");
  // What filling it has left in memory is not what the jobs take.
  await pause(10_000);
  const rss = megabytes(usageOf(leader).rssBytes);
  say(way, `${queued} jobs, filled with ${Math.round(filledPerSecond)}/s; leader ${Math.round(rss)} MiB`);
  const peak = megabytes(peakRssBytes(leader));
  const after = await submits(mesh, spec);
  const others = Math.max(...mesh.nodes.map((node) => megabytes(peakRssBytes(node))));
  say(
    way,
    `full: ${spread(after)} submits/s; leader at most ${Math.round(peak)} MiB until it was full, any node since ${Math.round(others)} MiB`,
  );
  await inStep(mesh);

  const restarted = await restartMs(await mesh.leader());
  say(way, `the leader again ready after ${formatMs(restarted)}`);
  const taken = await gauge(await mesh.leader({ voters: 3 }), "skein_jobs_submitted_total");
  await mesh.killEverything();
  const began = performance.now();
  await Promise.all(mesh.nodes.map((node) => node.start()));
  const allReady = performance.now() - began;
  // It can serve writes, which takes a plan of what is to be done.
  await mesh.leader({ voters: 3 });
  const allServe = performance.now() - began;
  await inStep(mesh);
  const lost = taken - (await gauge(mesh.nodes[0]!, "skein_jobs_submitted_total"));
  say(
    way,
    `all again ready after ${formatMs(allReady)}, serve after ${formatMs(allServe)}, ${lost} of ${taken} jobs lost`,
  );

  figures[way] = {
    queued,
    before,
    after,
    filledPerSecond,
    rss,
    peak,
    others,
    restarted,
    allReady,
    allServe,
    lost,
  };
  const share = (100 * median(after)) / median(before);
  return [
    shown(`\`${way}\`: jobs that have not ended`, "", [queued]),
    under(`\`${way}\`: memory of the leader, once it is filled`, 1024, " MiB", [rss]),
    under(`\`${way}\`: memory of the leader, at most until then`, 1024, " MiB", [peak]),
    shown(`\`${way}\`: memory of any node, at most until it is killed`, " MiB", [others]),
    shown(`\`${way}\`: submits with an empty queue`, "/s", before),
    shown(`\`${way}\`: submits with a full one`, "/s", after),
    {
      what: `\`${way}\`: the second of the first`,
      wanted: "at least 70 %",
      measured: `${share.toFixed(0)} %`,
      met: share >= 70,
    },
    under(`\`${way}\`: the leader killed and started, to \`ready\``, 10, " s", [restarted / 1000]),
    under(`\`${way}\`: all killed and started, to the last \`ready\``, 10, " s", [allReady / 1000]),
    shown(`\`${way}\`: all killed and started, until writes are served`, " s", [allServe / 1000]),
    none(`\`${way}\`: lost by it, of ${taken.toLocaleString("en-US")} jobs`, lost),
  ];
}

async function submits(mesh: Mesh, spec: object): Promise<number[]> {
  const rates: number[] = [];
  for (let round = 0; round < rounds; round++) rates.push((await submitRate(mesh, spec, load)).jobsPerSecond);
  return rates;
}

function say(way: Wait, what: string): void {
  console.log(`${way}: ${what}`);
}
