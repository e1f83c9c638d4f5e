import { describe, expect, test } from "bun:test";
import { demonstrate } from "../../scripts/demo-cron.ts";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import type { FireView, ScheduleView } from "../../src/state/answers.ts";

/** Schedules on the real binary, whose processes are killed. */

async function set(node: MeshNode, ...schedules: Record<string, unknown>[]): Promise<void> {
  const answer = await node.api("POST", "/v1/schedules", { schedules });
  expect(answer.status, JSON.stringify(answer.body)).toBe(201);
}

/** Oldest first. */
async function history(node: MeshNode, name: string): Promise<FireView[]> {
  const { body } = await node.api("GET", `/v1/schedules/${name}/fires?limit=1000`);
  return (body as { fires: FireView[] }).fires.toReversed();
}

/** What becomes true sooner or later, asked again and again. */
async function becomes(what: string, isSo: () => Promise<boolean>): Promise<void> {
  await until(
    async () => ((await isSo()) ? true : undefined),
    patienceMs,
    () => `it never became true that ${what}`,
  );
}

/** Every second between the first and the last line, each told of once. */
function secondsOf(lines: readonly FireView[]): Map<number, string> {
  const seconds = new Map<number, string>();
  for (const { at, count = 1, reason, job } of lines) {
    for (let place = 0; place < count; place++) {
      const second = Date.parse(at) + place * 1_000;
      expect(seconds.has(second), `${at} is told of twice`).toBe(false);
      seconds.set(second, reason ?? (job === undefined ? "nothing" : "fired"));
    }
  }
  const all = [...seconds.keys()];
  for (let at = Math.min(...all); at <= Math.max(...all); at += 1_000) expect(seconds.has(at)).toBe(true);
  return seconds;
}

describe("clustered cron", () => {
  test("three nodes become six and three again while leaders and owners are killed: nothing is doubled, missed or early", async () => {
    const story: string[] = [];
    const { doubled, missed, early, instants, kills } = await demonstrate(18, 40, (line) => story.push(line));
    expect({ doubled, missed, early }, story.join("\n")).toEqual({ doubled: [], missed: [], early: [] });
    expect(kills).toBeGreaterThanOrEqual(7);
    expect(instants).toBeGreaterThan(40 * 18);
  });

  test("a mesh that was down for longer than an interval does with what it missed as each schedule says, and nothing twice", async () => {
    await using mesh = await Mesh.start({ nodes: 3 });
    const [first] = mesh.nodes;
    await mesh.leader({ voters: 3 });
    const schedule = { every: "1s", overlap: "allow", job: { driver: "noop" } };
    const policies = ["latest", "all", "skip"] as const;
    await set(
      first!,
      ...policies.map((missed) => ({
        name: missed,
        missed,
        missed_most: missed === "all" ? 3 : undefined,
        ...schedule,
      })),
    );
    for (const name of policies) await becomes(`${name} fires`, async () => (await history(first!, name)).length > 1);
    await mesh.killEverything();
    const diedAt = Date.now();
    // Longer than what counts as late.
    await becomes("15 s have passed", () => Promise.resolve(Date.now() - diedAt > 15_000));
    await Promise.all(mesh.nodes.map((node) => node.start()));
    const backAt = Date.now();
    for (const name of policies)
      await becomes(
        `${name} goes on`,
        async () => Date.parse((await history(first!, name)).at(-1)!.at) > backAt + 2_000,
      );
    for (const name of policies) {
      const seconds = [...secondsOf(await history(first!, name)).values()];
      expect(seconds.filter((what) => what === "missed").length, name).toBeGreaterThan(0);
      expect(new Set(seconds), name).toEqual(new Set(["fired", "missed"]));
      // What was missed lies in one piece, but for what is made up, and all behind it fires.
      const madeUp = seconds.slice(0, seconds.lastIndexOf("missed")).includes("missed");
      expect(madeUp, name).toBe(true);
    }
  });

  test("a job that outlives its interval keeps the next ones from starting, also under the next leader", async () => {
    await using mesh = await Mesh.start({ nodes: 3 });
    await mesh.leader({ voters: 3 });
    const [first] = mesh.nodes;
    await set(first!, { name: "long", every: "1s", job: { run: "sleep 8" } });
    await becomes("it runs", async () => (await history(first!, "long")).length > 0);
    const leader = await mesh.leader();
    await leader.kill();
    const asked = mesh.nodes.find((node) => node.running)!;
    await becomes("its next job has started", async () => {
      const lines = await history(asked, "long").catch(() => []);
      return lines.filter(({ job }) => job !== undefined).length >= 2;
    });
    const lines = await history(asked, "long");
    const seconds = [...secondsOf(lines).values()];
    expect(seconds.filter((what) => what === "overlap").length).toBeGreaterThan(2);
    const jobs = lines.flatMap(({ job }) => job ?? []);
    const [one, other] = await Promise.all(
      jobs
        .slice(0, 2)
        .map(
          async (job) =>
            (await asked.api("GET", `/v1/jobs/${job}`)).body as { submitted_at: string; finished_at: string | null },
        ),
    );
    expect(Date.parse(one!.finished_at!)).toBeLessThanOrEqual(Date.parse(other!.submitted_at));
  });

  test("a pause and what is dealt with outlive a restart", async () => {
    await using mesh = await Mesh.start({ nodes: 1 });
    const [node] = mesh.nodes;
    await set(node!, { name: "s", every: "1s", overlap: "allow", job: { driver: "noop" } });
    await becomes("it fires", async () => (await history(node!, "s")).length > 1);
    const before = await history(node!, "s");
    await node!.api("POST", "/v1/schedules/s/pause");
    const pausedAt = Date.now();
    await node!.kill();
    await node!.start();
    const view = (await node!.api("GET", "/v1/schedules/s")).body as ScheduleView;
    expect(view).toMatchObject({ paused: true, state: "paused" });
    await becomes("an instant falls into the pause", () => Promise.resolve(Date.now() > pausedAt + 1_000));
    await node!.api("POST", "/v1/schedules/s/resume");
    await becomes(
      "it fires again",
      async () => (await history(node!, "s")).filter(({ job }) => job !== undefined).length > before.length + 1,
    );
    const seconds = secondsOf(await history(node!, "s"));
    expect(new Set(seconds.values())).toEqual(new Set(["fired", "paused"]));
  });
});
