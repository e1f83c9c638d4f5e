/** The binary on disks that have room for its log and its state, and not for a copy of the state beside them. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { submit } from "../../scripts/mesh-jobs.ts";
import { noSmallDisks, SmallDisk } from "../../scripts/small-disk.ts";
import { Load } from "../../scripts/soak-load.ts";
import { lostOf, statesOf } from "../../scripts/soak-verdict.ts";
import type { NodeView } from "../../src/state/answers.ts";
import { temporaryDirectory } from "./harness.ts";

const missing = noSmallDisks();
if (missing !== undefined) console.log(`skipped: ${missing}`);

const mib = 1024 * 1024;
const diskBytes = 400 * mib;
/** Of a state with so much in it no second one fits into what is free then, beside what is left for log and state. */
const stateBytes = 40 * mib;
const freeBytes = 80 * mib;
const specBytes = 60_000;

async function gauge(node: MeshNode, name: string): Promise<number> {
  const page = (await node.api("GET", "/metrics")).body as string;
  return Number(new RegExp(`^${name} (\\d+)`, "m").exec(page)?.[1]);
}

async function clusterOf(node: MeshNode): Promise<{ readonly term: number; readonly leader: number | null }> {
  return (await node.api("GET", "/v1/cluster")).body as { term: number; leader: number | null };
}

async function viewOf(node: MeshNode): Promise<NodeView> {
  return (await node.api("GET", `/v1/nodes/${node.ready.node}`)).body as NodeView;
}

const lines = (node: MeshNode, pattern: RegExp): string[] => node.log.split("\n").filter((line) => pattern.test(line));

/** Copies of the state in its data directory. */
function copies({ data }: MeshNode): string[] {
  const directory = path.join(data, "snapshots");
  return existsSync(directory) ? readdirSync(directory).filter((name) => name.startsWith("made")) : [];
}

/** Jobs that nobody can run, until the state is as large as it is to be and the log no longer goes back to what was there before. */
async function enlarge([node, ...others]: readonly [MeshNode, ...MeshNode[]]): Promise<void> {
  const before = await gauge(node, "skein_raft_last_index");
  const count = Math.ceil(stateBytes / specBytes);
  const text = "x".repeat(specBytes);
  for (let done = 0; done < count; done += 8)
    await Promise.all(
      Array.from({ length: 8 }, (_, at) => submit(node, { run: `true # ${text} ${done + at}`, on: "there=never" })),
    );
  await until(
    async () => {
      await submit(node, { driver: "noop" });
      const oldest = await Promise.all([node, ...others].map((one) => gauge(one, "skein_raft_first_index")));
      return oldest.every((first) => first > before) ? true : undefined;
    },
    patienceMs,
    () => "the log is not compacted",
  );
}

test.skipIf(missing !== undefined)(
  "a copy of the state that would fill the disk is not begun: the leader leads on, says so once, refuses a backup, and gives the state when there is room",
  async () => {
    using scratch = temporaryDirectory();
    const disks: SmallDisk[] = [];
    const mesh = await Mesh.start({
      nodes: 3,
      env: { SKEIN_LOG_ENTRIES: "50" },
      place: (number, directory) => {
        if (number < 3) disks.push(new SmallDisk(directory, diskBytes));
        return {};
      },
    });
    try {
      await mesh.leader({ voters: 3 });
      const [first, second, third] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
      await third.stop();
      await until(
        async () => [first.ready.node, second.ready.node].includes((await clusterOf(first)).leader ?? 0) || undefined,
        patienceMs,
        () => "neither of the two leads",
      );
      await enlarge([first, second]);
      for (const disk of disks) {
        expect(disk.freeBytes).toBeGreaterThan(freeBytes);
        disk.fill(freeBytes);
      }
      const { term, leader: leads } = await clusterOf(first);
      const [leader, follower] = leads === first.ready.node ? [first, second] : [second, first];
      const load = new Load(mesh, { writers: 4, readers: 1, pauseMs: 5, attemptMs: 4000 });
      try {
        const started = third.start();
        await until(
          async () => ((await viewOf(leader)).snapshot_trouble === null ? undefined : true),
          patienceMs,
          () => leader.log,
        );
        await started;
        // Long enough for more than one attempt: the third node asks each second.
        for (let asked = 0; asked < 4;) {
          const beganMs = performance.now();
          await load.nextAcknowledgedMs(beganMs);
          await until(
            () => Promise.resolve(performance.now() - beganMs > 1000 || undefined),
            patienceMs,
            () => "",
          );
          expect([copies(leader), copies(follower)]).toEqual([[], []]);
          asked += 1;
        }
        const trouble = (await viewOf(leader)).snapshot_trouble;
        expect(trouble).toMatch(
          /no room for a copy of the state: the copy takes [34]\d.*MiB, .* are free in .*, and 64MiB are left/,
        );
        expect(await gauge(leader, "skein_snapshot_trouble")).toBe(1);
        for (const words of [
          ["cluster", "status"],
          ["nodes", "ls"],
          ["nodes", "show", String(leader.ready.node)],
        ]) {
          const said = await leader.skein(words);
          expect([said.code, said.stdout.replaceAll(/\s+/g, " ")]).toEqual([
            0,
            expect.stringContaining("no room for a copy of the state"),
          ]);
        }
        for (const node of [leader, follower]) {
          const file = path.join(scratch.path, "backup");
          const said = await node.skein(["backup", file, "--token", first.token]);
          expect([said.code, said.stderr]).toEqual([
            7,
            expect.stringMatching(/can make no backup: no room for a copy/),
          ]);
          expect(readdirSync(scratch.path)).toEqual([]);
          expect(copies(node)).toEqual([]);
        }
        expect(lines(leader, /no member can be given the state of this node/)).toHaveLength(1);
        // Nothing was refused for want of room, and nobody was deposed.
        expect(await clusterOf(leader)).toMatchObject({ term, leader: leader.ready.node });
        expect([...lines(leader, /is full/), ...lines(follower, /is full/)]).toEqual([]);
        for (const disk of disks) disk.empty();
        await until(
          async () =>
            (await gauge(third, "skein_raft_applied_index")) >=
              (await gauge(leader, "skein_raft_commit_index")) - 200 || undefined,
          patienceMs,
          () => third.log,
        );
        await until(
          async () => (await viewOf(leader)).snapshot_trouble === null || undefined,
          patienceMs,
          () => `it still says that there is no room: ${leader.log}`,
        );
        expect(await clusterOf(leader)).toMatchObject({ term, leader: leader.ready.node });
        const backup = await leader.skein(["backup", path.join(scratch.path, "backup"), "--token", first.token]);
        expect(backup.code).toBe(0);
        await load.stop();
        expect(await lostOf(mesh, load.acknowledged)).toEqual([]);
        expect(await statesOf(mesh)).toHaveLength(1);
      } finally {
        await load.stop(0);
      }
    } catch (error) {
      console.log(String(error));
      console.log(mesh.nodes.flatMap((node) => [`--- node ${node.ready.node}`, node.log]).join("\n"));
      throw error;
    } finally {
      await Promise.all(mesh.nodes.map((node) => node.stop()));
      for (const disk of disks) disk.close();
      await mesh.stop();
    }
  },
  600_000,
);
