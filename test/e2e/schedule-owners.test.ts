import { expect, test } from "bun:test";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import type { ScheduleOwnersView } from "../../src/state/answers.ts";
import { metric } from "./harness.ts";

/** Schedules that belong to members, on the real binary: every one to one of them, and as many go to whoever comes as were said to. */

const schedules = 300;

async function owners(node: MeshNode, words: readonly string[] = []): Promise<ScheduleOwnersView> {
  const said = await node.skein(["cron", "owners", ...words, "-o", "json"]);
  expect([said.stderr, said.code]).toEqual(["", 0]);
  return JSON.parse(said.stdout) as ScheduleOwnersView;
}

/** Once each of the nodes works out as many as the view says. */
async function counted(nodes: readonly MeshNode[], view: ScheduleOwnersView): Promise<void> {
  const wanted = nodes.map(({ ready }) => view.members.find(({ node }) => node === ready.node)!.schedules);
  let last: unknown;
  await until(
    async () => {
      const owned = await Promise.all(nodes.map((node) => metric(node, "skein_schedules_owned")));
      last = owned;
      return owned.join() === wanted.join() ? true : undefined;
    },
    patienceMs,
    () => `the nodes count ${JSON.stringify(last)} schedules as theirs, and ${JSON.stringify(wanted)} are`,
  );
}

test("a member that comes takes what was said before from each of the others, and each tells of it; who is drained gives all away", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  const first = await mesh.leader({ voters: 3 });
  const all = Array.from({ length: schedules }, (_, at) => ({ name: `s${at}`, every: "1h", job: { driver: "noop" } }));
  expect((await first.api("POST", "/v1/schedules", { schedules: all })).status).toBe(201);
  const before = await owners(first);
  expect(before.members.reduce((sum, one) => sum + one.schedules, 0)).toBe(schedules);
  await counted(mesh.nodes, before);

  const foretold = await owners(first, ["--with", "1"]);
  const fourth = await mesh.add();
  const words = `${foretold.change!.moved} of ${schedules} schedules are worked out by other members now: `;
  for (const node of mesh.nodes.filter((one) => one !== fourth)) await node.said(words);
  const after = await owners(first);
  expect(after.members.map((one) => one.schedules)).toEqual(foretold.members.map((one) => one.after!));
  await counted(mesh.nodes, after);

  expect((await first.skein(["nodes", "drain", String(fourth.ready.node)])).code).toBe(0);
  for (const node of mesh.nodes.filter((one) => one !== fourth))
    await until(
      async () =>
        (await metric(node, "skein_schedules_moved_total")) === 2 * foretold.change!.moved ? true : undefined,
      patienceMs,
      () => `a node has not counted what went back:\n${node.log}`,
    );
  expect((await owners(first)).members).toEqual(before.members);
});
