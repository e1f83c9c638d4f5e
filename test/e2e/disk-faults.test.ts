import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type FaultyDisk, faultyDiskLibrary, files } from "../../scripts/faulty-disk.ts";
import { type Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { finished, submit } from "../../scripts/mesh-jobs.ts";
import { meshOnFaultyDisks } from "../../scripts/power-loss.ts";
import { type Operation, refuted } from "../../scripts/soak-history.ts";
import { Load } from "../../scripts/soak-load.ts";
import { lostOf, statesOf } from "../../scripts/soak-verdict.ts";
import { untilTrue } from "./harness.ts";

/** One node's disk hangs, is full, or fails a sync, under load, with the real binary. */

const disk = await faultyDiskLibrary();
if ("missing" in disk) console.log(`skipped: ${disk.missing}`);

interface Rig {
  readonly mesh: Mesh;
  readonly load: Load;
  readonly diskOf: (node: MeshNode) => FaultyDisk;
  readonly pick: (what: "leader" | "follower") => Promise<MeshNode>;
}

/**
 * Three nodes for the tests of one group, one after the other. What it gives runs `body` on them under load; afterwards nothing acknowledged may be
 * lost, no answer wrong, no state different, and all are well again.
 */
function onThreeNodes(): (body: (rig: Rig) => Promise<void>) => Promise<void> {
  let made: Awaited<ReturnType<typeof meshOnFaultyDisks>> | undefined;
  const history: Operation[] = [];
  beforeAll(async () => {
    if ("missing" in disk) return;
    made = await meshOnFaultyDisks(disk.library, 3);
    for (const one of made.disks) one.set("journal", 0);
  }, 600_000);
  afterAll(() => made?.mesh.stop(), 600_000);
  return (body) => runUnderLoad(made!, history, body);
}

/** `history`: every call on the mesh so far, and from here on. */
async function runUnderLoad(
  { mesh, disks }: Awaited<ReturnType<typeof meshOnFaultyDisks>>,
  history: Operation[],
  body: (rig: Rig) => Promise<void>,
): Promise<void> {
  await mesh.leader({ voters: 3 });
  const load = new Load(mesh, { writers: 4, readers: 2, pauseMs: 2, attemptMs: 4000 });
  try {
    await body({
      mesh,
      load,
      diskOf: (node) => disks[mesh.nodes.indexOf(node)]!,
      pick: async (what) => {
        const leader = await mesh.leader();
        return what === "leader" ? leader : mesh.nodes.find((node) => node !== leader)!;
      },
    });
    for (const one of disks) one.heal();
    await mesh.leader({ voters: 3 });
    await load.stop();
    expect(load.acknowledged.length).toBeGreaterThan(0);
    history.push(...load.history);
    for (const node of mesh.nodes) {
      const beganMs = performance.now();
      const value = await submit(node, { driver: "noop" });
      history.push({ kind: "submit", client: -1, beganMs, endedMs: performance.now(), value });
    }
    expect(refuted(history)).toEqual([]);
    const acknowledged = history.flatMap(({ kind, value }) =>
      kind === "submit" && value !== undefined ? [value] : [],
    );
    expect(await lostOf(mesh, acknowledged)).toEqual([]);
    expect(await statesOf(mesh)).toHaveLength(1);
  } catch (error) {
    console.log(mesh.nodes.flatMap((node) => [`--- node ${node.ready.node}`, node.log]).join("\n"));
    throw error;
  } finally {
    for (const one of disks) one.heal();
    await load.stop(0);
  }
}

interface Cluster {
  readonly leader: number | null;
  readonly term: number;
}

async function clusterAt(node: MeshNode): Promise<Cluster> {
  return (await node.api("GET", "/v1/cluster")).body as Cluster;
}

/** Waits until a node other than `old` leads in the eyes of one that is well. */
async function ledByAnother(mesh: Mesh, old: MeshNode): Promise<Cluster> {
  const other = mesh.nodes.find((node) => node !== old && node.running)!;
  return await until(
    async () => {
      const cluster = await clusterAt(other).catch(() => undefined);
      return cluster !== undefined && cluster.leader !== null && cluster.leader !== old.ready.node
        ? cluster
        : undefined;
    },
    patienceMs,
    () => `node ${old.ready.node} is not replaced`,
  );
}

async function isReady(node: MeshNode): Promise<boolean> {
  return (await fetch(`${node.ready.api}/readyz`)).ok;
}

describe.skipIf("missing" in disk)("a disk that hangs", () => {
  const underLoad = onThreeNodes();
  test.each(["log", "all"] as const)(
    "of the leader (%s): its heartbeats stop, another one leads, writes go on, and it comes back",
    (which) =>
      underLoad(async ({ mesh, load, diskOf, pick }) => {
        const leader = await pick("leader");
        await load.nextAcknowledgedMs(performance.now());
        const hung = diskOf(leader).get("stalled");
        const began = performance.now();
        diskOf(leader).set("stall", files[which]);
        await ledByAnother(mesh, leader);
        const replacedMs = performance.now() - began;
        await load.nextAcknowledgedMs(performance.now());
        console.log(`replaced after ${Math.round(replacedMs)} ms, the disk still hanging`);
        expect(diskOf(leader).get("stalled")).toBeGreaterThan(hung);
        // It hears that another one leads, although its disk cannot take the term.
        await until(
          async () => ((await clusterAt(leader)).leader === leader.ready.node ? undefined : true),
          patienceMs,
          () => "it believes that it leads still",
        );
        diskOf(leader).heal();
        const healedMs = performance.now();
        await until(
          async () => ((await isReady(leader)) ? true : undefined),
          patienceMs,
          () => "it does not come back",
        );
        await load.nextAcknowledgedMs(healedMs);
      }),
  );

  test("of a follower: writes go on", () =>
    underLoad(async ({ load, diskOf, pick }) => {
      const follower = await pick("follower");
      diskOf(follower).set("stall", files.all);
      for (let write = 0; write < 5; write++) await load.nextAcknowledgedMs(performance.now());
      diskOf(follower).heal();
    }));
});

describe.skipIf("missing" in disk)("a full disk", () => {
  const underLoad = onThreeNodes();
  test.each([
    ["leader", "log"],
    ["leader", "state"],
    ["leader", "all"],
    ["follower", "log"],
    ["follower", "state"],
    ["follower", "all"],
  ] as const)("of the %s (%s): it does not lead, refuses at once, and recovers when there is room", (who, which) =>
    underLoad(async ({ mesh, load, diskOf, pick }) => {
      const victim = await pick(who);
      const other = mesh.nodes.find((node) => node !== victim)!;
      diskOf(victim).set("full", files[which]);
      if (who === "leader") await ledByAnother(mesh, victim);
      await until(
        async () => ((await isReady(victim)) ? undefined : true),
        patienceMs,
        () => "it does not notice",
      );
      const refused = await victim.api("POST", "/v1/jobs", { driver: "noop" });
      expect(refused).toMatchObject({ status: 503, body: { error: { code: "unavailable", retry: "safe" } } });
      expect(JSON.stringify(refused.body)).toContain("full");
      expect((await victim.api("GET", "/v1/jobs?limit=1")).status).toBe(503);
      for (let write = 0; write < 5; write++) await load.nextAcknowledgedMs(performance.now());
      expect((await clusterAt(other)).leader).not.toBe(victim.ready.node);
      diskOf(victim).heal();
      await until(
        async () => ((await isReady(victim)) ? true : undefined),
        patienceMs,
        () => "it does not recover",
      );
    }),
  );
});

describe.skipIf("missing" in disk)("a guard whose outbox finds no room", () => {
  test("its tasks run and their results arrive: what the disk cannot keep is kept in memory until the log has it", async () => {
    const { mesh, disks } = await meshOnFaultyDisks("missing" in disk ? "" : disk.library, 1);
    await using _ = mesh;
    const node = mesh.nodes[0]!;
    disks[0]!.set("journal", 0);
    const runs = async (): Promise<void> => {
      const job = await submit(node, { run: "echo here", count: 3 });
      expect((await finished(mesh, job)).state).toBe("succeeded");
    };
    await runs(); // its guard is there
    disks[0]!.set("full", files.outbox);
    await runs();
    expect(disks[0]!.get("refused")).toBeGreaterThan(0);
    disks[0]!.heal();
    await runs();
    for (const one of disks) one.close();
  });
});

describe.skipIf("missing" in disk)("a sync that fails", () => {
  const underLoad = onThreeNodes();
  test.each([
    ["leader", "log"],
    ["follower", "log"],
    ["follower", "state"],
  ] as const)(
    "of the %s (%s): its process ends with exit code 7, the others go on, and a restart is well",
    (who, which) =>
      underLoad(async ({ load, diskOf, pick }) => {
        const victim = await pick(who);
        await load.nextAcknowledgedMs(performance.now());
        const told = (): number => victim.log.match(/disk I\/O error|SQLITE_IOERR/g)?.length ?? 0;
        const before = told();
        diskOf(victim).failSyncs(files[which], which === "log" ? 3 : 1);
        expect(await victim.exited).toBe(7);
        await untilTrue(
          () => told() > before,
          () => victim.log,
        );
        await load.nextAcknowledgedMs(performance.now());
        diskOf(victim).heal();
        await victim.start();
      }),
  );
});
