import { describe, expect, test } from "bun:test";
import path from "node:path";
import { binary } from "../../scripts/build.ts";
import { faultyDiskLibrary } from "../../scripts/faulty-disk.ts";
import { Mesh, MeshNode } from "../../scripts/mesh.ts";
import { noNamespaces } from "../../scripts/namespaces.ts";
import { meshOnFaultyDisks } from "../../scripts/power-loss.ts";
import { run } from "../../scripts/steps.ts";
import type { ClusterView, FireView } from "../../src/state/answers.ts";
import { temporaryDirectory } from "./harness.ts";
import { becomes, history, secondsOf, set } from "./schedules.ts";

/** Schedules on the real binary: clocks that are wrong, a network that is cut, a state that comes from a backup. */

const everySecond = { every: "1s", overlap: "allow", job: { driver: "noop" } };
const names = Array.from({ length: 9 }, (_, place) => `s${place}`);

const disk = await faultyDiskLibrary();
if ("missing" in disk) console.log(`skipped: ${disk.missing}`);

describe.skipIf("missing" in disk)("clocks half a minute off", () => {
  test("a leader that is ahead and an owner that is behind fire nothing early, nothing twice, and leave nothing out", async () => {
    if ("missing" in disk) return;
    const { mesh, disks } = await meshOnFaultyDisks(disk.library, 3);
    await using _ = mesh;
    for (const one of disks) one.set("journal", 0);
    const leader = await mesh.leader({ voters: 3 });
    const [right, behind] = mesh.nodes.filter((node) => node !== leader) as [MeshNode, MeshNode];
    await set(right, ...names.map((name) => ({ name, ...everySecond })));
    /** By the clock that is right: nothing is there before its time. */
    const newestOf = async (name: string): Promise<number> => {
      const newest = Date.parse((await history(right, name)).at(-1)?.at ?? "1970-01-01T00:00:00Z");
      expect(newest).toBeLessThanOrEqual(Date.now());
      return newest;
    };
    const goOnTo = async (instant: number): Promise<void> => {
      for (const name of names)
        await becomes(`${name} has fired for some seconds`, async () => (await newestOf(name)) >= instant);
    };
    await goOnTo(Date.now() + 1_000);
    const diskOf = (node: MeshNode): (typeof disks)[number] => disks[mesh.nodes.indexOf(node)]!;
    diskOf(leader).set("clockOffMs", 30_000);
    diskOf(behind).set("clockOffMs", -30_000);
    await goOnTo(Date.now() + 12_000);
    const { nodes } = (await right.api("GET", "/v1/cluster")).body as ClusterView;
    const off = nodes.map(({ clock_ms: ms }) => Math.round((ms ?? 0) / 10_000)).filter((tens) => tens !== 0);
    expect(off.toSorted((one, other) => one - other)).toEqual([-3, 3]);
    for (const one of disks) one.set("clockOffMs", 0);
    await goOnTo(Date.now() + 4_000);
    for (const name of names)
      expect(new Set(secondsOf(await history(right, name)).values()), name).toEqual(new Set(["fired"]));
  });
});

test("leaders that die in the moment of an instant double and lose none", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  const leader = await mesh.leader({ voters: 3 });
  await set(leader, ...names.map((name) => ({ name, ...everySecond })));
  const newestOf = async (name: string): Promise<number> =>
    Date.parse((await history(await mesh.leader(), name).catch(() => [])).at(-1)?.at ?? "1970-01-01T00:00:00Z");
  // Before it, at it, and while its entry is under way.
  for (const afterMs of [-5, 0, 5, 15, 40]) {
    const dies = await mesh.leader({ voters: 3 });
    const goOn = Date.now();
    for (const name of names) await becomes(`${name} fires`, async () => (await newestOf(name)) >= goOn);
    const killAt = (Math.floor(Date.now() / 1_000) + 1) * 1_000 + afterMs;
    await new Promise((resolve) => setTimeout(resolve, killAt - Date.now()));
    await dies.kill();
    await dies.start();
  }
  const last = Date.now() + 1_000;
  for (const name of names) {
    await becomes(`${name} fires on`, async () => (await newestOf(name)) >= last);
    const seconds = secondsOf(await history(await mesh.leader(), name));
    expect(new Set(seconds.values()), name).toEqual(new Set(["fired"]));
  }
});

const noNetwork = noNamespaces();
if (noNetwork !== undefined) console.log(`skipped the partition: ${noNetwork}`);

describe.skipIf(noNetwork !== undefined)("a network that is cut", () => {
  test("a leader that is cut off fires nothing, the others go on, and nothing is twice or left out once it is back", async () => {
    const ended = await run(process.execPath, [path.join(import.meta.dir, "cron-partition.ts")], {
      timeoutMs: 180_000,
    });
    expect(ended.code, ended.output).toBe(0);
    const line = ended.output.split("\n").find((one) => one.startsWith('{"byMinority"'))!;
    const found = JSON.parse(line) as { byMinority: number; histories: Record<string, FireView[]> };
    expect(found.byMinority).toBe(0);
    for (const [name, lines] of Object.entries(found.histories))
      expect(new Set(secondsOf(lines).values()), name).toEqual(new Set(["fired"]));
  });
});

test("a mesh that is restored from a backup goes on behind what had been fired: nothing of that fires again", async () => {
  using scratch = temporaryDirectory();
  await using mesh = await Mesh.start({ nodes: 1 });
  const [node] = mesh.nodes as [MeshNode];
  await set(node, ...names.map((name) => ({ name, ...everySecond })));
  for (const name of names) await becomes(`${name} fires`, async () => (await history(node, name)).length > 2);
  const file = path.join(scratch.path, "backup");
  const before = new Map<string, FireView[]>();
  for (const name of names) before.set(name, await history(node, name));
  const made = await node.skein(["backup", file]);
  expect(made.code, made.stderr).toBe(0);
  await node.kill();

  const restored = new MeshNode({
    executable: binary,
    directory: path.join(mesh.directory, "restored"),
    flags: ["--api", "127.0.0.1:0", "--peer", "127.0.0.1:0"],
    env: { SKEIN_TEST_MESH: path.basename(mesh.directory) },
  });
  const said = await restored.skein(["restore", file, "--data", restored.data, "--name", "fresh"]);
  expect(said.code, said.stderr).toBe(0);
  await restored.start();
  mesh.nodes.push(restored);
  const backAt = Date.now();
  for (const name of names) {
    await becomes(
      `${name} goes on`,
      async () => Date.parse((await history(restored, name).catch(() => [])).at(-1)?.at ?? "") > backAt + 2_000,
    );
    const lines = await history(restored, name);
    const kept = before.get(name)!.map(({ at, job }) => [at, job]);
    expect(lines.slice(0, kept.length).map(({ at, job }) => [at, job])).toEqual(kept);
    secondsOf(lines);
  }
});
