/**
 * How many jobs a second does a three-node mesh on loopback accept, fsync on? Single jobs at 64 and 256 connections against batches of 200, in turns;
 * beside them, where they are installed, three etcd members under the same client, and BullMQ's `add` on one Redis that is not replicated, whose file is
 * synced each second, as is usual, or before it answers. The bound below all is bench/commit.ts.
 *
 * Twice: jobs that run at once, so that placing, running and ending them takes its part of the same cores, and jobs that wait for an instant, where
 * accepting is all that is done for them. The second is what a put of etcd and an add of BullMQ are to be compared with: those, too, are stored and
 * nothing more.
 *
 * Every measurement has a mesh, or a peer, of its own, and is preceded by `--warm` seconds of the same load: what runs for days is compared, and the
 * first seconds of a process go into compiling it, a fifth of its time on two cores. `--warm=1` shows a mesh as it has just begun.
 *
 * `npm run bench -- submit [--rounds=5] [--seconds=5] [--warm=15] [--connections=64,256] [--batch=200] [--nodes=3] [--beside=EXECUTABLE] [--write]`
 *
 * `--beside` is an older build, which stands beside the present one in every round with single jobs that run, under the present build's client.
 */
import { Mesh, runSkein } from "../scripts/mesh.ts";
import type { Row } from "../scripts/reliability-judge.ts";
import { type Contender, list, measureInTurns, option, printMachine, text } from "./harness.ts";
import { submitRate, waits } from "./measure/fill.ts";
import { budgetOf, budgetRows } from "./measure/budget.ts";
import { gauge, untilUnfinished } from "./measure/gauges.ts";
import { conclude } from "./page/conclude.ts";
import { atLeast, shown, times, unmeasured } from "./page/rows.ts";
import { bullmqAdds, bullmqVersion } from "./peers/bullmq.ts";
import { etcdPuts, etcdVersion } from "./peers/etcd.ts";

const seconds = option("seconds", 5);
const warm = option("warm", 15);
const connections = list("connections", [64, 256]);
const most = Math.max(...connections);
const batch = option("batch", 200);
const batchesAtOnce = 16;
const forms = { wait: { driver: "noop", ...waits.gated }, run: { driver: "noop" } } as const;
const formNames = ["wait", "run"] as const;
const syncs = ["everysec", "always"] as const;
const single = (form: string, count: number): string => `single jobs that ${form}, ${count} connections`;
const batches = (form: string): string => `batches of ${batch} that ${form}, ${batchesAtOnce} connections`;
const etcd = (count: number): string => `etcd puts of 200 bytes, ${count} connections`;
const adds = (fsync: string): string => `BullMQ's add, ${most} at once, fsync ${fsync}`;
const bulks = `BullMQ's addBulk of ${batch}, ${batchesAtOnce} at once, fsync everysec`;

const older = text("beside");
const olderName = `the older build: ${single("run", most)}`;

const conditions = await printMachine();
const etcdPeer = etcdVersion();
const queuePeer = bullmqVersion();
console.log(`peer      ${etcdPeer ?? "none: etcd is not installed here"}`);
console.log(`peer      ${queuePeer ?? "none: Redis is not installed here"}`);
const own: readonly Contender[] = formNames.flatMap((form) => [
  ...connections.map((count) => ({ name: single(form, count), measure: () => submit(form, 1, count) })),
  { name: batches(form), measure: () => submit(form, batch, batchesAtOnce) },
]);
const olders: readonly Contender[] =
  older === undefined ? [] : [{ name: olderName, measure: () => submit("run", 1, most, older) }];
const etcds: readonly Contender[] = connections.map((count) => ({
  name: etcd(count),
  measure: async () => {
    const { requestsPerSecond, p99Ms } = await etcdPuts(count, warm, seconds);
    return { jobsPerSecond: requestsPerSecond!, p99Ms: p99Ms! };
  },
}));
const queues: readonly Contender[] = [
  ...syncs.map((fsync) => ({ name: adds(fsync), measure: () => add(fsync, most, 1) })),
  { name: bulks, measure: () => add("everysec", batchesAtOnce, batch) },
];
const figures = await measureInTurns(
  [...own, ...olders, ...(etcdPeer === undefined ? [] : etcds), ...(queuePeer === undefined ? [] : queues)],
  option("rounds", 5),
  // Each warms what it measures.
  { warmUp: false },
);
const rate = (name: string): readonly number[] => figures[name]!["jobsPerSecond"]!;
const olderVersion =
  older === undefined ? undefined : (await runSkein(older, ["version"])).stdout.trim().split("\n")[0];
