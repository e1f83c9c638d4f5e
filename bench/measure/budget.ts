/** Where the processor time of one operation goes: by node, and on the leader by thread. What bounds a rate is what of it the cores can bear. */
import { availableParallelism } from "node:os";
import type { Mesh, MeshNode } from "../../scripts/mesh.ts";
import type { Row } from "../../scripts/reliability-judge.ts";
import { type Figures, median, short } from "../harness.ts";
import { type ThreadTimes, threadTimesOf } from "../processes.ts";

const threads = ["main", "writers", "compiler", "others"] as const;

/** Microseconds of processor time for each operation. */
export type Budget = Readonly<
  Record<`${"leader" | "follower"}${"Main" | "Writers" | "Compiler" | "Others"}Micros`, number>
> & {
  /** All nodes. */
  readonly nodesMicros: number;
};

/**
 * Does the work and gives what one of its operations cost, until `over` is called or the work is done. There is no budget when another node leads
 * afterwards: it would be that of neither.
 */
export async function budgetOf<Result>(
  mesh: Mesh,
  work: (over: () => void) => Promise<{ readonly operations: number; readonly result: Result }>,
): Promise<{ readonly result: Result; readonly operations: number; readonly budget: Budget | undefined }> {
  const leader = await mesh.leader();
  const times = (): ReadonlyMap<MeshNode, ThreadTimes> =>
    new Map(mesh.nodes.map((node) => [node, threadTimesOf(node)]));
  const before = times();
  let after: ReadonlyMap<MeshNode, ThreadTimes> | undefined;
  const { operations, result } = await work(() => {
    after ??= times();
  });
  after ??= times();
  if ((await mesh.leader()) !== leader) {
    console.log("another node was elected meanwhile: processor time is not told");
    return { result, operations, budget: undefined };
  }
  const spent = new Map([...after].map(([node, spentThen]) => [node, less(spentThen, before.get(node)!)]));
  const followers = mesh.nodes.filter((node) => node !== leader).map((node) => spent.get(node)!);
  const micros = (ms: number): number => (ms * 1000) / operations;
  const named = (who: string, times: ThreadTimes, nodes: number): [string, number][] =>
    threads.map((thread) => [
      `${who}${thread[0]!.toUpperCase()}${thread.slice(1)}Micros`,
      micros(times[thread] / Math.max(1, nodes)),
    ]);
  const parts = Object.fromEntries([
    ...named("leader", spent.get(leader)!, 1),
    ...named("follower", sum(followers), followers.length),
  ]);
  const nodesMicros = micros([...spent.values()].reduce((all, times) => all + totalOf(times), 0));
  return { result, operations, budget: { ...parts, nodesMicros } as Budget };
}

/** As lines of the page: the parts, and the rate at which all cores are full of it, the client's share included. */
export function budgetRows(name: string, figures: Figures[string]): Row[] {
  const { nodesMicros } = figures;
  if (nodesMicros === undefined) return [];
  const of = (figure: string): string => short(median(figures[figure]!));
  const parts = (who: string): string =>
    `main ${of(`${who}MainMicros`)}, writers ${of(`${who}WritersMicros`)}, compiler ${of(`${who}CompilerMicros`)}, others ${of(`${who}OthersMicros`)} µs`;
  const all = median(nodesMicros) + median(figures["clientMicros"]!);
  const cores = availableParallelism();
  return [
    { what: `${name}: processor time of each, leader`, wanted: "", measured: parts("leader"), met: undefined },
    { what: `${name}: processor time of each, a follower`, wanted: "", measured: parts("follower"), met: undefined },
    {
      what: `${name}: what bounds it`,
      wanted: "",
      measured: `all nodes ${of("nodesMicros")} µs, the client ${of("clientMicros")} µs: ${cores} cores are full at ${short((cores * 1e6) / all)}/s`,
      met: undefined,
    },
  ];
}

function less(after: ThreadTimes, before: ThreadTimes): ThreadTimes {
  return {
    main: after.main - before.main,
    writers: after.writers - before.writers,
    compiler: after.compiler - before.compiler,
    others: after.others - before.others,
  };
}

function sum(all: readonly ThreadTimes[]): ThreadTimes {
  const total = { main: 0, writers: 0, compiler: 0, others: 0 };
  for (const one of all) for (const thread of threads) total[thread] += one[thread];
  return total;
}

function totalOf(times: ThreadTimes): number {
  return threads.reduce((total, thread) => total + times[thread], 0);
}
