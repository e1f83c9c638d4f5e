import { expect, test } from "bun:test";
import { rmSync, statSync, truncateSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode } from "../../scripts/mesh.ts";
import { submit } from "../../scripts/mesh-jobs.ts";

const waiting = { run: "true", on: "node=nowhere" };

test("the WALs of a killed node are removed while others that know of its writes are away: it does not vote again, and what was acknowledged comes back with them (D1)", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  const [first, second, third] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
  await mesh.leader({ voters: 3, timeoutMs: 60_000 });
  await third.kill();
  const ids: number[] = [];
  for (let times = 0; times < 5; times++) ids.push(await submit(first, waiting));
  await Promise.all([first.kill(), second.kill()]);
  for (const file of ["log.db-wal", "log.db-shm", "state.db-wal", "state.db-shm"])
    rmSync(path.join(second.data, file), { force: true });
  await third.start();
  const ended = await second.start().then(
    () => "it started",
    (error: unknown) => String(error),
  );
  expect(ended).toContain("exit code 7");
  expect(ended).toContain("is older than what this node has answered for");
  expect(ended).toContain(`skein nodes rm ${second.ready.node}`);
  // The two that have what they promised are a quorum, and have it.
  await first.start();
  await mesh.leader({ voters: 3, timeoutMs: 60_000 });
  for (const id of ids) expect((await first.api("GET", `/v1/jobs/${id}`)).body).toMatchObject({ id, state: "queued" });
}, 180_000);

test("the end of a killed node's WAL is cut off: the leader counts on what was there, and the node ends instead of going on with less (D1)", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  const leader = await mesh.leader({ voters: 3, timeoutMs: 60_000 });
  const broken = mesh.nodes.find((node) => node !== leader)!;
  for (let times = 0; times < 10; times++) await submit(leader, waiting);
  await broken.kill();
  // Its state would know more than its log, and tell: it goes back as well.
  for (const file of ["state.db-wal", "state.db-shm"]) rmSync(path.join(broken.data, file), { force: true });
  const wal = path.join(broken.data, "log.db-wal");
  truncateSync(wal, Math.floor(statSync(wal).size / 2));
  const started = await broken.start().catch((error: unknown) => String(error));
  // It may have been ready for a moment.
  expect(typeof started === "string" ? started : `exit code ${await broken.exited}`).toContain("exit code 7");
  expect(broken.log).toMatch(/log\.db ends at entry \d+, and this node has acknowledged entry \d+/);
  // Whoever starts it again, with or without a leader who would tell: what was found out is not forgotten.
  await Promise.all(mesh.nodes.map((node) => node.kill()));
  const again = await broken.start().catch((error: unknown) => String(error));
  expect(again).toContain("exit code 7");
  expect(again).toMatch(/log\.db ends at entry \d+, and this node has acknowledged entry \d+/);
  for (const node of mesh.nodes) if (node !== broken) await node.start();
  await submit(leader, waiting);
}, 180_000);
