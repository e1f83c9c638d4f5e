import { describe, expect, test } from "bun:test";
import { demonstrate } from "../../scripts/demo-cron.ts";
import { Mesh } from "../../scripts/mesh.ts";
import { limits } from "../../src/lib/limits.ts";
import type { ScheduleView } from "../../src/state/answers.ts";
import { becomes, history, secondsOf, set } from "./schedules.ts";

/** Schedules on the real binary, whose processes are killed. */

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
    const common = { overlap: "allow", job: { driver: "noop" } };
    const policies = ["latest", "all", "skip"] as const;
    const missedMost = 3;
    await set(
      first!,
      ...policies.map((missed) => ({
        ...common,
        name: missed,
        every: "1s",
        missed,
        missed_most: missed === "all" ? missedMost : undefined,
      })),
    );
    for (const name of policies) await becomes(`${name} fires`, async () => (await history(first!, name)).length > 1);
    // The only instant of these comes while nobody is there.
    const onceAt = Math.ceil(Date.now() / 1_000) * 1_000 + 15_000;
    await set(
      first!,
      ...policies.map((missed) => ({ ...common, name: `once-${missed}`, at: new Date(onceAt).toISOString(), missed })),
    );
    await mesh.killEverything();
    expect(Date.now()).toBeLessThan(onceAt);
    // Nothing happens meanwhile: that the mesh is away until even this instant is too late is the situation, which only time makes.
    await Bun.sleep(onceAt + limits.fireLateMs + 1_000 - Date.now());
    const backAt = Date.now();
    await Promise.all(mesh.nodes.map((node) => node.start()));
    for (const name of policies)
      await becomes(
        `${name} goes on`,
        async () => Date.parse((await history(first!, name)).at(-1)!.at) > backAt + 2_000,
      );
    for (const name of policies) {
      const lines = await history(first!, name);
      const seconds = [...secondsOf(lines)];
      expect(new Set(seconds.map(([, what]) => what)), name).toEqual(new Set(["fired", "missed"]));
      const missed = seconds.flatMap(([second, what]) => (what === "missed" ? [second] : []));
      expect((missed.at(-1)! - missed[0]!) / 1_000, `${name}: one piece is missed`).toBe(missed.length - 1);
      // The first entry since has what is no more than 10 s old, which nobody calls late, and what is made up: with "latest" nothing, since newer ones fire.
      const behind = lines.filter(({ at, job }) => job !== undefined && Date.parse(at) > missed.at(-1)!);
      const atOnce = behind.filter(({ fired_at: firedAt }) => firedAt === behind[0]!.fired_at);
      const onTime = limits.fireLateMs / 1_000;
      const madeUp = name === "all" ? missedMost : 0;
      expect([onTime + madeUp, onTime + madeUp + 1], `${name}: ${JSON.stringify(atOnce)}`).toContain(atOnce.length);
    }
    for (const policy of policies) {
      const name = `once-${policy}`;
      await becomes(`${name} is dealt with`, async () => (await history(first!, name)).length > 0);
      const lines = await history(first!, name);
      const at = new Date(onceAt).toISOString();
      if (policy === "skip") expect(lines, name).toEqual([{ at, reason: "missed" }]);
      else {
        expect(lines.length, name).toBe(1);
        expect([lines[0]!.at, lines[0]!.reason], name).toEqual([at, undefined]);
        expect(lines[0]!.lag_ms, name).toBeGreaterThan(limits.fireLateMs);
      }
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
    const schedule = { every: "1s", overlap: "allow", job: { driver: "noop" } };
    await set(node!, { name: "s", ...schedule }, { name: "beside", ...schedule });
    await becomes("it fires", async () => (await history(node!, "s")).length > 1);
    const before = await history(node!, "s");
    await node!.api("POST", "/v1/schedules/s/pause");
    const pausedAt = Date.now();
    await node!.kill();
    await node!.start();
    const view = (await node!.api("GET", "/v1/schedules/s")).body as ScheduleView;
    expect(view).toMatchObject({ paused: true, state: "paused" });
    await becomes("an instant falls into the pause, as one that is not paused shows", async () =>
      (await history(node!, "beside")).some(({ at, job }) => job !== undefined && Date.parse(at) > pausedAt),
    );
    await node!.api("POST", "/v1/schedules/s/resume");
    await becomes(
      "it fires again",
      async () => (await history(node!, "s")).filter(({ job }) => job !== undefined).length > before.length + 1,
    );
    const seconds = secondsOf(await history(node!, "s"));
    expect(new Set(seconds.values())).toEqual(new Set(["fired", "paused"]));
  });
});

describe("skein bench cron", () => {
  test("measures schedules on a mesh, looks each instant up, and leaves none of them behind", async () => {
    await using mesh = await Mesh.start({ nodes: 1 });
    const [node] = mesh.nodes;
    await set(node!, { name: "mine", at: "2199-01-01T00:00:00Z", job: { driver: "noop" } });
    const words = ["--schedules", "30", "--every", "1s", "--seconds", "2"];
    for (const how of [[], ["--spread"]]) {
      const said = await mesh.skein(["bench", "cron", ...words, ...how, "-o", "json"]);
      expect(said.code, said.stderr).toBe(0);
      expect(JSON.parse(said.stdout)).toMatchObject({
        schedules: 30,
        every: "1s",
        spread: how.length === 1,
        fires: 60,
        doubled: 0,
        missed: 0,
        early: 0,
      });
    }
    const { schedules } = (await node!.api("GET", "/v1/schedules")).body as { schedules: ScheduleView[] };
    expect(schedules.map(({ name }) => name)).toEqual(["mine"]);
    const wrong = await mesh.skein(["bench", "cron", "--every", "1s", "--seconds", "3600"]);
    expect([wrong.code, wrong.stderr]).toEqual([
      2,
      expect.stringContaining("3600 instants each are more than the 900"),
    ]);
  });
});
