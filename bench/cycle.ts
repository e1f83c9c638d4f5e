/**
 * How many no-op tasks a second go the whole way on a three-node mesh on loopback: submitted, assigned, run, reported, finished? Single jobs in batches,
 * no two of one spec, against one array, once of tasks that take no time and leave nothing, which a node runs in a
 * loop, once of tasks that go the ordinary way, since they have a timeout; beside them, where Redis is installed, BullMQ's processing of jobs that were added before. Says how much each
 * node ran.
 *
 * `npm run bench -- cycle [--rounds=5] [--jobs=40000] [--array=100000] [--ordinary=1000000] [--batch=200] [--nodes=3] [--peer-jobs=20000] [--write]`
 */
import { Mesh, type MeshNode, until } from "../scripts/mesh.ts";
import { none } from "../scripts/reliability-judge.ts";
import { benchAnswer, type Contender, measureInTurns, option, printMachine, spread } from "./harness.ts";
import { budgetOf, budgetRows } from "./measure/budget.ts";
import { gauge, pause } from "./measure/gauges.ts";
import { conclude } from "./page/conclude.ts";
import { atLeast, shown, times, unmeasured } from "./page/rows.ts";
import { bullmqProcesses, bullmqVersion } from "./peers/bullmq.ts";

const nodes = option("nodes", 3);
const jobs = option("jobs", 40_000);
const tasks = option("array", 100_000);
const batch = option("batch", 200);
const peerJobs = option("peer-jobs", 20_000);
const workers = 100;
const singles = `single jobs in batches of ${batch}`;
const array = `an array of ${tasks}`;
const ordinaryTasks = option("ordinary", 1_000_000);
const ordinary = `an array of ${ordinaryTasks} with a timeout`;
const ours = [singles, array, ordinary];
const syncs = ["everysec", "always"] as const;
const queue = (fsync: string): string => `BullMQ, ${workers} at once, fsync ${fsync}`;

const conditions = await printMachine();
const peer = bullmqVersion();
console.log(`peer      ${peer ?? "none: Redis is not installed here"}`);
await using mesh = await Mesh.start({ nodes });
await mesh.leader({ voters: mesh.nodes.length });
const peers: readonly Contender[] = syncs.map((fsync) => ({
  name: queue(fsync),
  measure: () => bullmqProcesses(fsync, { jobs: peerJobs, atOnce: workers }),
}));
const figures = await measureInTurns(
  [
    { name: singles, measure: () => cycle(["--jobs", `${jobs}`, "--batch", `${batch}`]) },
    { name: array, measure: () => cycle(["--jobs", `${tasks}`, "--array"]) },
    { name: ordinary, measure: () => cycle(["--jobs", `${ordinaryTasks}`, "--array", "--task-timeout", "1h"]) },
    ...(peer === undefined ? [] : peers),
  ],
  option("rounds", 5),
);
const of = (name: string, figure: string): readonly number[] => figures[name]![figure]!;
const beside = "single jobs, to BullMQ's processing";
conclude("cycle", conditions, {
  rows: [
    atLeast(singles, 20_000, " tasks/s", of(singles, "tasksPerSecond")),
    atLeast("arrays", 100_000, " tasks/s", of(array, "tasksPerSecond")),
    atLeast("arrays whose tasks have a timeout", 100_000, " tasks/s", of(ordinary, "tasksPerSecond")),
    ...ours.map((name) => atLeast(`${name}: run by the node with the fewest`, 20, " %", of(name, "leastSharePercent"))),
    ...ours.map((name) => ({
      what: `${name}: run by each node`,
      wanted: "",
      measured: byNode(name),
      met: undefined,
    })),
    ...ours.map((name) =>
      none(`${name}: tasks looked at that lack a start of their own`, sum(of(name, "withoutOwnStart"))),
    ),
    ...ours.flatMap((name) => budgetRows(name, figures[name]!)),
    ...(peer === undefined
      ? [unmeasured(beside, "at least 3 times", "Redis is not installed here")]
      : syncs.flatMap((fsync) => {
          const theirs = of(queue(fsync), "tasksPerSecond");
          return [
            shown(queue(fsync), " jobs/s", theirs),
            times(`${beside}, fsync ${fsync}`, 3, of(singles, "tasksPerSecond"), theirs),
          ];
        })),
  ],
  figures,
  ...(peer === undefined ? {} : { peers: peer }),
});

interface Answer {
  readonly tasks: number;
  readonly tasks_per_second: number;
  readonly client_cpu_seconds: number;
  readonly submit_seconds: number;
  readonly share_by_node: Readonly<Record<string, number>>;
  readonly least_share: number;
  readonly looked_at: number;
  readonly without_own_start: number;
}

async function cycle(words: readonly string[]): Promise<Record<string, number>> {
  const node = await mesh.leader();
  const before = await gauge(node, "skein_jobs_submitted_total");
  const added = words.includes("--array") ? 1 : jobs;
  const { result: answer, budget } = await budgetOf(mesh, async (over) => {
    const answered = benchAnswer(mesh, "cycle", words).then((answer) => answer as unknown as Answer);
    // What it looks at when all has ended is not what the tasks cost.
    await Promise.race([answered, allEnded(node, before + added)]);
    over();
    const result = await answered;
    return { operations: result.tasks, result };
  });
  const shares = Object.entries(answer.share_by_node).map(
    ([node, count]) => [`node${node}Percent`, (100 * count) / answer.looked_at] as const,
  );
  return {
    tasksPerSecond: answer.tasks_per_second,
    submitSeconds: answer.submit_seconds,
    leastSharePercent: answer.least_share * 100,
    withoutOwnStart: answer.without_own_start,
    clientMicros: (answer.client_cpu_seconds * 1e6) / answer.tasks,
    ...Object.fromEntries(shares),
    ...budget,
  };
}

/** So many jobs were submitted altogether, and none of them is left. Asked rarely, since asking costs too. */
async function allEnded(node: MeshNode, submitted: number): Promise<void> {
  await until(
    async () => {
      await pause(100);
      const isThere = (await gauge(node, "skein_jobs_submitted_total")) >= submitted;
      return isThere && (await gauge(node, "skein_jobs_unfinished")) === 0 ? true : undefined;
    },
    600_000,
    () => `not all of ${submitted} jobs have ended`,
  );
}

/** "node 1: 33.4 (32.0 … 35.1) %, …" */
function byNode(name: string): string {
  const shares = Object.entries(figures[name]!).filter(([figure]) => /^node\d+Percent$/.test(figure));
  return shares.map(([figure, values]) => `node ${/\d+/.exec(figure)![0]}: ${spread(values)} %`).join(", ");
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
