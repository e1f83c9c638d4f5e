/**
 * How late are 4,000 schedules every 5 s on three nodes on loopback, at one instant and spread, beside as many of croner's in one process?
 *
 * `npm run bench -- cron-fires [--rounds=3] [--schedules=4000] [--every=5] [--seconds=30] [--write]` (seconds)
 */
import { Mesh } from "../scripts/mesh.ts";
import { measureInTurns, option, printMachine } from "./harness.ts";
import { cronFigures } from "./measure/cron.ts";
import { conclude } from "./page/conclude.ts";
import { shown, under } from "./page/rows.ts";
import { cronerFires, cronerVersion } from "./peers/croner.ts";

const work = {
  schedules: option("schedules", 4_000),
  everySeconds: option("every", 5),
  seconds: option("seconds", 30),
};
const atOnce = "all at one instant";
const spreadOut = "spread over the interval";
const peer = "croner, all at one instant";

const conditions = await printMachine();
await using mesh = await Mesh.start({ nodes: 3 });
await mesh.leader({ voters: 3 });
const figures = await measureInTurns(
  [
    { name: atOnce, measure: () => cronFigures(mesh, work) },
    { name: spreadOut, measure: () => cronFigures(mesh, { ...work, spread: true }) },
    { name: peer, measure: () => cronerFires(work) },
  ],
  option("rounds", 3),
);
const of = (name: string, figure: string): readonly number[] => figures[name]![figure]!;
conclude("cron-fires", conditions, {
  rows: [
    ...[spreadOut, atOnce].flatMap((name) => [
      under(`${name}: late, p50`, 100, " ms", of(name, "p50Ms")),
      under(`${name}: late, p99`, 1_000, " ms", of(name, "p99Ms")),
      shown(`${name}: late, most`, " ms", of(name, "maxMs")),
      shown(`${name}: started, p50`, " ms", of(name, "startedP50Ms")),
      shown(`${name}: started, p99`, " ms", of(name, "startedP99Ms")),
      shown(`${name}: fires looked up, none doubled, missed or early`, "", of(name, "fires")),
    ]),
    shown(`${peer}: p50`, " ms", of(peer, "p50")),
    shown(`${peer}: p99`, " ms", of(peer, "p99")),
    shown("schedules set", "/s", [...of(atOnce, "setPerSecond"), ...of(spreadOut, "setPerSecond")]),
  ],
  figures,
  peers: cronerVersion(),
});
