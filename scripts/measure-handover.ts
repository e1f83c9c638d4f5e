/**
 * What do clients notice of a planned hand-over, a rolling restart and a rolling upgrade? Writers without pause through the client library with three
 * addresses: the longest time without an acknowledged write, and the calls that failed, of which there must be none.
 */
import { ownLevel } from "../src/state/levels.ts";
import { type Distribution, distribution } from "./figures.ts";
import type { Mesh } from "./mesh.ts";
import { refuted } from "./soak-history.ts";
import { Load } from "./soak-load.ts";
import { type Fault, rollingRestart, upgrade } from "./soak-nemesis.ts";
import { startRig } from "./soak-rig.ts";
import { lostOf, statesOf } from "./soak-verdict.ts";

export type Handover = "transfer" | "rolling" | "upgrade";

export interface HandoverFigures {
  readonly rounds: number;
  /** Around each hand-over, or during each restart of all nodes. */
  readonly longestGapMs: Distribution;
  /** Of as many stretches of the same length in which nothing happened: what this machine does by itself. */
  readonly gapAtRestMs: Distribution;
  readonly acknowledged: number;
  readonly failed: number;
  readonly lost: number;
  readonly problems: readonly string[];
}

/** Rounds of one kind on a mesh of three. A mesh can be upgraded once, so each upgrade has one of its own. */
export async function measureHandover(
  kind: Handover,
  rounds: number,
  say: (what: string) => void,
): Promise<HandoverFigures> {
  const meshes = kind === "upgrade" ? rounds : 1;
  const found: Measured[] = [];
  for (let at = 0; at < meshes; at++) {
    found.push(
      await measureMesh(kind, rounds / meshes, (round, what) => say(`${kind} ${at + round} of ${rounds}: ${what}`)),
    );
  }
  const sum = (count: (one: Measured) => number): number => found.reduce((total, one) => total + count(one), 0);
  return {
    rounds,
    longestGapMs: distribution(found.flatMap(({ gapsMs }) => gapsMs)),
    gapAtRestMs: distribution(found.flatMap(({ restingMs }) => restingMs)),
    acknowledged: sum(({ acknowledged }) => acknowledged),
    failed: sum(({ failed }) => failed),
    lost: sum(({ lost }) => lost),
    problems: found.flatMap(({ problems }) => problems),
  };
}

/** What was measured on one mesh. */
interface Measured extends Pick<HandoverFigures, "acknowledged" | "failed" | "lost" | "problems"> {
  readonly gapsMs: readonly number[];
  readonly restingMs: readonly number[];
}

async function measureMesh(
  kind: Handover,
  rounds: number,
  say: (round: number, what: string) => void,
): Promise<Measured> {
  const faults: Fault[] = kind === "upgrade" ? ["upgrade"] : [];
  await using rig = await startRig(3, faults, { ownLevel });
  const { mesh } = rig;
  await mesh.leader({ voters: 3, timeoutMs: 60_000 });
  const load = new Load(mesh, { writers: 8, readers: 2, pauseMs: 1 });
  await load.nextAcknowledgedMs(performance.now());
  await pause(500);
  const gaps: number[] = [];
  const resting: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const fromMs = performance.now();
    await handOver(kind, mesh);
    await load.nextAcknowledgedMs(performance.now());
    const tookMs = performance.now() - fromMs;
    gaps.push(load.longestGapMs(fromMs, fromMs + tookMs));
    await pause(200);
    const restMs = performance.now();
    await pause(Math.min(tookMs, 2000));
    resting.push(load.longestGapMs(restMs, performance.now()));
    say(round, `longest gap ${gaps.at(-1)!.toFixed(1)} ms, at rest ${resting.at(-1)!.toFixed(1)} ms`);
  }
  await load.stop();
  // A call that hangs is not told as a failure, but it is one to who made it.
  const unanswered = load.history.filter((one) => one.value === undefined).length;
  const lost = await lostOf(mesh, load.acknowledged);
  const states = await statesOf(mesh);
  return {
    gapsMs: gaps,
    restingMs: resting,
    acknowledged: load.acknowledged.length,
    failed: load.failures.length + unanswered,
    lost: lost.length,
    problems: [
      ...load.failures.slice(0, 5).map(({ client, error }) => `a call of client ${client} failed: ${error}`),
      ...(unanswered > 0 ? [`${unanswered} calls had no answer`] : []),
      ...refuted(load.history),
      ...lost.slice(0, 5).map((id) => `job ${id} was acknowledged and is lost`),
      ...(states.length > 1 ? [`the states differ: ${JSON.stringify(states)}`] : []),
    ],
  };
}

async function handOver(kind: Handover, mesh: Mesh): Promise<void> {
  if (kind === "rolling") return rollingRestart(mesh);
  if (kind === "upgrade") return upgrade(mesh);
  // The first node's token is an admin's; it hands the request on to the leader.
  const answer = await mesh.nodes[0]!.api("POST", "/v1/cluster/transfer", {});
  if (answer.status !== 200) throw new Error(`the leadership is not handed over: ${JSON.stringify(answer.body)}`);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
