import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { allUp, finished, submit, tasksOf } from "../../scripts/mesh-jobs.ts";
import { metric, Running, temporaryDirectory } from "./harness.ts";

/** Bundles on real nodes: pushed by the binary, brought to where tasks run, and what becomes of them when something is killed or damaged. */

/** Small files and a large one, which differ from each other; gives how many bytes they are. */
function makeTree(root: string, files: number, fileBytes: number, largeBytes: number): number {
  mkdirSync(root, { recursive: true });
  const fill = (bytes: number, seed: number): Buffer =>
    Buffer.alloc(bytes, `${seed}:${Math.imul(seed + 1, 2_654_435_761)} `);
  for (let at = 0; at < files; at++) {
    const directory = path.join(root, `d${at % 20}`);
    mkdirSync(directory, { recursive: true });
    writeFileSync(path.join(directory, `f${at}`), fill(fileBytes, at));
  }
  writeFileSync(path.join(root, "large"), fill(largeBytes, files));
  writeFileSync(path.join(root, "check"), "find . -type f ! -name check | sort | xargs sha256sum | sha256sum\n");
  return files * fileBytes + largeBytes;
}

/** What `check` prints where the tree is right. */
function checksum(root: string): string {
  return Bun.spawnSync(["sh", "check"], { cwd: root }).stdout.toString().trim();
}

/** Files that a node has of bundles. */
function blobsOf(node: MeshNode): string[] {
  const root = path.join(node.data, "blobs");
  try {
    return readdirSync(root)
      .filter((name) => /^([0-9a-f]{2}|new)$/.test(name))
      .flatMap((name) => readdirSync(path.join(root, name)).map((rest) => path.join(root, name, rest)));
  } catch {
    return [];
  }
}

async function push(node: MeshNode, root: string, ...words: string[]): Promise<Record<string, number>> {
  const said = await node.skein(["bundle", "push", root, "--name", "site", ...words, "-o", "json"]);
  if (said.code !== 0) throw new Error(said.stderr);
  return JSON.parse(said.stdout) as Record<string, number>;
}

test("a tree that is pushed once is the working directory of tasks on every node, whatever is damaged", async () => {
  using scratch = temporaryDirectory();
  const root = path.join(scratch.path, "site");
  makeTree(root, 200, 3_000, 3 * 1024 * 1024);
  await using mesh = await Mesh.start({ nodes: 3 });
  const [a] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
  await mesh.leader({ voters: 3 });
  await allUp(mesh, a);
  expect(await push(a, root)).toMatchObject({ version: 1, sent_files: 202 });
  expect(await push(a, root)).toMatchObject({ version: 1, sent_files: 0 });

  const right = checksum(root);
  for (const bundle of ["site", { name: "site@1", read_only: true }]) {
    // Own trees may be written to, one that is shared may not (but for root).
    const run = typeof bundle === "string" ? "sh check && echo x > new && rm -r d1" : "sh check";
    const job = await submit(a, { run, bundle, each_node: true });
    expect((await finished(mesh, job)).state).toBe("succeeded");
    const tasks = await tasksOf(a, job);
    expect(tasks.map(({ tail }) => tail.trim())).toEqual([right, right, right]);
    expect(new Set(tasks.map(({ node }) => node)).size).toBe(3);
  }
  // The guard takes an attempt's own tree away after it.
  for (const node of mesh.nodes) expect(readdirSync(path.join(node.data, "trees", "own"))).toEqual([]);

  // On one node a third of all files has other bytes than it should: they are found, and had from the others.
  const victim = mesh.nodes[1]!;
  const harmed = blobsOf(victim).filter((_, at) => at % 3 === 0);
  for (const blob of harmed) writeFileSync(blob, Buffer.alloc(statSync(blob).size, "no"));
  const job = await submit(a, { run: "sh check", bundle: "site", each_node: true });
  expect((await finished(mesh, job)).state).toBe("succeeded");
  expect((await tasksOf(a, job)).map(({ tail }) => tail.trim())).toEqual([right, right, right]);
  expect(harmed.length).toBeGreaterThan(50);
  for (const blob of harmed) expect(readFileSync(blob).subarray(0, 4).toString()).not.toBe("nono");
}, 300_000);

test("a push that is killed in the middle has done nothing, and the next one sends the rest", async () => {
  using scratch = temporaryDirectory();
  const root = path.join(scratch.path, "site");
  makeTree(root, 1_500, 10_000, 12 * 1024 * 1024);
  await using mesh = await Mesh.start({ nodes: 3 });
  const [a] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
  await mesh.leader({ voters: 3 });
  await allUp(mesh, a);
  {
    await using pushing = new Running(a, ["bundle", "push", root, "--name", "site"]);
    await until(
      () => Promise.resolve(blobsOf(a).length > 150 ? true : undefined),
      patienceMs,
      () => `only ${blobsOf(a).length} files came`,
    );
    pushing.child.kill("SIGKILL");
    await pushing.child.exited;
  }
  expect((await a.api("GET", "/v1/bundles/site")).status).toBe(404);
  const pushed = await push(a, root);
  expect(pushed).toMatchObject({ version: 1, files: 1_502 });
  expect(pushed["sent_files"]).toBeLessThan(1_502 - 140);
  const job = await submit(a, { run: "sh check", bundle: "site", each_node: true });
  expect((await finished(mesh, job)).state).toBe("succeeded");
  expect(new Set((await tasksOf(a, job)).map(({ tail }) => tail.trim()))).toEqual(new Set([checksum(root)]));
}, 300_000);

test("a node that is killed while it fetches a bundle goes on with what it has, and its task runs all the same", async () => {
  using scratch = temporaryDirectory();
  const root = path.join(scratch.path, "site");
  const bytes = makeTree(root, 1_500, 12_000, 12 * 1024 * 1024);
  await using mesh = await Mesh.start({ nodes: 3 });
  const [a] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
  await mesh.leader({ voters: 3 });
  await allUp(mesh, a);
  const { nodes } = (await push(a, root)) as unknown as { readonly nodes: readonly number[] };
  const last = mesh.nodes.find(({ ready }) => !nodes.includes(ready.node))!;
  const job = await submit(a, { run: "sh check", bundle: "site", each_node: true });
  await until(
    () => Promise.resolve(blobsOf(last).length > 100 ? true : undefined),
    patienceMs,
    () => `only ${blobsOf(last).length} files came`,
  );
  await last.kill();
  const had = blobsOf(last).length;
  await last.start();
  expect((await finished(mesh, job)).state).toBe("succeeded");
  expect(new Set((await tasksOf(a, job)).map(({ tail }) => tail.trim()))).toEqual(new Set([checksum(root)]));
  if (had < 1_500) expect(await metric(last, "skein_bundle_received_bytes_total")).toBeLessThan(bytes - 90 * 12_000);
}, 300_000);
