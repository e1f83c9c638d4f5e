/**
 * How many processes that do nothing does a mesh run, beside what a bare loop in the same runtime spawns and reaps on this machine? Three nodes on
 * loopback, and one node alone; the loop runs as many at once as the three nodes do, in one process and in three.
 *
 * `npm run bench -- spawn [--rounds=5] [--tasks=3000] [--slots=4] [--write]`
 */
import { Mesh } from "../scripts/mesh.ts";
import { measureInTurns, option, printMachine } from "./harness.ts";
import { bareTasksPerSecond, shellTasksPerSecond } from "./measure/processes-per-second.ts";
import { conclude } from "./page/conclude.ts";
import { shown, times } from "./page/rows.ts";

const tasks = option("tasks", 3000);
const slots = option("slots", 4);
const flags = ["--slots", `${slots}`];
const loop = `a bare loop, ${3 * slots} at once`;
const loops = `three bare loops, ${slots} at once each`;
const mesh3 = "a mesh of three nodes";
const mesh1 = "a node alone";
const inPlace = `${mesh3}, without a directory for each task`;

const conditions = await printMachine();
await using three = await Mesh.start({ nodes: 3, flags });
await three.leader({ voters: 3 });
await using one = await Mesh.start({ nodes: 1, flags });
const rate = async (measured: Promise<number>): Promise<{ tasksPerSecond: number }> => ({
  tasksPerSecond: await measured,
});
const figures = await measureInTurns(
  [
    { name: loop, measure: () => rate(bareTasksPerSecond(tasks, 3 * slots)) },
    { name: mesh3, measure: () => rate(shellTasksPerSecond(three, tasks)) },
    { name: loops, measure: () => rate(bareTasksPerSecond(tasks, 3 * slots, 3)) },
    { name: inPlace, measure: () => rate(shellTasksPerSecond(three, tasks, { dir: "/" })) },
    { name: mesh1, measure: () => rate(shellTasksPerSecond(one, tasks)) },
  ],
  option("rounds", 5),
);
const of = (name: string): readonly number[] => figures[name]!["tasksPerSecond"]!;
conclude("spawn", conditions, {
  rows: [
    ...[loop, loops, mesh3, inPlace, mesh1].map((name) => shown(name, " a second", of(name))),
    times(`${mesh3}, to ${loop}`, 0.8, of(mesh3), of(loop)),
    times(`${mesh1}, to ${loop}`, 0.8, of(mesh1), of(loop)),
    { ...times(`${mesh3}, to ${loops}`, 0.8, of(mesh3), of(loops)), wanted: "", met: undefined },
  ],
  figures,
});
