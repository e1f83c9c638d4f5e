import { expect, test } from "bun:test";
import { submit } from "../../scripts/mesh-jobs.ts";
import { Mesh, type MeshNode, until } from "../../scripts/mesh.ts";

/** Takes writes, again if need be. */
async function goesOn(node: MeshNode): Promise<void> {
  let said = "";
  await until(
    async () => {
      const { status, body } = await node.api("POST", "/v1/jobs", { driver: "noop" });
      said = JSON.stringify(body);
      return status === 201 ? true : undefined;
    },
    120_000,
    () => `node ${node.ready.node} takes no writes: ${said}\n${node.log}`,
  );
}

async function threeVoters(): Promise<{ readonly mesh: Mesh; readonly leader: MeshNode; readonly others: MeshNode[] }> {
  const mesh = await Mesh.start({ nodes: 3 });
  const leader = await mesh.leader({ voters: 3 });
  return { mesh, leader, others: mesh.nodes.filter((node) => node !== leader) };
}

test("a voter is removed while another one is dead: what is left goes on, with the vote of the one that goes", async () => {
  const { mesh, leader, others } = await threeVoters();
  await using _ = mesh;
  const [removed, dead] = [others[0]!, others[1]!];
  await dead.kill();
  const said = await leader.skein(["nodes", "rm", `${removed.ready.node}`, "--timeout", "2m"]);
  expect(said).toMatchObject({ code: 0 });
  // One that is told before the change is through says of three voters that they bear a loss.
  expect(said.stderr).toContain("the cluster has 1 voter now: it bears the loss of no voter");
  await goesOn(leader);
  expect(await removed.exited).toBe(6);
  await dead.start();
  await submit(dead, { driver: "noop" });
}, 300_000);

test("a voter leaves while another one is dead: it stays until nobody needs its vote", async () => {
  const { mesh, leader, others } = await threeVoters();
  await using _ = mesh;
  const [leaving, dead] = [others[0]!, others[1]!];
  await dead.kill();
  expect(await leaving.skein(["leave"])).toMatchObject({ code: 0 });
  expect(await leaving.exited).toBe(0);
  await goesOn(leader);
}, 300_000);

test("two of three voters are removed in the same moment: the third goes on alone", async () => {
  const { mesh, leader, others } = await threeVoters();
  await using _ = mesh;
  const answers = await Promise.all(others.map((node) => leader.api("DELETE", `/v1/nodes/${node.ready.node}`)));
  expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  await goesOn(leader);
  for (const node of others) expect(await node.exited).toBe(6);
}, 300_000);

test("a voter that was removed crashes before the others could do without it: its vote is there again when it is", async () => {
  const { mesh, leader, others } = await threeVoters();
  await using _ = mesh;
  const [removed, dead] = [others[0]!, others[1]!];
  await dead.kill();
  const asked = leader.skein(["nodes", "rm", `${removed.ready.node}`, "--timeout", "0"]);
  await until(
    async () => {
      const { body } = await leader.api("GET", "/v1/nodes?consistency=stale");
      const ids = (body as { nodes: { id: number }[] }).nodes.map(({ id }) => id);
      return ids.includes(removed.ready.node) ? undefined : true;
    },
    60_000,
    () => "it is not removed",
  );
  await removed.kill();
  await asked;
  // Either its vote is needed, or it is told at once that it is no member: then it is not ready.
  await removed.start().catch(() => undefined);
  await goesOn(leader);
}, 300_000);

test("a leader that holds a task is not removed, and goes on leading", async () => {
  const { mesh, leader } = await threeVoters();
  await using _ = mesh;
  await submit(leader, { run: "sleep 600", each_node: true });
  const isBusy = async (): Promise<boolean> => {
    const { body } = await leader.api("GET", `/v1/nodes/${leader.ready.node}`);
    return (body as { running: number }).running > 0;
  };
  await until(
    async () => ((await isBusy()) ? true : undefined),
    60_000,
    () => "nothing runs on the leader",
  );
  const term = async (): Promise<unknown> => ((await leader.api("GET", "/v1/cluster")).body as { term: number }).term;
  const before = await term();
  const said = await leader.skein(["nodes", "rm", `${leader.ready.node}`]);
  expect([said.code, said.stderr]).toEqual([6, expect.stringContaining("holds 1 task")]);
  expect(await term()).toBe(before);
}, 300_000);