const peers = [etcdPeer, queuePeer, olderVersion && `the older build: ${olderVersion}`]
  .filter((peer) => peer !== undefined)
  .join("; ");
conclude("submit", conditions, {
  rows: [
    ...formNames.flatMap((form) => [
      ...connections.map((count) =>
        count === most
          ? atLeast(single(form, count), 12_000, "/s", rate(single(form, count)))
          : shown(single(form, count), "/s", rate(single(form, count))),
      ),
      atLeast(batches(form), 100_000, " jobs/s", rate(batches(form))),
    ]),
    ...formNames.flatMap((form) =>
      [single(form, most), batches(form)].flatMap((name) => budgetRows(name, figures[name]!)),
    ),
    ...(older === undefined ? [] : besideOlder()),
    ...(etcdPeer === undefined
      ? [unmeasured("single jobs, to etcd's puts", "at least 3 times", "etcd is not installed here")]
      : besideEtcd()),
    ...(queuePeer === undefined
      ? [unmeasured("single jobs, to BullMQ's add", "at least 1 times", "Redis is not installed here")]
      : besideQueue()),
  ],
  figures,
  ...(peers === "" ? {} : { peers }),
});

function besideOlder(): Row[] {
  const [ours, theirs] = [rate(single("run", most)), rate(olderName)];
  const ratio = times(`${single("run", most)}, to the older build`, 1, ours, theirs);
  return [shown(olderName, "/s", theirs), { ...ratio, wanted: "not lower" }];
}

function besideEtcd(): Row[] {
  return connections.flatMap((count) => [
    shown(etcd(count), "/s", rate(etcd(count))),
    ...formNames.map((form) => {
      const row = times(`${single(form, count)}, to etcd's puts`, 3, rate(single(form, count)), rate(etcd(count)));
      return count === most ? row : { ...row, wanted: "", met: undefined };
    }),
  ]);
}

function besideQueue(): Row[] {
  return [
    ...syncs.flatMap((fsync) => [
      shown(adds(fsync), "/s", rate(adds(fsync))),
      ...formNames.map((form) =>
        times(`${single(form, most)}, to BullMQ's add, fsync ${fsync}`, 1, rate(single(form, most)), rate(adds(fsync))),
      ),
    ]),
    shown(bulks, " jobs/s", rate(bulks)),
  ];
}

/** On a mesh of its own. What the load before has left is run first: it is not to be run in the measured time. */
async function submit(
  form: (typeof formNames)[number],
  perRequest: number,
  atOnce: number,
  executable?: string,
): Promise<Record<string, number>> {
  await using mesh = await Mesh.start({ nodes: option("nodes", 3), executable });
  const leader = await mesh.leader({ voters: mesh.nodes.length });
  const load = { connections: atOnce, batch: perRequest };
  // Batches bring in a second what takes five to run.
  const warmSeconds = perRequest === 1 ? warm : Math.ceil(warm / 5);
  await submitRate(mesh, forms[form], { ...load, seconds: warmSeconds });
  if (form === "run") await untilUnfinished(leader, 0);
  const { result, operations, budget } = await budgetOf(mesh, async () => {
    const before = await gauge(leader, "skein_jobs_submitted_total");
    const result = await submitRate(mesh, forms[form], { ...load, seconds });
    return { operations: (await gauge(leader, "skein_jobs_submitted_total")) - before, result };
  });
  const { jobsPerSecond, p99Ms, clientMs } = result;
  return { jobsPerSecond, p99Ms, clientMicros: (clientMs * 1000) / operations, ...budget };
}

async function add(fsync: (typeof syncs)[number], atOnce: number, perCall: number): Promise<Record<string, number>> {
  const load = { connections: atOnce, batch: perCall, warmSeconds: warm, seconds };
  const { jobsPerSecond, p99Ms } = await bullmqAdds(fsync, load);
  return { jobsPerSecond: jobsPerSecond!, p99Ms: p99Ms! };
}
