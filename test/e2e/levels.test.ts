import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import path from "node:path";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { refuted } from "../../scripts/soak-history.ts";
import { Load } from "../../scripts/soak-load.ts";
import { levelVariable } from "../../scripts/soak-nemesis.ts";
import { lostOf, notSucceeded, statesOf } from "../../scripts/soak-verdict.ts";
import { hashLevel } from "../../src/state/levels.ts";
import { temporaryDirectory } from "./harness.ts";

/** Nodes of two levels in one cluster (S2), where the newer one compares states and the older one does not (S1). */

const older = { [levelVariable]: String(hashLevel - 1) };
const newer = { [levelVariable]: String(hashLevel) };

interface View {
  readonly index: number;
  readonly level: number;
  readonly level_understood: number;
  readonly undecided: unknown;
  readonly nodes: readonly { readonly id: number; readonly level: number; readonly quarantine: number | null }[];
}

async function viewOf(node: MeshNode): Promise<View> {
  return (await node.api("GET", "/v1/cluster")).body as View;
}

async function raised(node: MeshNode): Promise<{ readonly code: number | null; readonly stderr: string }> {
  return await node.skein(["cluster", "upgrade", "--level", String(hashLevel)]);
}

/** Restarts the node as that release; `between` may do to its data what that release would have done. */
async function restartedAs(
  mesh: Mesh,
  node: MeshNode,
  env: Record<string, string>,
  between = (): void => {},
): Promise<void> {
  await node.stop();
  between();
  await node.start([], env);
  await mesh.leader({ voters: 3 });
  const level = Number(env[levelVariable]);
  await until(
    async () =>
      (await viewOf(mesh.nodes[0]!)).nodes.some((one) => one.id === node.ready.node && one.level === level)
        ? true
        : undefined,
    patienceMs,
    () => `the cluster does not hear that node ${node.ready.node} understands level ${level}`,
  );
}

test("nodes of two levels live together, the level rises only when all understand it, and an older release is refused from then on", async () => {
  await using mesh = await Mesh.start({ nodes: 3, env: older });
  const [first, second, third] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
  await mesh.leader({ voters: 3 });
  const load = new Load(mesh, { writers: 3, readers: 2, pauseMs: 10 });
  const slower = ["cluster", "set", "heartbeat=100ms", "election-timeout=1s"];
  const tooEarly = await first.skein(slower);
  expect([tooEarly.code, tooEarly.stderr]).toEqual([6, expect.stringContaining(`needs level ${hashLevel}`)]);

  await restartedAs(mesh, second, newer);
  // Another release may have hashed the same log otherwise: what was before the new level must not be held against anybody.
  await restartedAs(mesh, third, newer, () => {
    const database = new Database(path.join(third.data, "state.db"));
    database.run("update meta set hash = '0123456789abcdef'");
    database.close();
  });
  const refused = await raised(first);
  expect([refused.code, refused.stderr]).toEqual([6, expect.stringContaining("is not understood by node-1")]);
  expect(await viewOf(second)).toMatchObject({
    level: hashLevel - 1,
    level_understood: hashLevel - 1,
    undecided: null,
  });
  // The way back is open until the level rises.
  await restartedAs(mesh, second, older);
  await restartedAs(mesh, second, newer);
  await restartedAs(mesh, first, newer);
  const risen = await raised(first);
  expect([risen.code, risen.stderr]).toEqual([0, expect.any(String)]);
  const set = await first.skein(slower);
  expect([set.code, set.stderr]).toEqual([0, expect.any(String)]);
  const { index } = await viewOf(first);
  await load.stop();
  const leader = await mesh.leader({ voters: 3 });
  await until(
    async () => {
      const metrics = (await leader.api("GET", "/metrics")).body as string;
      return Number(/^skein_state_compared_index (\d+)$/m.exec(metrics)?.[1] ?? 0) > index ? true : undefined;
    },
    patienceMs,
    () => `no states are compared:\n${leader.log}`,
  );
  expect(await viewOf(third)).toMatchObject({ undecided: null, nodes: [{}, {}, {}].map(() => ({ quarantine: null })) });
  for (const node of mesh.nodes) expect(node.log).not.toMatch(/states? .*differ/);
  expect(load.failures).toEqual([]);
  expect(refuted(load.history)).toEqual([]);
  expect(await lostOf(mesh, load.acknowledged)).toEqual([]);
  expect(await notSucceeded(mesh, load.acknowledged)).toEqual([]);

  using scratch = temporaryDirectory();
  const ports = ["--api", "127.0.0.1:0", "--peer", "127.0.0.1:0"];
  const joining = await first.skein(
    ["up", "--data", path.join(scratch.path, "b"), "--name", "b", ...ports, "--join", mesh.addresses()],
    { env: { ...older, SKEIN_JOIN_TOKEN: await mesh.joinToken() } },
  );
  expect([joining.code, joining.stderr]).toEqual([6, expect.stringContaining(`the cluster is at level ${hashLevel}`)]);
  expect(await statesOf(mesh)).toHaveLength(1);
  await first.stop();
  const back = await first.skein(["up", "--data", first.data, ...ports], { env: older });
  expect([back.code, back.stderr]).toEqual([7, expect.stringContaining(`belongs to a cluster at level ${hashLevel}`)]);
}, 600_000);
