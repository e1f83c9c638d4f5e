/** Very many schedules of which each second as many are due, by taking turns. */
import { distribution, type Distribution } from "../../scripts/figures.ts";
import type { Mesh, MeshNode } from "../../scripts/mesh.ts";
import { abreast } from "../../src/lib/abreast.ts";
import type { FireView } from "../../src/state/answers.ts";
import { jitterOf } from "../../src/state/schedules.ts";
import { pause } from "./gauges.ts";

/** Schedules of one interval, over which their jitter spreads them. */
export interface Turns {
  readonly schedules: number;
  readonly everyMs: number;
}

/** An instant that must have been fired once: of which schedule, and when its jitter has passed. */
interface Turn {
  readonly name: string;
  readonly at: number;
  readonly dueAt: number;
}

const perRequest = 1_000;
const requestsAtOnce = 4;
const readsAtOnce = 8;
const nameOf = (number: number): string => `turn-${number}`;

/** Sets them; gives how many a second. */
export async function setTurns(mesh: Mesh, { schedules, everyMs }: Turns): Promise<number> {
  const began = performance.now();
  const every = `${everyMs}ms`;
  const firsts = Array.from({ length: Math.ceil(schedules / perRequest) }, (_, at) => at * perRequest);
  await abreast(firsts, requestsAtOnce, async (first) => {
    const some = Array.from({ length: Math.min(perRequest, schedules - first) }, (_, at) => ({
      name: nameOf(first + at),
      every,
      jitter: every,
      overlap: "allow",
      job: { driver: "noop", ttl: "10m" },
    }));
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
  const due = dueBetween(turns, from, to);
  await abreast(due.entries(), readsAtOnce, async ([place, { name, at, dueAt }]) => {
    const { body } = await mesh.nodes[place % mesh.nodes.length]!.api("GET", `/v1/schedules/${name}/fires?limit=1000`);
    const fires = (body as { fires: readonly FireView[] }).fires.filter(
      (one) => Date.parse(one.at) === at && one.job !== undefined,
    );
    const firedAt = Date.parse(fires[0]?.fired_at ?? "");
    if (fires.length !== 1 || firedAt < dueAt) wrong.push(`${name} at ${at}: ${JSON.stringify(fires)}`);
    lags.push(firedAt - dueAt);
  });
  if (wrong.length > 0) throw new Error(`${wrong.length} of ${due.length} did not fire once:\n${wrong.join("\n")}`);
  return distribution(lags);
}

function dueBetween({ schedules, everyMs }: Turns, from: number, to: number): Turn[] {
  return Array.from({ length: schedules }, (_, number) => nameOf(number)).flatMap((name) => {
    const jitter = jitterOf(name, everyMs);
    const found: Turn[] = [];
    for (let at = Math.ceil((from - jitter) / everyMs) * everyMs; at + jitter <= to; at += everyMs)
      found.push({ name, at, dueAt: at + jitter });
    return found;
  });
}
