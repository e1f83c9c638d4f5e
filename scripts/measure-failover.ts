/**
 * How long are writes held up when the leader dies, freezes, is cut off in silence, or its disk hangs or is full? Under load: from the moment to the first
 * acknowledgement of a write that was sent afterwards, through either of the other nodes. What clients saw all the time is judged at the end.
 */
import { type Distribution, distribution } from "./figures.ts";
import { files } from "./faulty-disk.ts";
import { type MeshNode, until } from "./mesh.ts";
import { refuted } from "./soak-history.ts";
import { Load } from "./soak-load.ts";
import { type Fault, signal, type World } from "./soak-nemesis.ts";
import { startRig } from "./soak-rig.ts";
import { lostOf, statesOf } from "./soak-verdict.ts";

/** What happens to the leader, and the fault whose means it takes. */
export const ways = {
  kill: "kill",
  freeze: "freeze",
  partition: "partition",
  hang: "stall",
  full: "full",
} as const satisfies Record<string, Fault>;
export type Way = keyof typeof ways;

export interface FailoverFigures {
  readonly rounds: number;
  readonly nextWriteMs: Distribution;
  /** Until the others follow another leader: not the same, because a leader whose disk hangs can still commit what the others store. */
  readonly replacedMs: Distribution;
  /** From the fault's end until the old leader can serve writes again. */
  readonly recoveredMs: Distribution;
  /** Rounds in which the old leader, once it was replaced, refused a write and said that nothing was done. Of a full disk, else 0. */
  readonly refused: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly problems: readonly string[];
}

/** Rounds of one way on a mesh of three. */
export async function measureFailover(way: Way, rounds: number, say: (what: string) => void): Promise<FailoverFigures> {
  await using rig = await startRig(3, [ways[way]], { ownLevel: 0 });
  const { mesh } = rig;
  await mesh.leader({ voters: 3, timeoutMs: 60_000 });
  const load = new Load(mesh, { writers: 4, readers: 1, pauseMs: 5, attemptMs: 2000 });
  const nextWrites: number[] = [];
  const replaced: number[] = [];
  const recovered: number[] = [];
  let refused = 0;
  for (let round = 1; round <= rounds; round++) {
    const leader = await settled(rig, load);
    const others = mesh.nodes.filter((node) => node !== leader);
    const over = new AbortController();
    const beganMs = performance.now();
    const heal = hurt(rig, way, leader);
    const probes = others.map((node) => load.probe(node, over.signal));
    const [firstMs, replacedMs] = await Promise.all([Promise.any(probes), ledByAnother(others, leader)]);
    nextWrites.push(firstMs - beganMs);
    replaced.push(replacedMs - beganMs);
    const told = [firstMs, replacedMs].map((ms) => `${(ms - beganMs).toFixed(1)} ms`);
    say(`${way} ${round} of ${rounds}: a write after ${told[0]}, replaced after ${told[1]}`);
    if (way === "full" && (await refusesWrites(leader))) refused += 1;
    const healedMs = performance.now();
    await heal();
    await ready(leader);
    recovered.push(performance.now() - healedMs);
    over.abort(new Error("the round is over"));
    await Promise.allSettled(probes);
  }
  await mesh.leader({ voters: 3, timeoutMs: 60_000 });
  await load.stop();
  const lost = await lostOf(mesh, load.acknowledged);
  const states = await statesOf(mesh);
  return {
    rounds,
    nextWriteMs: distribution(nextWrites),
    replacedMs: distribution(replaced),
    recoveredMs: distribution(recovered),
    refused,
    acknowledged: load.acknowledged.length,
    lost: lost.length,
    problems: [
      ...refuted(load.history),
      ...lost.slice(0, 5).map((id) => `job ${id} was acknowledged and is lost`),
      ...(states.length > 1 ? [`the states differ: ${JSON.stringify(states)}`] : []),
    ],
  };
}

/** The leader of a mesh that is in step and has not changed its mind meanwhile. */
async function settled(rig: World, load: Load): Promise<MeshNode> {
  for (;;) {
    const leader = await rig.mesh.leader({ voters: 3, timeoutMs: 60_000 });
    await inStep(rig, leader);
    await load.nextAcknowledgedMs(performance.now());
    if ((await rig.mesh.leader({ voters: 3, timeoutMs: 60_000 })) === leader) return leader;
  }
}

/** Does it at once; the answer undoes it. */
function hurt({ mesh, disks, network }: World, way: Way, leader: MeshNode): () => Promise<void> {
  const at = mesh.nodes.indexOf(leader);
  const others = mesh.nodes.map((_, index) => index + 1).filter((number) => number !== at + 1);
  switch (way) {
    case "kill":
      signal(leader, "SIGKILL");
      return async () => {
        await leader.exited;
        await leader.start();
      };
    case "freeze":
      signal(leader, "SIGSTOP");
      return () => Promise.resolve(signal(leader, "SIGCONT"));
    case "partition":
      network!.isolate(at + 1, others);
      return () => Promise.resolve(network!.heal());
    case "hang":
      disks[at]!.set("stall", files.all);
      return () => Promise.resolve(disks[at]!.heal());
    case "full":
      disks[at]!.set("full", files.all);
      return () => Promise.resolve(disks[at]!.heal());
    default:
      throw new Error(`there is no way ${String(way)}`);
  }
}

/** Nothing of it is done, so that its client may ask another node. */
async function refusesWrites(node: MeshNode): Promise<boolean> {
  const { status, body } = await node.api("POST", "/v1/jobs", { driver: "noop" });
  return status === 503 && (body as { error?: { retry?: string } }).error?.retry === "safe";
}

async function ready(node: MeshNode): Promise<void> {
  const ask = (): Promise<boolean> =>
    fetch(`${node.ready.api}/readyz`, { signal: AbortSignal.timeout(2000) }).then(
      (answer) => answer.ok,
      () => false,
    );
  await until(
    async () => (await ask()) || undefined,
    60_000,
    () => `node ${node.ready.node} does not recover`,
  );
}

/** When one of the others follows a new leader. */
async function ledByAnother(others: readonly MeshNode[], old: MeshNode): Promise<number> {
  const asked = others[0]!;
  for (const end = performance.now() + 60_000; performance.now() < end;) {
    const { leader } = (await asked.api("GET", "/v1/cluster")).body as { leader: number | null };
    if (leader !== null && leader !== old.ready.node) return performance.now();
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  throw new Error("the leader is not replaced");
}

/** Waits until every node follows one leader and has what it has: a round must not find the mesh with one leg. */
async function inStep({ mesh }: World, leader: MeshNode): Promise<void> {
  await until(
    async () => {
      const ready = await Promise.all(
        mesh.nodes.map((node) =>
          fetch(`${node.ready.api}/readyz`, { signal: AbortSignal.timeout(2000) }).then(
            (answer) => answer.ok,
            () => false,
          ),
        ),
      );
      if (!ready.every(Boolean)) return undefined;
      const { nodes } = (await leader.api("GET", "/v1/nodes")).body as { nodes: { id: number; lag?: number | null }[] };
      return nodes.every((node) => (node.lag ?? 0) < 200) ? true : undefined;
    },
    60_000,
    () => "the nodes do not come back into step",
  );
}
