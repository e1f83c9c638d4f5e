import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { finished, submit, submitToEach, tasksOf } from "../../scripts/mesh-jobs.ts";
import { markedProcesses } from "../../scripts/processes.ts";
import { Running, temporaryDirectory } from "./harness.ts";

/** Nodes that come and go by the words of a person, while work runs. The tests build on each other: one mesh, in this order. */
let mesh: Mesh;
let scratch: ReturnType<typeof temporaryDirectory>;
/** The first node may be gone by the time that a voter is to be removed. */
let admin: { readonly env: { readonly SKEIN_TOKEN: string } };

beforeAll(async () => {
  scratch = temporaryDirectory();
  mesh = await Mesh.start({ nodes: 3 });
  await mesh.leader({ voters: 3 });
  admin = { env: { SKEIN_TOKEN: mesh.nodes[0]!.token } };
}, 600_000);

afterAll(async () => {
  await mesh.stop();
  scratch[Symbol.dispose]();
}, 600_000);

async function untilNode(asked: MeshNode, name: string, state: string): Promise<void> {
  await until(
    async () => {
      const { body } = await asked.api("GET", "/v1/nodes");
      const { nodes } = body as { nodes: { name: string; state: string }[] };
      return (nodes.find((node) => node.name === name)?.state ?? "gone") === state ? true : undefined;
    },
    patienceMs,
    () => `${name} is not ${state}`,
  );
}

/** Tasks that write their node's name to `directory` and wait for `gate`, one per node. */
async function startOnEach(asked: MeshNode, gate: string): Promise<number> {
  const id = await submitToEach(mesh, asked, {
    run: `echo up; until [ -e ${gate} ]; do sleep 0.02; done; echo done`,
  });
  await until(
    async () => ((await tasksOf(asked, id)).every((task) => task.state === "running") ? true : undefined),
    patienceMs,
    () => "the tasks did not start",
  );
  return id;
}

describe("drain", () => {
  test("a draining node keeps its running task and gets no new one, until it is undrained", async () => {
    const [a, b] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
    const gate = path.join(scratch.path, "drain");
    const running = await startOnEach(a, gate);
    expect(await a.skein(["nodes", "drain", "node-2"])).toMatchObject({
      code: 0,
      stdout: `node ${b.ready.node} is draining\n`,
    });
    await untilNode(a, "node-2", "draining");
    const during = await submit(b, { run: "true", count: 12 });
    await finished(mesh, during);
    expect((await tasksOf(b, during)).filter((task) => task.node === b.ready.node)).toEqual([]);
    writeFileSync(gate, "");
    const job = await finished(mesh, running);
    expect(job.counts).toMatchObject({ succeeded: 3 });
    expect((await tasksOf(a, running)).every((task) => task.attempt === 1)).toBe(true);

    expect((await a.skein(["nodes", "undrain", String(b.ready.node)])).code).toBe(0);
    await untilNode(a, "node-2", "up");
    await until(
      async () => {
        const after = await submit(b, { run: "sleep 0.05", count: 12 });
        await finished(mesh, after);
        return (await tasksOf(b, after)).find((task) => task.node === b.ready.node);
      },
      patienceMs,
      () => "it gets no task",
    );
    expect((await a.skein(["nodes", "drain", "node-9"])).code).toBe(3);
  });
});

describe("labels", () => {
  test("a job that no node may run waits, and runs on the node that joins with the label", async () => {
    const [a] = mesh.nodes as [MeshNode];
    const id = await submit(a, { run: "true", on: "gpu=yes" });
    const other = await submit(a, { run: "true" });
    await finished(mesh, other); // what can run is not held up by what cannot
    expect((await a.api("GET", `/v1/jobs/${id}`)).body).toMatchObject({ state: "queued" });
    const fourth = await mesh.add(["--label", "gpu=yes"]);
    expect((await finished(mesh, id)).state).toBe("succeeded");
    expect((await tasksOf(a, id)).map((task) => task.node)).toEqual([fourth.ready.node]);
  });
});

