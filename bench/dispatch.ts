/**
 * How soon is an accepted job started, on a three-node mesh that does nothing else, and on one that runs 5,000 `noop` tasks a second? By the clocks of
 * the state (the leader's when it takes the write, the node's when it starts the task), and, for driver `shell`, by what the task itself reads.
 *
 * `npm run bench -- dispatch [--rounds=5] [--jobs=100] [--every=20] [--rate=5000] [--warm=3] [--nodes=3] [--write]`: pairs of jobs in a round, one of
 * each driver; a job every so many ms; seconds of load before and while it is looked at.
 */
import { distribution } from "../scripts/figures.ts";
import { Mesh } from "../scripts/mesh.ts";
import type { Row } from "../scripts/reliability-judge.ts";
import { formatMs } from "../scripts/steps.ts";
import { median, option, printMachine, short } from "./harness.ts";
import { type Dispatched, dispatch, SteadyLoad } from "./measure/dispatch.ts";
import { untilUnfinished } from "./measure/gauges.ts";
import { conclude } from "./page/conclude.ts";
import { atLeast, shown } from "./page/rows.ts";

const jobs = option("jobs", 100);
const everyMs = option("every", 20);
const perSecond = option("rate", 5000);
const warmMs = option("warm", 3) * 1000;
const rounds = option("rounds", 5);

const conditions = await printMachine();
await using mesh = await Mesh.start({ nodes: option("nodes", 3) });
await mesh.leader({ voters: mesh.nodes.length });
const idle: Dispatched = { noop: [], shell: [], seen: [], whole: [] };
const busy: Dispatched = { noop: [], shell: [], seen: [], whole: [] };
const rates: { readonly acceptedPerSecond: number; readonly endedPerSecond: number }[] = [];
for (let round = 0; round <= rounds; round++) {
  const began = performance.now();
  const atRest = await dispatch(mesh, jobs, everyMs);
  const load = await SteadyLoad.start(mesh, perSecond, warmMs);
  const underLoad = await dispatch(mesh, jobs, everyMs);
  const rate = await load.stop();
  await untilUnfinished(await mesh.leader(), 0);
  const note = round === 0 ? "warm-up" : `round ${round} of ${rounds}`;
  const medians = [atRest, underLoad].map(({ noop, seen }) => `${median(noop)} and ${short(median(seen))} ms`);
  console.log(
    `${note}: ${formatMs(performance.now() - began)}  medians ${medians.join(", under load ")}  ${JSON.stringify(rate)}`,
  );
  if (round === 0) continue;
  for (const kind of ["noop", "shell", "seen", "whole"] as const) {
    idle[kind].push(...atRest[kind]);
    busy[kind].push(...underLoad[kind]);
  }
  rates.push(rate);
}
const what = {
  noop: "`noop`, by the state",
  shell: "`shell`, by the state",
  seen: "`shell`, accepted by the state, started by the task's own clock",
  whole: "`shell`, from sending the request by the client's clock to the task's own",
} as const;
const kinds = ["noop", "shell", "seen", "whole"] as const;
conclude("dispatch", conditions, {
  rows: [
    ...kinds.map((kind) => row(`at rest: ${what[kind]}`, idle[kind], kind === "whole" ? {} : { p50: 5, p99: 50 })),
    ...kinds.map((kind) => row(`under load: ${what[kind]}`, busy[kind], kind === "whole" ? {} : { p99: 200 })),
    // Less than the rate that was asked for would be another question, answered more easily.
    atLeast(
      "the load: tasks that ended",
      perSecond * 0.98,
      " a second",
      rates.map((rate) => rate.endedPerSecond),
    ),
    shown(
      "the load: tasks that were accepted",
      " a second",
      rates.map((rate) => rate.acceptedPerSecond),
    ),
  ],
  figures: { idle, busy, rates },
});

function row(what: string, values: readonly number[], wanted: Partial<Record<"p50" | "p99", number>>): Row {
  const found = distribution(values);
  const { p50, p90, p99, max, count } = found;
  const demands = Object.entries(wanted) as ["p50" | "p99", number][];
  return {
    what,
    wanted: demands.map(([name, ms]) => `${name} under ${ms} ms`).join(", "),
    measured: `p50 ${p50} ms, p90 ${p90} ms, p99 ${p99} ms, longest ${max} ms (${count} jobs)`,
    met: demands.length === 0 ? undefined : demands.every(([name, ms]) => found[name] < ms),
  };
}
