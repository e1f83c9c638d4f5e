import { expect, test } from "bun:test";
import { Mesh, patienceMs, until } from "../../scripts/mesh.ts";
import { refuted } from "../../scripts/soak-history.ts";
import { Load } from "../../scripts/soak-load.ts";
import { rollingRestart } from "../../scripts/soak-nemesis.ts";
import { lostOf, notSucceeded, statesOf } from "../../scripts/soak-verdict.ts";
import { soak } from "../../scripts/soak.ts";

const seed = Number(process.env["SKEIN_TEST_SEED"] ?? 1 + Math.floor(Math.random() * 2 ** 31));

test("a rolling restart of three nodes fails no request of clients that know all three, and loses nothing", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  await mesh.leader({ voters: 3 });
  const load = new Load(mesh, { writers: 4, readers: 2, pauseMs: 5 });
  const clients = [0, 1, 2, 3, 4, 5];
  let down = 0;
  // While a node is down every client must be answered: one that hangs fails nothing, and is not served either.
  await rollingRestart(mesh, async (node) => {
    down++;
    const sinceMs = performance.now();
    const served = (client: number): boolean =>
      load.history.some((one) => one.client === client && one.beganMs >= sinceMs && one.value !== undefined);
    await until(
      () => Promise.resolve(clients.every(served) ? true : undefined),
      patienceMs,
      () =>
        `clients ${clients.filter((client) => !served(client)).join()} have no answer, node ${node.ready.node} down`,
    );
  });
  expect(down).toBe(3);
  await load.stop();
  expect(load.failures).toEqual([]);
  expect(load.history.filter((one) => one.value === undefined)).toEqual([]);
  expect(load.acknowledged.length).toBeGreaterThan(clients.length);
  expect(refuted(load.history)).toEqual([]);
  expect(await lostOf(mesh, load.acknowledged)).toEqual([]);
  expect(await notSucceeded(mesh, load.acknowledged)).toEqual([]);
  expect(await statesOf(mesh)).toHaveLength(1);
}, 600_000);

test(`histories stay linearizable and nothing acknowledged is lost while nodes die, freeze and restart (SKEIN_TEST_SEED=${seed})`, async () => {
  console.log(`soak with SKEIN_TEST_SEED=${seed}`);
  const mesh = await Mesh.start({ nodes: 3 });
  try {
    const result = await soak(
      { mesh, disks: [], network: undefined },
      { forMs: 12_000, seed, faults: ["kill", "kill-all", "freeze", "stop", "rolling"] },
    );
    if (result.problems.length > 0) console.log([`seed ${seed}`, ...result.story].join("\n"));
    expect(result.problems).toEqual([]);
    expect(result.submits).toBeGreaterThan(0);
    expect(result.reads).toBeGreaterThan(0);
  } finally {
    await mesh.stop();
  }
}, 600_000);
