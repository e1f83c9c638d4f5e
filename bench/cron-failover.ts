/**
 * What does the death of a leader add to the lateness of schedules, on three nodes on loopback?
 *
 * `npm run bench -- cron-failover [--rounds=5] [--schedules=1000] [--seconds=20] [--write]`
 */
import { Mesh, type MeshNode, until } from "../scripts/mesh.ts";
import { measureInTurns, median, option, printMachine, short } from "./harness.ts";
import { cronFigures } from "./measure/cron.ts";
import { inStep, pause } from "./measure/gauges.ts";
import { conclude } from "./page/conclude.ts";
import { shown } from "./page/rows.ts";

const work = { schedules: option("schedules", 1_000), everySeconds: 1, seconds: option("seconds", 20) };
const undisturbed = "undisturbed";
const killed = "the leader killed";
const beforeInstantMs = 20;

const conditions = await printMachine();
await using mesh = await Mesh.start({ nodes: 3 });
await mesh.leader({ voters: 3 });
const figures = await measureInTurns(
  [
    { name: undisturbed, measure: () => cronFigures(mesh, work) },
    { name: killed, measure: () => whileKilled() },
  ],
  option("rounds", 5),
);
const of = (name: string, figure: string): readonly number[] => figures[name]![figure]!;
const added = of(killed, "maxMs").map((ms, round) => ms - of(undisturbed, "maxMs")[round]!);
const election = of(killed, "nextWriteMs");
const most = median(election);
conclude("cron-failover", conditions, {
  rows: [
    shown(`${undisturbed}: late, p50`, " ms", of(undisturbed, "p50Ms")),
    shown(`${undisturbed}: late, most`, " ms", of(undisturbed, "maxMs")),
    shown(`${killed}: late, p50`, " ms", of(killed, "p50Ms")),
    shown(`${killed}: late, p99`, " ms", of(killed, "p99Ms")),
    shown(`${killed}: late, most`, " ms", of(killed, "maxMs")),
    shown("from the kill to the next write", " ms", election),
    {
      ...shown("what the failover adds to the latest fire", " ms", added),
      wanted: `at most the election, ${short(most)} ms`,
      met: median(added) <= most,
    },
    shown("fires looked up, none doubled, missed or early", "", of(killed, "fires")),
  ],
  figures,
});

/** The load has warmed up, and has half of its time to go. */
async function whileKilled(): Promise<Record<string, number>> {
  const measured = cronFigures(mesh, work);
  const { leader, nextWriteMs } = await Promise.race([
    killLeader(),
    measured.then(() => Promise.reject(new Error("too short"))),
  ]);
  const found = await measured;
  // Not before: what a node is late that has only just started is another question.
  await leader.start();
  await inStep(mesh);
  return { ...found, nextWriteMs };
}

async function killLeader(): Promise<{ readonly leader: MeshNode; readonly nextWriteMs: number }> {
  // It tells of nobody before all are set: by then the first fires are there.
  const asked = mesh.nodes[0]!;
  await until(
    async () => {
      const { body } = await asked.api("GET", "/v1/schedules?state=active&limit=1");
      const [one] = (body as { schedules: readonly { readonly runs: number }[] }).schedules;
      return one !== undefined && one.runs > 0 ? true : undefined;
    },
    60_000,
    () => "no schedule fires",
  );
  await pause((work.seconds * 1_000) / 2);
  const leader = await mesh.leader();
  // So that an instant falls into the time without a leader.
  await pause(1_000 - beforeInstantMs - (Date.now() % 1_000));
  const other = mesh.nodes.find((node) => node !== leader)!;
  const began = performance.now();
  const dying = leader.kill();
  await until(
    async () => {
      const answer = await other.api("POST", "/v1/jobs", { driver: "noop", ttl: "1s" }).catch(() => undefined);
      return answer?.status === 201 ? true : undefined;
    },
    60_000,
    () => "no write was taken after the kill",
  );
  const tookMs = performance.now() - began;
  await dying;
  return { leader, nextWriteMs: tookMs };
}
