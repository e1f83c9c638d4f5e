/** Bounds that hold for all nodes together, and dead letters, with the real binary. The tests build on each other: one mesh, in this order. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh } from "../../scripts/mesh.ts";
import { allUp, finished, submit } from "../../scripts/mesh-jobs.ts";
import type { ClusterView } from "../../src/state/answers.ts";
import { temporaryDirectory } from "./harness.ts";

let mesh: Mesh;
const directory = temporaryDirectory();

beforeAll(async () => {
  mesh = await Mesh.start({ nodes: 3 });
  await allUp(mesh, mesh.nodes[0]!);
}, 600_000);

afterAll(async () => {
  await mesh.stop();
  directory[Symbol.dispose]();
}, 600_000);

async function said(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await mesh.skein(words);
  expect([words.join(" "), code, stderr]).toEqual([words.join(" "), 0, expect.any(String)]);
  return stdout.trim();
}

/** A job that waits for as long as there is this test. */
const waiting = { run: "true", start_at: "2099-01-01T00:00:00Z" };

/** So many requests at once, over all nodes, of so many jobs each; gives their answers. */
async function flood(requests: number, jobs: number, headers: Readonly<Record<string, string>> = {}) {
  const body = { jobs: Array.from({ length: jobs }, () => waiting) };
  return Promise.all(
    Array.from({ length: requests }, (_, at) =>
      mesh.nodes[at % mesh.nodes.length]!.api("POST", "/v1/jobs", body, headers),
    ),
  );
}

/** All that was acknowledged counts, whichever node took it: `/v1/cluster` answers from the asked node's own state, which a linearizable read brings up to date. */
async function jobsNow(): Promise<ClusterView["jobs"]> {
  const node = mesh.nodes[1]!;
  expect((await node.api("GET", "/v1/jobs?limit=1")).status).toBe(200);
  return ((await node.api("GET", "/v1/cluster")).body as ClusterView).jobs;
}

test("a greedy submitter is held to their limit at all nodes together, and another one is not kept out", async () => {
  const greedy = await said("token", "create", "--role", "operator", "--name", "greedy", "-o", "quiet");
  await said("submitters", "set", "*", "--jobs", "10");
  const [theirs, others] = await Promise.all([
    flood(100, 2, { authorization: `Bearer ${greedy}` }),
    flood(6, 1), // the admin's
  ]);
  expect(others.map(({ status }) => status)).toEqual(others.map(() => 201));
  expect(theirs.filter(({ status }) => status === 201)).toHaveLength(5);
  for (const { status, headers, body } of theirs) {
    if (status === 201) continue;
    expect([status, headers.get("retry-after")]).toEqual([429, "1"]);
    expect(body).toMatchObject({ error: { code: "busy", limit: "submitter" } });
  }
  expect(await said("submitters", "ls")).toMatch(/\ngreedy +1 +10 +10$/m);
}, 600_000);

test("more unfinished jobs than the cluster takes are refused, whichever nodes are asked, and there is room again when some have ended", async () => {
  await said("submitters", "set", "*", "--jobs", "none");
  await said("cluster", "set", "unfinished-jobs=30");
  const answers = await flood(60, 1);
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(14);
  for (const { status, body } of answers)
    if (status !== 201) expect([status, body]).toEqual([429, { error: expect.objectContaining({ limit: "jobs" }) }]);
  expect(await jobsNow()).toMatchObject({ unfinished: 30, unfinished_max: 30 });
  await said("cancel", "1-5");
  expect((await flood(60, 1)).filter(({ status }) => status === 201)).toHaveLength(5);
  await said("cluster", "set", "unfinished-jobs=1000");
}, 600_000);

test("jobs that failed with all their retries are run again with one command, once the cause is gone", async () => {
  const cause = path.join(directory.path, "cause");
  const ids: number[] = [];
  for (const node of mesh.nodes)
    ids.push(await submit(node, { name: "letter", run: ["test", "-e", cause], retries: { max: 1, backoff: "10ms" } }));
  for (const id of ids) expect(await finished(mesh, id)).toMatchObject({ state: "failed" });
  expect((await said("jobs", "dead", "-o", "quiet")).split("\n").map(Number)).toEqual(ids.toReversed());
  expect(await said("jobs", "dead", "--name", "letter")).toMatch(/ exit code 1/);
  expect((await jobsNow()).dead).toBe(3);
  writeFileSync(cause, "");
  await said("jobs", "replay", "--all", "--wait");
  expect([await said("jobs", "dead", "-o", "quiet"), (await jobsNow()).dead]).toEqual(["", 0]);
}, 600_000);
