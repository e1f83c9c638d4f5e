/** Very many schedules that take turns: each is due once a day, at a second of its own and few others. */
import { distribution, type Distribution } from "../../scripts/figures.ts";
import type { Mesh, MeshNode } from "../../scripts/mesh.ts";
import { abreast } from "../../src/lib/abreast.ts";
import type { FireView } from "../../src/state/answers.ts";
import { pause } from "./gauges.ts";

/** Daily schedules, of which so many are due each second from `begin` on (epoch ms, a whole second), until all have been. */
export interface Turns {
  readonly schedules: number;
  readonly perSecond: number;
  readonly begin: number;
}

const perRequest = 1_000;
const requestsAtOnce = 4;
const readsAtOnce = 8;
const nameOf = (number: number): string => `turn-${number}`;
const dueOf = (number: number, { begin, perSecond }: Turns): number => begin + Math.floor(number / perSecond) * 1_000;

/** Sets them, the first ones first; gives how many a second. */
export async function setTurns(mesh: Mesh, turns: Turns): Promise<number> {
  const { schedules } = turns;
  const began = performance.now();
  const firsts = Array.from({ length: Math.ceil(schedules / perRequest) }, (_, at) => at * perRequest);
  await abreast(firsts, requestsAtOnce, async (first) => {
    const some = Array.from({ length: Math.min(perRequest, schedules - first) }, (_, at) => {
      const due = new Date(dueOf(first + at, turns));
      return {
        name: nameOf(first + at),
        cron: `${due.getUTCSeconds()} ${due.getUTCMinutes()} ${due.getUTCHours()} * * *`,
        job: { driver: "noop", ttl: "10m" },
      };
    });
    await accepted(mesh.nodes[(first / perRequest) % mesh.nodes.length]!, some);
  });
  return schedules / ((performance.now() - began) / 1_000);
}

/** Asked again while the mesh says that it is too much at once. */
async function accepted(node: MeshNode, schedules: readonly object[]): Promise<void> {
  for (let tries = 1; ; tries++) {
    const answer = await node.api("POST", "/v1/schedules", { schedules });
    if (answer.status === 201) return;
    if (![429, 503].includes(answer.status) || tries === 30)
      throw new Error(`schedules were not taken: ${answer.status} ${JSON.stringify(answer.body)}`);
    await pause(1_000 * Number(answer.headers.get("retry-after") ?? 1));
  }
}

/** How late those were that came due between two moments. Throws when one of them did not fire once, or before its time. */
export async function lagsOfTurns(mesh: Mesh, turns: Turns, from: number, to: number): Promise<Distribution> {
  const lags: number[] = [];
  const wrong: string[] = [];
  const numbers = Array.from({ length: turns.schedules }, (_, number) => number).filter(
    (number) => dueOf(number, turns) >= from && dueOf(number, turns) <= to,
  );
  await abreast(numbers, readsAtOnce, async (number) => {
    const due = dueOf(number, turns);
    const node = mesh.nodes[number % mesh.nodes.length]!;
    const { body } = await node.api("GET", `/v1/schedules/${nameOf(number)}/fires`);
    const fires = (body as { fires: readonly FireView[] }).fires.filter(({ at }) => Date.parse(at) === due);
    const lag = Date.parse(fires[0]?.fired_at ?? "") - due;
    if (fires.length !== 1 || fires[0]!.job === undefined || lag < 0)
      wrong.push(`${nameOf(number)} at ${new Date(due).toISOString()}: ${JSON.stringify(fires)}`);
    lags.push(lag);
  });
  if (wrong.length > 0) {
    const some = wrong.slice(0, 10).join("\n");
    throw new Error(`${wrong.length} of ${numbers.length} did not fire once:\n${some}`);
  }
  return distribution(lags);
}
