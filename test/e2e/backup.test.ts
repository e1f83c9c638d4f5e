/** The binary's backups: made under load from any node, and a new cluster made of one. */
import { expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh, MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { binary } from "../../scripts/build.ts";
import { finished, submit } from "../../scripts/mesh-jobs.ts";
import { encodeBackupHead, parseBackupHead } from "../../src/lib/backup-file.ts";
import { epochSpan } from "../../src/lib/epoch.ts";
import { digest } from "../../src/node/backup.ts";
import { temporaryDirectory } from "./harness.ts";

interface BackedUp {
  readonly cluster: string;
  readonly index: number;
  readonly bytes: number;
}

async function backup(node: MeshNode, file: string, admin: string): Promise<BackedUp> {
  const said = await node.skein(["backup", file, "--token", admin, "-o", "json"]);
  if (said.code !== 0) throw new Error(`backup ended with ${said.code}: ${said.stderr}`);
  return JSON.parse(said.stdout) as BackedUp;
}

/** The state within a backup, and what its manifest says. */
function opened(file: string, to: string): { hash: string; database: Database } {
  const bytes = readFileSync(file);
  const first = bytes.indexOf(0x0a);
  const second = bytes.indexOf(0x0a, first + 1);
  const manifest = JSON.parse(bytes.subarray(first + 1, second).toString()) as { hash: string };
  writeFileSync(to, bytes.subarray(second + 1));
  return { hash: manifest.hash, database: new Database(to) };
}

function tables(database: Database, names: readonly string[]): unknown[] {
  return names.map((name) => database.query(`select * from ${name} order by 1, 2`).all());
}

test("backups made under load, by every node, are whole states: what was acknowledged before is in them, and they restore", async () => {
  using scratch = temporaryDirectory();
  await using mesh = await Mesh.start({ nodes: 3 });
  await mesh.leader({ voters: 3 });
  const admin = mesh.nodes[0]!.token;
  const [first] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
  const finishedJob = await submit(first, { run: "echo kept; exit 3", labels: { kept: "yes" } });
  await finished(mesh, finishedJob);
  // Runs on and on when the backups are made; on_lost decides in the restored cluster.
  const failing = await submit(first, { run: "sleep 600", on_lost: "fail" });
  const retried = await submit(first, { run: "sleep 0.2", on_lost: "retry", count: 3 });
  const waiting = await submit(first, { run: "true", on: "there=never" });
  await until(
    async () =>
      ((await first.api("GET", `/v1/jobs/${failing}`)).body as { state: string }).state === "running"
        ? true
        : undefined,
    patienceMs,
    () => `job ${failing} does not run`,
  );
  const over = new AbortController();
  const acknowledged: number[] = [];
  const load = Promise.all(
    mesh.nodes.map(async (node) => {
      while (!over.signal.aborted) acknowledged.push(await submit(node, { driver: "noop" }));
    }),
  );
  const files: string[] = [];
  for (const [at, node] of mesh.nodes.entries()) {
    const before = [...acknowledged];
    const file = path.join(scratch.path, `backup-${at}`);
    const made = await backup(node, file, admin);
    files.push(file);
    const { database } = opened(file, path.join(scratch.path, `state-${at}`));
    const { applied } = database.query("select applied from meta").get() as { applied: number };
    expect(applied).toBe(made.index);
    const ids = new Set((database.query("select id from job").all() as { id: number }[]).map(({ id }) => id));
    expect(before.filter((id) => !ids.has(id))).toEqual([]);
    expect(database.query("pragma integrity_check").get()).toEqual({ integrity_check: "ok" });
    // K1: no key, and nothing to join with.
    expect(database.query("select hash from token where kind = 'join'").all()).toEqual([{ hash: "" }]);
    database.close();
    expect(readFileSync(file).includes("PRIVATE KEY")).toBe(false);
  }
  over.abort();
  await load;

  const file = files[2]!;
  const node = new MeshNode({
    executable: binary,
    directory: path.join(mesh.directory, "restored"),
    flags: ["--api", "127.0.0.1:0", "--peer", "127.0.0.1:0"],
    env: { SKEIN_TEST_MESH: path.basename(mesh.directory) },
  });
  const restored = await node.skein(["restore", file, "--data", node.data, "--name", "fresh", "-o", "json"]);
  expect([restored.code, restored.stderr]).toEqual([0, ""]);
  const answer = JSON.parse(restored.stdout) as { cluster: string; epoch: string; node: number };
  expect(answer.cluster).not.toBe(first.ready.cluster);
  // All that was not about members and running work is row by row what it was.
  const before = opened(file, path.join(scratch.path, "compared"));
  const now = new Database(path.join(node.data, "state.db"), { readonly: true });
  const same = ["idempotency", "batch_outcome"];
  expect(tables(now, same)).toEqual(tables(before.database, same));
  const jobs = `select id, name, spec, submitted_at from job order by id`;
  expect(now.query(jobs).all()).toEqual(before.database.query(jobs).all());
  expect((before.database.query("select hash from meta").get() as { hash: string }).hash).toBe(before.hash);
  before.database.close();
  now.close();

  await node.start();
  mesh.nodes.push(node);
  await until(
    async () => ((await node.api("GET", "/readyz")).status === 200 ? true : undefined),
    patienceMs,
    () => node.log,
  );
  expect((await node.api("GET", "/v1/cluster")).body).toMatchObject({ epoch: answer.epoch, voters: [answer.node] });
  const bearer = { authorization: `Bearer ${admin}` };
  const stateOf = async (id: number): Promise<unknown> =>
    ((await node.api("GET", `/v1/jobs/${id}`, undefined, bearer)).body as { state: string }).state;
  expect(await stateOf(finishedJob)).toBe("failed");
  expect(await stateOf(failing)).toBe("failed");
  expect(await stateOf(waiting)).toBe("queued");
  await until(
    async () => ((await stateOf(retried)) === "succeeded" ? true : undefined),
    patienceMs,
    () => `job ${retried} does not end`,
  );
  expect(await submit(node, { driver: "noop" })).toBeGreaterThan(1_000_000);
  expect(((await node.api("GET", "/v1/cluster")).body as { index: number }).index).toBeGreaterThan(epochSpan);
  // Its token is an admin's; the members' tokens and the join tokens of before are nobody's.
  expect((await node.api("GET", "/v1/audit?what=cluster")).status).toBe(200);
  const member = { authorization: `Bearer ${mesh.nodes[1]!.token}` };
  expect((await node.api("GET", "/v1/jobs", undefined, member)).status).toBe(401);
  const address = new URL(node.ready.api).host;
  const added = new MeshNode({
    executable: binary,
    directory: path.join(mesh.directory, "added"),
    flags: ["--api", "127.0.0.1:0", "--peer", "127.0.0.1:0", "--name", "added"],
    env: { SKEIN_TEST_MESH: path.basename(mesh.directory) },
  });
  mesh.nodes.push(added);
  const words = ["--join", address, "--join-timeout", "0s"];
  const refused = added.start([...words, "--token", await mesh.joinToken()]);
  expect(refused).rejects.toThrow(/for another cluster/);
  await refused.catch(() => {});
  const token = (await node.skein(["cluster", "token", "-o", "quiet"])).stdout.trim();
  await added.start(["--join", address, "--token", token]);
  const each = await submit(added, { run: "true", each_node: true });
  await until(
    async () => ((await stateOf(each)) === "succeeded" ? true : undefined),
    patienceMs,
    () => added.log,
  );
}, 600_000);

test("a file that is cut or damaged, a directory that is not empty, a newer level: nothing is touched, and it is said why", async () => {
  using scratch = temporaryDirectory();
  await using mesh = await Mesh.start({ nodes: 1 });
  const [node] = mesh.nodes as [MeshNode];
  await finished(mesh, await submit(node, { run: "true" }));
  const file = path.join(scratch.path, "good");
  await backup(node, file, node.token);
  const whole = readFileSync(file);
  const data = path.join(scratch.path, "data");
  const restore = async (from: string, to = data): Promise<[number | null, string]> => {
    const said = await node.skein(["restore", from, "--data", to]);
    return [said.code, said.stderr];
  };
  const stateFrom = whole.indexOf(0x0a, whole.indexOf(0x0a) + 1) + 1;
  const bad = path.join(scratch.path, "bad");
  for (const length of [0, 5, 60, stateFrom - 10, stateFrom, stateFrom + 100, whole.length - 1]) {
    writeFileSync(bad, whole);
    truncateSync(bad, length);
    expect([length, await restore(bad)]).toEqual([length, [7, expect.stringMatching(/cut short|no backup of skein/)]]);
  }
  for (const at of [3, 40, stateFrom - 20, stateFrom + 20, whole.length - 1]) {
    const flipped = Uint8Array.from(whole);
    flipped[at]! ^= 4;
    writeFileSync(bad, flipped);
    expect([at, await restore(bad)]).toEqual([at, [7, expect.stringMatching(/damaged|no backup of skein|format/)]]);
  }
  writeFileSync(bad, Buffer.concat([whole, Buffer.from("x")]));
  expect(await restore(bad)).toEqual([7, expect.stringContaining("is damaged: it has")]);
  expect(await restore(scratch.path)).toEqual([7, expect.stringContaining("is a directory: name the file that")]);
  expect(await restore(path.join(scratch.path, "none"))).toEqual([7, expect.stringContaining("cannot be read")]);
  expect(existsSync(data)).toBe(false);

  const head = parseBackupHead(whole, digest);
  if ("problem" in head) throw new Error(head.problem);
  const newer = encodeBackupHead({ ...head.manifest, level: 99 }, digest);
  writeFileSync(bad, Buffer.concat([newer, whole.subarray(stateFrom)]));
  expect(await restore(bad)).toEqual([7, expect.stringContaining("level 99")]);
  expect(existsSync(data)).toBe(false);

  mkdirSync(data);
  writeFileSync(path.join(data, "mine"), "");
  expect(await restore(file)).toEqual([
    7,
    expect.stringMatching(/is not empty \(mine\), and nothing is restored over what is there: name an empty directory/),
  ]);
  expect(readdirSync(data)).toEqual(["mine"]);
  expect(await restore(file, node.data)).toEqual([7, expect.stringContaining("is not empty")]);

  // Restored once, and the same again is refused: it would be a second cluster in the place of the first.
  const other = path.join(scratch.path, "other");
  expect((await restore(file, other))[0]).toBe(0);
  expect(await restore(file, other)).toEqual([7, expect.stringContaining("is not empty")]);
}, 600_000);

test("SIGKILL at every step of a restore: there is nothing, and it may be repeated, or all of it", async () => {
  using scratch = temporaryDirectory();
  await using mesh = await Mesh.start({ nodes: 1 });
  const [node] = mesh.nodes as [MeshNode];
  const file = path.join(scratch.path, "file");
  await backup(node, file, node.token);
  const script = new URL("restore-until-killed.ts", import.meta.url).pathname;
  const steps: string[] = [];
  for (let n = 1; n < 100; n++) {
    const data = path.join(scratch.path, `data-${n}`);
    const child = Bun.spawn([process.execPath, script, file, data, String(n)], { stdout: "pipe", stderr: "inherit" });
    const said = (await new Response(child.stdout).text()).split("\n").filter((line) => line !== "");
    await child.exited;
    steps.push(said.at(-1)!);
    if (!said.includes("decided")) {
      const again = await node.skein(["restore", file, "--data", data]);
      expect([n, again.code]).toEqual([n, 0]);
    }
    const report = await node.skein(["cluster", "recover", "--report", "--data", data, "-o", "json"]);
    expect([n, report.code, JSON.parse(report.stdout)]).toEqual([
      n,
      0,
      expect.objectContaining({ applied: epochSpan }),
    ]);
    expect(readdirSync(data)).toEqual(expect.arrayContaining(["authority.json", "certificate.json", "context.json"]));
    expect(readdirSync(data)).not.toContain("next-epoch");
    if (child.signalCode === null) break;
  }
  expect(steps).toContain("decided");
  expect(steps.at(-1)).toBe("done");
}, 600_000);
