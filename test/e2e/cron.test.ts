import { describe, expect, test } from "bun:test";
import { demonstrate } from "../../scripts/demo-cron.ts";
import { Mesh } from "../../scripts/mesh.ts";
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
