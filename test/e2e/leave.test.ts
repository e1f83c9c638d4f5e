import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import path from "node:path";
import { Mesh, patienceMs, until } from "../../scripts/mesh.ts";
import { finished, submit, submitToEach } from "../../scripts/mesh-jobs.ts";

test("the first of two nodes leaves: the other one votes first, then leads alone and goes on", async () => {
  await using mesh = await Mesh.start({ nodes: 2 });
  const [first, second] = [mesh.nodes[0]!, mesh.nodes[1]!];
  const before = await submit(second, { run: "echo before" });
  expect((await finished(mesh, before)).state).toBe("succeeded");
  const left = await first.skein(["leave"]);
  expect(left).toMatchObject({ code: 0 });
  expect(await first.exited).toBe(0);
  const leader = await mesh.leader();
  expect(leader).toBe(second);
  const after = await submit(second, { run: "echo after" });
  expect((await finished(mesh, after)).state).toBe("succeeded");
  const cluster = (await second.api("GET", "/v1/cluster")).body as { voters: number[]; nodes: { id: number }[] };
  expect(cluster.voters).toEqual([second.ready.node]);
  expect(cluster.nodes.map((node) => node.id)).toEqual([second.ready.node]);
}, 600_000);

test("the logs of a job go with the job, on every node that ran it", async () => {
  await using mesh = await Mesh.start({ nodes: 2 });
  const node = mesh.nodes[1]!;
  const id = await submitToEach(mesh, node, { run: "echo something", ttl: "1s" });
  await finished(mesh, id);
  const logs = mesh.nodes.map((each) => path.join(each.data, "logs", String(id)));
  await until(
    async () => {
      const gone = (await node.api("GET", `/v1/jobs/${id}`)).status === 404;
      return gone && logs.every((log) => !existsSync(log)) ? true : undefined;
    },
    patienceMs,
    () => `job ${id} or its logs are still there: ${logs.filter((log) => existsSync(log)).join()}`,
  );
}, 600_000);

/** So many different HOST:PORT that are free now. */
function freeAddresses({ host }: Mesh, count: number): string[] {
  const listeners = Array.from({ length: count }, () => Bun.listen({ hostname: host, port: 0, socket: { data() {} } }));
  return listeners.map((listener) => {
    listener.stop(true);
    return `${host}:${listener.port}`;
  });
}

test("a node that comes back at other addresses finds the leader and is found again", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  await mesh.leader({ voters: 3 });
  const moving = mesh.nodes[2]!;
  const { api, peer } = moving.ready;
  await moving.stop();
  const [newApi, newPeer] = freeAddresses(mesh, 2);
  const moved = await moving.start(["--api", newApi!, "--peer", newPeer!]);
  expect(moved.api).not.toBe(api);
  expect(moved.peer).not.toBe(peer);
  const id = await submitToEach(mesh, moving, { run: "true" });
  expect((await finished(mesh, id)).counts).toMatchObject({ succeeded: 3 });
}, 600_000);

test.each([
  [3, "one that was named", true],
  [5, "one that was named", true],
  [3, "what they left on the host that they share", false],
  [5, "what they left on the host that they share", false],
])(
  "all %d nodes come back at once, each at other addresses, and find each other through %s",
  async (nodes, _, isNamed) => {
    await using mesh = await Mesh.start({ nodes });
    await mesh.leader({ voters: nodes });
    const before = await submit(mesh.nodes[0]!, { run: "true" });
    await finished(mesh, before);
    await Promise.all(mesh.nodes.map((node) => node.kill()));
    const apis = freeAddresses(mesh, 2 * nodes);
    const peers = apis.splice(nodes);
    // The user's configuration directory; otherwise each node of a mesh has its own.
    const shared = { XDG_CONFIG_HOME: path.join(mesh.directory, "shared") };
    await Promise.all(
      mesh.nodes.map((node, at) => {
        const words = isNamed && at > 0 ? ["--join", apis[0]!] : [];
        return node.start(["--api", apis[at]!, "--peer", peers[at]!, ...words], isNamed ? {} : shared);
      }),
    );
    await mesh.leader({ voters: nodes });
    const id = await submitToEach(mesh, mesh.nodes[1]!, { run: "true" });
    expect((await finished(mesh, id)).counts).toMatchObject({ succeeded: nodes });
    expect((await mesh.nodes[1]!.api("GET", `/v1/jobs/${before}`)).status).toBe(200);
  },
  600_000,
);

test("a dead voter gives its place to a learner, in one change, and comes back as a learner itself", async () => {
  await using mesh = await Mesh.start({ nodes: 4, flags: ["--voters", "3"] });
  const leader = await mesh.leader({ voters: 3 });
  const voters = async (): Promise<number[]> =>
    ((await leader.api("GET", "/v1/cluster")).body as { voters: number[] }).voters;
  const before = await voters();
  const dead = mesh.nodes.find((node) => node !== leader && before.includes(node.ready.node))!;
  const spare = mesh.nodes.find((node) => !before.includes(node.ready.node))!;
  await dead.kill();
  await until(
    async () => ((await voters()).includes(spare.ready.node) ? true : undefined),
    patienceMs,
    () => "the learner does not become a voter",
  );
  const expected = [...before.filter((node) => node !== dead.ready.node), spare.ready.node];
  expect(new Set(await voters())).toEqual(new Set(expected));
  await dead.start();
  const id = await submitToEach(mesh, dead, { run: "true" });
  expect((await finished(mesh, id)).counts).toMatchObject({ succeeded: 4 });
  expect(await voters()).not.toContain(dead.ready.node);
}, 600_000);
