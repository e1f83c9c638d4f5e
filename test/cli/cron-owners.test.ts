import { expect, test } from "bun:test";
import { commandByName } from "../../src/state/commands/index.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { ownLevel } from "../../src/state/levels.ts";
import { admin, announcement } from "../state/support.ts";
import { cli, ServedMesh } from "./support.ts";

/** A node with as many schedules, which it has not looked at yet: all of them are due. */
function served(schedules: number): ServedMesh {
  const mesh = new ServedMesh();
  const all = Array.from({ length: schedules }, (_, at) => ({ name: `s${at}`, every: "1h", job: { run: "true" } }));
  mesh.mesh.change((cluster) =>
    cluster.must("schedule.set", commandByName("schedule.set").input.parse({ schedules: all }), admin),
  );
  return mesh;
}

test("who works out how many schedules, in every form", async () => {
  using mesh = served(400);
  const { code, out } = await cli(["cron", "owners"], mesh.env);
  expect([code, out]).toEqual([
    0,
    [
      "NODE  SCHEDULES    SHARE  DUE IN 1m",
      "n1          400  100.0 %        400",
      "400 schedules, 400 of them due within a minute; who has most has 1.00 times the mean",
      "",
    ].join("\n"),
  ]);
  expect((await cli(["cron", "owners", "-o", "quiet"], mesh.env)).out).toBe("1\n");
  const json = await cli(["cron", "owners", "--ring", "tooz", "-o", "json"], mesh.env);
  expect(JSON.parse(json.out)).toEqual({
    ring: "tooz",
    schedules: 400,
    due: 400,
    max_over_mean: 1,
    members: [{ node: 1, name: "n1", zones: null, schedules: 400, share: 1, due: 400 }],
  });
});

test("whose data of zones differ, where they do", async () => {
  using mesh = served(4);
  mesh.mesh.change((cluster) => {
    const two = cluster.join(2);
    cluster.must("node.seen", { node: nodeId(1), ...announcement(1), level: ownLevel, zones: "2026a 1f" });
    cluster.must("node.seen", { node: two, ...announcement(2), level: ownLevel, zones: "2026b 2e" });
  });
  expect((await cli(["cron", "owners"], mesh.env)).out).toContain(
    "\nzones' data differs, and with it when schedules of some zones fire: 2026a 1f (n1) | 2026b 2e (n2)\n",
  );
});

test("what would move, beside what must", async () => {
  using mesh = served(400);
  const { out } = await cli(["cron", "owners", "--with", "1"], mesh.env);
  const [, stays, comes] = out.split("\n");
  const [, left, moved] = /^n1 +400 +100\.0 % +400 +(\d+) +-(\d+)$/.exec(stays!)!;
  expect(Number(left) + Number(moved)).toBe(400);
  expect(comes).toMatch(new RegExp(`^\\(new, 2\\) +0 +0\\.0 % +0 +${moved} +\\+${moved}$`));
  expect(out).toMatch(
    new RegExp(`\n${moved} would move \\(\\d\\d\\.\\d %; 50\\.0 % is the least that can\\), 0 of them`),
  );
  expect((await cli(["cron", "owners", "--without", "n1", "--with", "2"], mesh.env)).out).toContain(
    "400 would move (100.0 %; 100.0 % is the least that can)",
  );
});

test("with no schedules there is nothing to share", async () => {
  using mesh = new ServedMesh();
  expect((await cli(["cron", "owners"], mesh.env)).out).toMatch(
    /^NODE .*\nn1 +0 +0\.0 % +0\n0 schedules, 0 of them due within a minute; there is nothing to share\n$/,
  );
});

test.each([
  [["--ring", "modulo"], '--ring "modulo" is neither rendezvous nor tooz'],
  [["--with", "none"], '--with "none" is not a whole number from 1 to 1000'],
  [["--with", "0"], '--with "0" is not a whole number from 1 to 1000'],
])("%p is refused", async (flags, why) => {
  const { code, err } = await cli(["cron", "owners", ...flags]);
  expect([code, err]).toEqual([2, `skein: ${why}\n`]);
});

test("a node that nobody knows, and the last one, cannot be left out", async () => {
  using mesh = served(1);
  const unknown = await cli(["cron", "owners", "--without", "n7"], mesh.env);
  expect([unknown.code, unknown.err]).toEqual([expect.any(Number), expect.stringContaining("there is no node n7")]);
  const last = await cli(["cron", "owners", "--without", "1"], mesh.env);
  expect(last.err).toContain("nobody would be left");
});
