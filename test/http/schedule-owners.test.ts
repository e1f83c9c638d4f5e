import { describe, expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { Owners } from "../../src/scheduler/owners.ts";
import type { ScheduleOwnersView } from "../../src/state/answers.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import type { Step } from "../../src/state/firing.ts";
import { scheduleScope } from "../../src/state/tables/schedule-scope.ts";
import { scheduleById, scheduleIds } from "../../src/state/tables/schedule.ts";
import { admin } from "../state/support.ts";
import { asking, errorIn, jsonIn, Mesh } from "./fake-node.ts";

/** More than are read at once (src/http/schedule-owners.ts). */
const schedules = 5_000;

/** Members with schedules, every tenth of which is due within a minute, and all of which their owners have looked at. */
function meshOf(members: number, count = schedules): Mesh {
  const mesh = new Mesh(members);
  mesh.cluster.now = Date.now();
  for (let first = 0; first < count; first += 500) {
    const some = Array.from({ length: Math.min(500, count - first) }, (_, at) => ({
      name: `s${first + at}`,
      every: "1h",
      job: { run: "true" },
    }));
    mesh.change((cluster) =>
      cluster.must("schedule.set", commandByName("schedule.set").input.parse({ schedules: some }), admin),
    );
  }
  const { database, now } = mesh.cluster;
  const steps = scheduleIds(database, 0, count).map((id): Step => {
    const { revision, watermark, name } = scheduleById(database, id)!;
    const check = now + (name.endsWith("0") ? 30_000 : 3_600_000);
    return [id, revision, watermark, watermark, check, [], []];
  });
  for (let at = 0; at < count; at += 250) {
    const step = { scope: scheduleScope(database).scope, steps: steps.slice(at, at + 250) };
    expect(mesh.change((cluster) => cluster.must("schedule.step", step)).refused).toEqual([]);
  }
  return mesh;
}

const owners = async (mesh: Mesh, query = ""): Promise<ScheduleOwnersView> =>
  jsonIn(await asking(mesh.node())("GET", `/v1/schedule-owners${query}`));
const sum = (counts: readonly number[]): number => counts.reduce((all, one) => all + one, 0);

describe("who works out which schedules", () => {
  const mesh = meshOf(3);

  test("is told of all of them, and of those that are due soon", async () => {
    const { members, change, ...rest } = await owners(mesh);
    expect(rest).toMatchObject({ ring: "rendezvous", schedules, due: schedules / 10 });
    expect(change).toBeUndefined();
    const ids = [...scheduleIds(mesh.cluster.database, 0, schedules)];
    const ring = new Owners([1, 2, 3].map(nodeId));
    for (const [place, member] of members.entries()) {
      expect(member).toMatchObject({ node: place + 1, name: `n${place + 1}` });
      expect(member.schedules).toBe(ids.filter((id) => ring.of(id) === member.node).length);
      expect(member.share).toBeCloseTo(member.schedules / schedules, 3);
    }
    expect(sum(members.map(({ due }) => due))).toBe(schedules / 10);
    expect(rest.max_over_mean).toBeLessThan(1.08);
  });

  test("and what would move if members came or went, which is what must", async () => {
    const joined = await owners(mesh, "?with=3");
    expect(joined.members.map(({ node, name }) => [node, name])).toEqual([
      [1, "n1"],
      [2, "n2"],
      [3, "n3"],
      [4, null],
      [5, null],
      [6, null],
    ]);
    expect(joined.change).toMatchObject({ needless: 0, ideal_share: 0.5 });
    expect(Math.abs(joined.change!.moved_share - 0.5)).toBeLessThan(0.02);
    expect(sum(joined.members.slice(3).map(({ after }) => after!))).toBe(joined.change!.moved);

    const left = await owners(mesh, "?without=n2");
    expect(left.members[1]).toMatchObject({ after: 0 });
    expect(left.change).toMatchObject({ needless: 0, ideal_share: 0.3333, moved: left.members[1]!.schedules });
  });

  test("by the ring of tooz as well, which spreads them less evenly", async () => {
    const { ring, members, change, max_over_mean: ratio } = await owners(mesh, "?ring=tooz&with=1&without=1,3");
    expect(ring).toBe("tooz");
    expect(sum(members.map((member) => member.schedules))).toBe(schedules);
    expect(members.map(({ after }) => after === 0)).toEqual([true, false, true, false]);
    expect(change).toMatchObject({ needless: 0 });
    expect(ratio).toBeGreaterThan((await owners(mesh)).max_over_mean!);
  });

  test("is asked of members that there are", async () => {
    const ask = asking(mesh.node());
    expect(await errorIn(await ask("GET", "/v1/schedule-owners?without=n9"))).toMatchObject({ status: 404 });
    const nobody = await errorIn(await ask("GET", "/v1/schedule-owners?without=1,2,n3"));
    expect(nobody).toMatchObject({ status: 422, message: expect.stringContaining("nobody would be left") as string });
    const wrong = await errorIn(await ask("GET", "/v1/schedule-owners?ring=modulo&with=0"));
    expect([wrong.status, wrong.details.map(({ path }) => path)]).toEqual([422, ["ring", "with"]]);
  });
});

test("who is drained works out none, and cannot leave them to anybody", async () => {
  const mesh = meshOf(3, 20);
  mesh.change((cluster) => cluster.must("node.drain", { node: 2 }, admin));
  expect((await owners(mesh)).members.map(({ node }) => node)).toEqual([1, 3]);
  const drained = await errorIn(await asking(mesh.node())("GET", "/v1/schedule-owners?without=2"));
  expect(drained).toMatchObject({ status: 422, message: expect.stringContaining("it is draining") as string });
});

test("no schedules are nobody's", async () => {
  const view = await owners(new Mesh(2), "?with=1");
  expect(view).toMatchObject({ schedules: 0, due: 0, max_over_mean: null, change: { moved: 0, moved_share: 0 } });
  expect(view.members.map(({ share }) => share)).toEqual([0, 0, 0]);
});