describe("leave", () => {
  test("the leader leaves: its running task ends first, the process exits 0, its data is put aside, the others go on", async () => {
    const leader = await mesh.leader({ voters: 3 });
    const others = mesh.nodes.filter((node) => node !== leader);
    const gate = path.join(scratch.path, "leave");
    const running = await startOnEach(others[0]!, gate);
    await using leaving = new Running(leader, ["leave"]);
    await untilNode(others[0]!, `node-${mesh.nodes.indexOf(leader) + 1}`, "draining");
    expect(leader.running).toBe(true);
    writeFileSync(gate, "");
    expect(await leaving.ended()).toMatchObject({ code: 0 });
    expect(leaving.bytes.toString()).toContain("has left its cluster and stops");
    expect(await leader.exited).toBe(0);
    const job = await finished(mesh, running);
    expect(job.counts).toMatchObject({ succeeded: mesh.nodes.length });
    expect((await tasksOf(others[0]!, running)).every((task) => task.attempt === 1)).toBe(true);

    const left = readdirSync(leader.data).filter((name) => name.startsWith("left-"));
    expect(left).toEqual([`left-${leader.ready.cluster}-${leader.ready.node}`]);
    expect(existsSync(path.join(leader.data, left[0]!, "identity.json"))).toBe(true);
    expect(existsSync(path.join(leader.data, "identity.json"))).toBe(false);
    await until(
      () => Promise.resolve(markedProcesses(leader.data).length === 0 ? true : undefined),
      patienceMs,
      () => "its guard is still there",
    );

    const next = await mesh.leader();
    await until(
      async () => {
        const { body } = await next.api("GET", "/v1/cluster");
        const { voters, nodes } = body as { voters: number[]; nodes: { id: number }[] };
        const present = [...voters, ...nodes.map((node) => node.id)];
        return voters.length === 3 && !present.includes(leader.ready.node) ? true : undefined;
      },
      patienceMs,
      () => "the others have not become three voters",
    );
    expect((await finished(mesh, await submit(next, { run: "true" }))).state).toBe("succeeded");
  }, 600_000);

  test("its directory may join again, as a new node", async () => {
    const gone = mesh.nodes.find((node) => !node.running)!;
    const { node } = gone.ready;
    await gone.start(["--join", mesh.addresses(), "--token", await mesh.joinToken(), "--name", "again"]);
    expect(gone.ready.node).toBeGreaterThan(node);
  });

  test("a name for several addresses is refused: leave is about one node", async () => {
    const [a, b] = mesh.nodes as [MeshNode, MeshNode];
    const said = await a.skein(["leave", "--addr", `${a.ready.api},${b.ready.api}`]);
    expect(said.code).toBe(2);
    expect(a.running && b.running).toBe(true);
  });
});

describe("nodes rm", () => {
  test("a node with running work is not removed; a dead one without is, and coming back it is told so", async () => {
    const leader = await mesh.leader({ voters: 3 });
    const victim = mesh.nodes.find((node) => node !== leader && node.running)!;
    const id = String(victim.ready.node);
    const gate = path.join(scratch.path, "rm");
    const running = await startOnEach(leader, gate);
    const refused = await leader.skein(["nodes", "rm", id], admin);
    expect(refused.code).toBe(6);
    expect(refused.stderr).toContain("holds 1 task");
    writeFileSync(gate, "");
    expect((await finished(mesh, running)).state).toBe("succeeded");
    const withItsToken = async (): Promise<number> =>
      (await leader.api("GET", "/v1/jobs", undefined, { authorization: `Bearer ${victim.token}` })).status;
    expect(await withItsToken()).toBe(200);
    await victim.kill();
    expect(await leader.skein(["nodes", "rm", id], admin)).toMatchObject({
      code: 0,
      stdout: `node ${id} is removed\n`,
    });
    expect(await withItsToken()).toBe(401);
    expect((await leader.skein(["nodes", "show", id])).code).toBe(3);
    const back = await victim.start().then(
      () => victim.exited,
      () => victim.exited,
    );
    expect(back).toBe(6);
    await victim.said("no member any more");
    expect((await finished(mesh, await submit(leader, { run: "true" }))).state).toBe("succeeded");
  }, 600_000);
});
