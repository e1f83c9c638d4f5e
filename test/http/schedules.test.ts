import { describe, expect, test } from "bun:test";
import { formatInstant } from "../../src/lib/calendar.ts";
import type { FireView, ScheduleDetailView, ScheduleView, SetScheduleView } from "../../src/state/answers.ts";
import type { Skip, Step } from "../../src/state/firing.ts";
import { limits } from "../../src/lib/limits.ts";
import { jitterOf } from "../../src/state/schedules.ts";
import { scheduleScope } from "../../src/state/tables/schedule-scope.ts";
import { scheduleByName } from "../../src/state/tables/schedule.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { ownLevel } from "../../src/state/levels.ts";
import { announcement } from "../state/support.ts";
import { asking, errorIn, jsonIn, Mesh, viewerToken } from "./fake-node.ts";

const backup = { name: "backup", cron: "30 2 * * *", tz: "Europe/Berlin", job: { run: "backup" } };
const minute = 60_000;

function meshNow(): { mesh: Mesh; ask: ReturnType<typeof asking> } {
  const mesh = new Mesh(3);
  mesh.cluster.now = Date.now();
  return { mesh, ask: asking(mesh.node()) };
}

/** Its owner has come so far: these instants fire, and these are skipped. */
function step(
  mesh: Mesh,
  name: string,
  fires: readonly number[],
  skips: readonly Skip[],
  to: number,
  check: number | null,
): void {
  const { database } = mesh.cluster;
  const { id, revision, watermark } = scheduleByName(database, name)!;
  const one: Step = [id, revision, watermark, to, check, fires, skips];
  const { refused } = mesh.change((cluster) =>
    cluster.must("schedule.step", { scope: scheduleScope(database).scope, steps: [one] }),
  );
  expect(refused).toEqual([]);
}

describe("a schedule", () => {
  test("is set, shown as it was written with every default said, and set again without a change", async () => {
    const { mesh, ask } = meshNow();
    const set = await ask("POST", "/v1/schedules", backup);
    const made = await jsonIn<SetScheduleView>(set);
    expect([set.status, made]).toEqual([
      201,
      { name: "backup", id: 1, revision: expect.any(Number) as number, changed: true },
    ]);

    const view = await jsonIn<ScheduleDetailView>(await ask("GET", "/v1/schedules/backup"));
    expect(view).toEqual({
      ...backup,
      job: { run: "backup" },
      missed: "latest",
      catch_up: "1h",
      overlap: "skip",
      paused: false,
      history: 1000,
      id: 1,
      revision: made.revision,
      state: "active",
      mesh_paused: false,
      runs: 0,
      next: view.upcoming[0]!.at,
      last: null,
      failing: 0,
      set_at: formatInstant(mesh.cluster.now),
      set_by: "anna",
      node: expect.any(Number) as number,
      upcoming: expect.any(Array) as ScheduleDetailView["upcoming"],
    });
    expect(view.upcoming).toHaveLength(5);
    for (const { local } of view.upcoming) expect(local).toContain("02:30");
    expect(await jsonIn(await ask("GET", "/v1/schedules/1"))).toMatchObject({ name: "backup" });

    const { name, cron, tz, missed, catch_up, overlap, paused, history, job } = view;
    const again = await ask("POST", "/v1/schedules", {
      name,
      cron,
      tz,
      missed,
      catch_up,
      overlap,
      paused,
      history,
      job,
    });
    expect([again.status, await jsonIn(again)]).toMatchObject([200, { revision: made.revision, changed: false }]);
  });

  test("says everything that it was given, and takes that back", async () => {
    const { mesh, ask } = meshNow();
    mesh.change((cluster) =>
      cluster.must("template.set", { name: "t", parameters: { a: { type: "number" } }, spec: { run: "x" } }),
    );
    const full = [
      {
        name: "full",
        description: "all of it",
        every: "1m30s",
        tz: "UTC",
        start: "2020-01-01T00:00:00.000Z",
        end: "2099-01-01T00:00:00.000Z",
        jitter: "10s",
        missed: "all",
        catch_up: "2h",
        missed_most: 7,
        overlap: "queue",
        paused: true,
        limit: 5,
        labels: { team: "docs" },
        tags: ["night", "db"],
        owner: "anna",
        history: 50,
        job: { run: ["a", "b"], env: { A: "1" }, targets: ["web[1-3]"], timeout: "1m", labels: { x: "y" } },
      },
      { name: "once", at: "2098-01-01T00:00:00.000Z", template: "t", params: { a: 1 } },
    ];
    const set = await jsonIn<{ schedules: { changed: boolean }[] }>(
      await ask("POST", "/v1/schedules", { schedules: full }),
    );
    expect(set.schedules.map(({ changed }) => changed)).toEqual([true, true]);
    for (const one of full) {
      const view = await jsonIn<Record<string, unknown>>(await ask("GET", `/v1/schedules/${one.name}`));
      expect(view).toMatchObject(one);
      const keys = new Set(["id", "revision", "state", "mesh_paused", "runs", "next", "last", "failing", "set_at"]);
      const written = Object.entries(view).filter(
        ([key]) => !keys.has(key) && !["no_next", "set_by", "node", "upcoming", "upcoming_end"].includes(key),
      );
      const again = await ask("POST", "/v1/schedules", Object.fromEntries(written));
      expect(await jsonIn(again)).toMatchObject({ changed: false });
    }
  });

  test("that is paused has no next instant, and goes on when it is resumed; the whole mesh alike", async () => {
    const { ask } = meshNow();
    await ask("POST", "/v1/schedules", { schedules: [backup, { ...backup, name: "other" }] });
    const view = async (): Promise<ScheduleDetailView> => jsonIn(await ask("GET", "/v1/schedules/backup"));
    expect(await jsonIn(await ask("POST", "/v1/schedules/backup/pause", {}))).toEqual({ changed: 1 });
    const byItself = { reason: "paused", message: "it is paused" };
    expect(await view()).toMatchObject({ state: "paused", paused: true, next: null, no_next: byItself, upcoming: [] });
    const both = { names: ["backup", "other"] };
    expect(await jsonIn(await ask("POST", "/v1/schedules/pause", both))).toEqual({ changed: 1 });
    expect(await jsonIn(await ask("POST", "/v1/schedules/resume", both))).toEqual({ changed: 2 });
    expect(await view()).toMatchObject({ state: "active", paused: false });

    expect(await jsonIn(await ask("POST", "/v1/schedules-pause", { paused: true }))).toEqual({ changed: true });
    expect(await view()).toMatchObject({ state: "paused", paused: false, mesh_paused: true, next: null });
    expect((await view()).no_next!.message).toBe("all schedules are paused");
    await ask("POST", "/v1/schedules-pause", { paused: false });
    expect(await jsonIn(await ask("POST", "/v1/schedules/backup/resume", {}))).toEqual({ changed: 0 });
    expect((await view()).next).not.toBeNull();
    expect((await view()).no_next).toBeUndefined();
  });

  test("that its calendars keep shut for long fires next where they let it, and says how far was looked where nothing was found", async () => {
    const { ask } = meshNow();
    const year = new Date().getUTCFullYear() + 3;
    const span = { from: `${year}-01-01T00:00:00Z`, to: `${year}-01-01T00:00:30Z` };
    await ask("POST", "/v1/calendars", { name: "far", spans: [span] });
    await ask("POST", "/v1/calendars", { name: "hours", windows: [{ cron: "0 9 * * *", for: "8h" }] });
    const job = { run: "x" };
    await ask("POST", "/v1/schedules", {
      schedules: [
        { name: "far", every: "10s", calendars: ["only:far"], job },
        { name: "night", cron: "0 3 * * *", calendars: ["only:hours"], job },
      ],
    });
    const { schedules } = await jsonIn<{ schedules: ScheduleView[] }>(await ask("GET", "/v1/schedules"));
    const [far, night] = schedules;
    expect([far!.next, far!.no_next]).toEqual([`${year}-01-01T00:00:00.000Z`, undefined]);
    expect([night!.next, night!.no_next!.reason]).toEqual([null, "far"]);
    const alone = await jsonIn<ScheduleDetailView>(await ask("GET", "/v1/schedules/far"));
    expect([alone.upcoming.length, alone.upcoming_end!.reason]).toEqual([3, "shut"]);
    const looked = await jsonIn<ScheduleDetailView>(await ask("GET", "/v1/schedules/night"));
    expect([looked.next, looked.upcoming, looked.upcoming_end]).toEqual([null, [], undefined]);
    expect(Date.parse(looked.no_next!.looked_until!)).toBeGreaterThan(Date.parse(night!.no_next!.looked_until!));
  });

  test("is forgotten, alone or with others, all or none", async () => {
    const { ask } = meshNow();
    await ask("POST", "/v1/schedules", { schedules: ["a", "b", "c"].map((name) => ({ ...backup, name })) });
    const refused = await errorIn(await ask("POST", "/v1/schedules/remove", { names: ["a", "nobody"] }));
    expect([refused.status, refused.message]).toEqual([404, expect.stringContaining("nobody")]);
    expect(await jsonIn(await ask("POST", "/v1/schedules/remove", { names: ["a", "b"] }))).toEqual({ removed: 2 });
    expect(await jsonIn(await ask("DELETE", "/v1/schedules/c"))).toEqual({ removed: 1 });
    expect(await jsonIn(await ask("GET", "/v1/schedules"))).toEqual({ schedules: [] });
  });

  test("with only_new is refused where it is there", async () => {
    const { ask } = meshNow();
    expect((await ask("POST", "/v1/schedules?only_new=true", backup)).status).toBe(201);
    const error = await errorIn(await ask("POST", "/v1/schedules?only_new=true", { ...backup, cron: "@daily" }));
    expect([error.status, error.details.map(({ path }) => path)]).toEqual([409, ["name"]]);
    const query = await errorIn(await ask("POST", "/v1/schedules?only_new=perhaps", backup));
    expect([query.status, query.details.map(({ path }) => path)]).toEqual([422, ["only_new"]]);
  });

  test("with six mistakes has each told with its path, alone and among others", async () => {
    const { ask } = meshNow();
    const wrong = {
      name: "-x",
      cron: "0 0 30 2 *",
      tz: "Mars/Olympus",
      jitter: "soon",
      overlap: "maybe",
      limit: 0,
      job: { run: "x", tiemout: "1m", after: [1], env: { SKEIN_FIRE_AT: "now", SKEIN_OTHER: "x" } },
    };
    const paths = [
      "name",
      "cron",
      "tz",
      "jitter",
      "overlap",
      "limit",
      "job.tiemout",
      "job.after",
      "job.env.SKEIN_FIRE_AT",
    ];
    const one = await errorIn(await ask("POST", "/v1/schedules", wrong));
    expect([one.status, one.details.map(({ path }) => path).toSorted()]).toEqual([422, paths.toSorted()]);
    const many = await errorIn(await ask("POST", "/v1/schedules", { schedules: [backup, wrong] }));
    expect(many.details.map(({ path }) => path).toSorted()).toEqual(
      paths.map((path) => `schedules[1].${path}`).toSorted(),
    );
    // What only the state can tell.
    const gone = await errorIn(await ask("POST", "/v1/schedules", { name: "t", every: "1m", template: "gone" }));
    expect([gone.status, gone.details.map(({ path }) => path)]).toEqual([422, ["template"]]);
    expect(await jsonIn(await ask("GET", "/v1/schedules"))).toEqual({ schedules: [] });
  });

  test("has what only the state can tell told together with the rest, of one that cannot be read too", async () => {
    const { ask } = meshNow();
    const wrong = { name: "a", cron: "0 0 30 2 *", template: "gone", calendars: ["holidays", "only:hours", "no name"] };
    const one = await errorIn(await ask("POST", "/v1/schedules", wrong));
    expect([one.status, one.details.map(({ path }) => path).toSorted()]).toEqual([
      422,
      ["calendars[0]", "calendars[1]", "calendars[2]", "cron", "template"],
    ]);
    const job = { run: "x", env: { A: { secret: "none" } }, timeout: "1m" };
    const schedules = [
      { name: "b", every: "1m", template: "gone" },
      { name: "c", every: "1ms", job },
      { name: "d", every: "1m", job: { run: "x", bundle: "nosuch", targets: ["web1", "web[01-"] } },
      { name: "e", every: "1m", at: "2020-01-01T00:00:00Z", job: { rnu: "x" } },
    ];
    const many = await errorIn(await ask("POST", "/v1/schedules", { schedules }));
    expect(many.details.map(({ path }) => path)).toEqual([
      "schedules[0].template",
      "schedules[1].every",
      "schedules[1].job.env.A",
      "schedules[2].job.bundle",
      "schedules[2].job.targets[1]",
      "schedules[3].at",
      "schedules[3].job.rnu",
      "schedules[3].job.run",
    ]);
    expect(await jsonIn(await ask("GET", "/v1/schedules"))).toEqual({ schedules: [] });
    // What may come later is no mistake.
    const later = { name: "l", every: "1m", job: { run: "x", targets: ["@noinv,web[1-3]!os=debian"] } };
    expect((await ask("POST", "/v1/schedules", later)).status).toBe(201);
  });

  test("of a template has its params, and what that makes of them, looked at when it is set", async () => {
    const { ask } = meshNow();
    const parameters = { n: { type: "number" }, on: { default: "web1" }, b: { default: "" } };
    const spec = { run: "echo {{n}}", targets: "{{on}}", env: { A: { secret: "none" } } };
    await ask("POST", "/v1/templates", { name: "t", parameters, spec });
    const plain = { ...spec, env: {} };
    await ask("POST", "/v1/templates", { name: "p", parameters, spec: plain });
    const said = async (template: string, params?: object): Promise<(readonly [string, string])[]> => {
      const asked = await ask("POST", "/v1/schedules", { name: "s", every: "1m", template, params });
      if (asked.status === 201) return [];
      return (await errorIn(asked)).details.map(({ path, message }) => [path, message] as const);
    };
    expect(await said("p")).toEqual([["params.n", "is required"]]);
    expect(await said("p", { n: "abc", zzz: 1 })).toEqual([
      ["params.zzz", "the template has no such parameter"],
      ["params.n", "must be a number"],
    ]);
    expect(await said("p", { n: 1, on: "web[01-" })).toEqual([
      ["template", expect.stringMatching(/^what p@1 makes of these params: targets\[0\]: missing bracket/) as string],
    ]);
    expect(await said("t", { n: 1 })).toEqual([
      ["template", expect.stringContaining("env.A: there is no secret none") as string],
    ]);
    expect(await jsonIn(await ask("GET", "/v1/schedules"))).toEqual({ schedules: [] });
    expect(await said("p", { n: "3", on: "@noinv" })).toEqual([]);
    // It is as it was, whatever became of its template.
    await ask("DELETE", "/v1/templates/p");
    const again = { name: "s", every: "1m", template: "p", params: { n: "3", on: "@noinv" } };
    expect((await ask("POST", "/v1/schedules", again)).status).toBe(200);
  });

  test("whose expression has no run any more is refused", async () => {
    const { ask } = meshNow();
    const years = { name: "z", cron: "0 0 0 1 1 * 2020", job: { run: "x" } };
    const past = await errorIn(await ask("POST", "/v1/schedules", years));
    expect([past.status, past.details]).toEqual([
      422,
      [{ path: "cron", message: "has no run any more: it would never fire" }],
    ]);
    expect((await ask("POST", "/v1/schedules", { ...years, cron: "0 0 0 1 1 * 2020,2098" })).status).toBe(201);
    const short = { ...years, cron: "0 0 0 1 1 * 2020,2098", end: "2097-01-01T00:00:00Z" };
    expect((await errorIn(await ask("POST", "/v1/schedules", short))).details).toEqual([
      { path: "cron", message: "has no run any more before end: it would never fire" },
    ]);
  });

  test("among so many wrong ones that the rest is not worth a look says so", async () => {
    const { ask } = meshNow();
    const wrong = { cron: "x", tz: "x", job: { rnu: 1 } };
    const error = await errorIn(
      await ask("POST", "/v1/schedules", { schedules: Array.from({ length: 1_000 }, () => wrong) }),
    );
    expect(error.status).toBe(422);
    expect(error.details.length).toBeLessThan(limits.problemsPerRequest + 10);
    expect(error.details.at(-1)!.message).toContain("not looked at");
  });

  test("says what daylight saving does to the instants to come", async () => {
    const { ask } = meshNow();
    // The clocks of Berlin go forward on 28 March 2027, at 2:00.
    await ask("POST", "/v1/schedules", { ...backup, start: "2027-03-27T00:00:00Z", jitter: "10m" });
    const { upcoming } = await jsonIn<ScheduleDetailView>(await ask("GET", "/v1/schedules/backup"));
    const jitter = jitterOf("backup", 10 * minute);
    expect(upcoming.slice(0, 3)).toEqual([
      { ...upcoming[0]!, at: "2027-03-27T01:30:00.000Z", local: expect.stringContaining("02:30") as string },
      { ...upcoming[1]!, local: expect.stringContaining("03:") as string, note: expect.any(String) as string },
      { ...upcoming[2]!, at: "2027-03-29T00:30:00.000Z", local: expect.stringContaining("02:30") as string },
    ]);
    expect(upcoming[0]!.note).toBeUndefined();
    expect(upcoming[0]!.due).toBe(formatInstant(Date.UTC(2027, 2, 27, 1, 30) + jitter));
  });

  test("that is unknown is 404, however it is asked for", async () => {
    const { ask } = meshNow();
    for (const [method, path] of [
      ["GET", ""],
      ["GET", "/fires"],
      ["DELETE", ""],
      ["POST", "/pause"],
      ["POST", "/resume"],
      ["POST", "/fire"],
    ] as const) {
      const error = await errorIn(await ask(method, `/v1/schedules/nobody${path}`, method === "POST" ? {} : undefined));
      expect([path, error.status, error.message]).toEqual([path, 404, expect.stringContaining("nobody")]);
    }
  });

  test("is looked at by viewers, and changed by operators", async () => {
    const { ask } = meshNow();
    await ask("POST", "/v1/schedules", backup);
    const asViewer = { authorization: `Bearer ${viewerToken}` };
    const view = (method: string, path: string, body?: object) => ask(method, path, body, asViewer);
    for (const path of ["", "/backup", "/backup/fires"])
      expect((await view("GET", `/v1/schedules${path}`)).status).toBe(200);
    expect((await view("POST", "/v1/schedules/backup/fire", {})).status).toBe(403);
    expect((await view("POST", "/v1/schedules", backup)).status).toBe(403);
  });
});

describe("a list of schedules", () => {
  test("is by name, page by page, each once, and without jobs", async () => {
    const { ask } = meshNow();
    const names = Array.from({ length: 7 }, (_, at) => `s${at}`);
    await ask("POST", "/v1/schedules", { schedules: names.toReversed().map((name) => ({ ...backup, name })) });
    const seen: string[] = [];
    let next: string | undefined;
    do {
      const page = await jsonIn<{ schedules: ScheduleView[]; next?: string }>(
        await ask("GET", `/v1/schedules?limit=3${next === undefined ? "" : `&next=${next}`}`),
      );
      for (const schedule of page.schedules) {
        expect(schedule.job).toBeUndefined();
        seen.push(schedule.name);
      }
      next = page.next;
    } while (next !== undefined);
    expect(seen).toEqual(names);
  });

  test("has their jobs where these are asked for, on pages that weigh no more than others", async () => {
    const { ask } = meshNow();
    const large = { run: "x".repeat(Math.floor(limits.scheduleBytes * 0.9)) };
    const names = Array.from({ length: 20 }, (_, at) => `s${String(at).padStart(2, "0")}`);
    for (const name of names) await ask("POST", "/v1/schedules", { ...backup, name, job: large });
    type Page = { schedules: ScheduleView[]; next?: string };
    for (const query of ["jobs=true&limit=1000", `jobs=true&limit=1000&names=${names.toReversed().join()}`]) {
      const seen: string[] = [];
      for (let next = ""; ;) {
        const answer = await ask("GET", `/v1/schedules?${query}${next}`);
        expect((await answer.clone().arrayBuffer()).byteLength).toBeLessThan(1.1 * limits.pageBytes);
        const page = await jsonIn<Page>(answer);
        seen.push(...page.schedules.map(({ name }) => name));
        expect(page.schedules[0]!.job).toEqual(large);
        if (page.next === undefined) break;
        next = `&next=${page.next}`;
      }
      expect(seen).toEqual(names);
    }
    const some = await jsonIn<Page>(await ask("GET", "/v1/schedules?names=s03,nobody,s01,s03"));
    expect(some.schedules.map(({ name, job }) => [name, job])).toEqual([
      ["s01", undefined],
      ["s03", undefined],
    ]);
    const many = Array.from({ length: limits.schedulesNamed + 1 }, (_, at) => `a${at}`);
    for (const wrong of [many.join(), "s01,a%20b"])
      expect((await errorIn(await ask("GET", `/v1/schedules?names=${wrong}`))).details[0]!.path).toBe("names");
  });

  test("is of those that fit", async () => {
    const { mesh, ask } = meshNow();
    await ask("POST", "/v1/schedules", {
      schedules: [
        { ...backup, name: "db-1", labels: { team: "db" }, tags: ["night"] },
        { ...backup, name: "db-2", labels: { team: "db" }, paused: true },
        { ...backup, name: "db", every: "1m", cron: undefined },
        { ...backup, name: "dc" },
      ],
    });
    const t = mesh.cluster.now;
    mesh.cluster.now = t + minute;
    const at = Math.floor(mesh.cluster.now / minute) * minute;
    step(mesh, "db", [at], [], at, at + minute);
    mesh.change((cluster) => cluster.assign(1, 1, [0, 1]));
    mesh.change((cluster) => cluster.finish(1, 0, 1, 1, "failed"));
    step(mesh, "dc", [], [], t + 1, null);
    const found = async (query: string): Promise<string[]> =>
      (await jsonIn<{ schedules: ScheduleView[] }>(await ask("GET", `/v1/schedules?${query}`))).schedules.map(
        ({ name }) => name,
      );
    expect(await found("name=db")).toEqual(["db", "db-1", "db-2"]);
    expect(await found("name=db-")).toEqual(["db-1", "db-2"]);
    expect(await found("name=x")).toEqual([]);
    expect(await found("label=team%3Ddb&state=active")).toEqual(["db-1"]);
    expect(await found("tag=night")).toEqual(["db-1"]);
    expect(await found("state=paused")).toEqual(["db-2"]);
    expect(await found("state=ended")).toEqual(["dc"]);
    expect(await found("failing=true")).toEqual(["db"]);
    expect(await found("failing=false&name=db")).toEqual(["db-1", "db-2"]);
    expect(await found("name=db&limit=1&state=paused")).toEqual(["db-2"]);
  });

  test.each([
    [
      "state=asleep&limit=0&label=%3D&failing=often&name=a%20b&consistency=maybe",
      "state limit label failing name consistency",
    ],
    ["sate=active", "sate"],
  ])("is refused with every mistake: %s", async (query, paths) => {
    const error = await errorIn(await meshNow().ask("GET", `/v1/schedules?${query}`));
    expect([error.status, error.details.map(({ path }) => path).toSorted()]).toEqual([
      422,
      paths.split(" ").toSorted(),
    ]);
  });
});

describe("the history of a schedule", () => {
  test("tells what each instant came to, newest first, and the jobs tell where they are from", async () => {
    const { mesh, ask } = meshNow();
    const { cluster } = mesh;
    await ask("POST", "/v1/schedules", {
      name: "m",
      every: "1m",
      jitter: "10s",
      overlap: "skip",
      job: { run: "x" },
    });
    const first = Math.floor(cluster.now / minute) * minute + minute;
    const jitter = jitterOf("m", 10_000);
    cluster.now = first + 9 * minute + jitter + 1_500;
    const skips: Skip[] = [
      ["missed", first, first + 4 * minute, -5],
      ["window", first + 5 * minute, first + 8 * minute, 4],
    ];
    step(mesh, "m", [first + 9 * minute], skips, first + 9 * minute, first + 10 * minute + jitter);
    cluster.now = first + 10 * minute + jitter;
    step(mesh, "m", [first + 10 * minute], [], first + 10 * minute, first + 11 * minute + jitter);

    const fires = async (query = ""): Promise<{ fires: FireView[]; next?: string }> =>
      jsonIn(await ask("GET", `/v1/schedules/m/fires${query}`));
    const at = (minutes: number): string => formatInstant(first + minutes * minute);
    expect(await fires()).toEqual({
      fires: [
        { at: at(10), reason: "overlap" },
        {
          at: at(9),
          fired_at: formatInstant(first + 9 * minute + jitter + 1_500),
          lag_ms: 1_500,
          job: 1,
          state: "queued",
        },
        { at: at(5), until: at(8), count: 4, reason: "window" },
        { at: at(0), until: at(4), count: 5, at_least: true, reason: "missed" },
      ],
    });
    expect((await fires("?reason=fired")).fires.map(({ job }) => job)).toEqual([1]);
    const paged = await fires("?limit=3");
    expect((await fires(`?limit=3&next=${paged.next}`)).fires).toMatchObject([{ reason: "missed" }]);

    const job = await jsonIn<Record<string, unknown>>(await ask("GET", "/v1/jobs/1"));
    expect(job).toMatchObject({ schedule: "m", fire_at: at(9), submitted_by: "anna" });
    expect(job["at"]).toBeUndefined();
    mesh.change(() => cluster.submit());
    expect(await jsonIn(await ask("GET", "/v1/jobs?schedule=m"))).toMatchObject({ jobs: [{ id: 1 }] });
    expect(await jsonIn(await ask("GET", "/v1/jobs?schedule=other"))).toEqual({ jobs: [] });

    mesh.change(() => cluster.assign(1, 1, [0, 1]));
    expect((await fires("?reason=fired")).fires).toMatchObject([{ state: "running" }]);
    mesh.change(() => cluster.finish(1, 0, 1, 1, "failed"));
    expect((await fires("?reason=fired")).fires).toMatchObject([{ state: "failed" }]);
    expect(await jsonIn(await ask("GET", "/v1/schedules/m"))).toMatchObject({
      failing: 1,
      runs: 1,
      last: { at: at(9), job: 1, state: "failed" },
      next: formatInstant(first + 11 * minute + jitter),
    });

    const wrong = await errorIn(await ask("GET", "/v1/schedules/m/fires?reason=bored&limit=-1&next=x"));
    expect([wrong.status, wrong.details.map(({ path }) => path)]).toEqual([422, ["reason", "limit", "next"]]);
  });

  test("and events and figures tell it too", async () => {
    const { mesh, ask } = meshNow();
    const { cluster } = mesh;
    const from = mesh.node().applied;
    await ask("POST", "/v1/schedules", { name: "m", every: "1m", job: { run: "x" } });
    const first = Math.floor(cluster.now / minute) * minute + minute;
    cluster.now = first + 2 * minute + 250;
    step(
      mesh,
      "m",
      [first + 2 * minute],
      [["missed", first, first + minute, -2]],
      first + 2 * minute,
      first + 3 * minute,
    );
    await ask("POST", "/v1/schedules/m/pause", {});
    await ask("POST", "/v1/schedules-pause", { paused: true });

    const stream = await ask("GET", `/v1/events?topic=schedule&from=${from}`);
    const reader = stream.body!.getReader();
    let text = "";
    while (!text.includes("all-paused")) text += new TextDecoder().decode((await reader.read()).value);
    await reader.cancel();
    const told = [...text.matchAll(/^data: (.*)$/gm)].map(([, line]) => JSON.parse(line!) as Record<string, unknown>);
    expect(told).toMatchObject([
      { kind: "set", name: "m" },
      {
        kind: "skipped",
        name: "m",
        at: formatInstant(first),
        until: formatInstant(first + minute),
        count: 2,
        at_least: true,
        reason: "missed",
      },
      { kind: "fired", name: "m", at: formatInstant(first + 2 * minute), job: 1, lag_ms: 250 },
      { kind: "paused", name: "m" },
      { kind: "all-paused" },
    ]);

    for (const [node, zones] of [
      [1, "2026a 1f"],
      [2, "2026b 2e"],
    ] as const)
      mesh.change(() =>
        cluster.must("node.seen", { node: nodeId(node), ...announcement(node), level: ownLevel, zones }),
      );
    const lines = (await (await ask("GET", "/metrics")).text()).split("\n");
    for (const line of [
      "skein_schedules 1",
      'skein_schedules_paused{all="true"} 1',
      "skein_fires_total 1",
      'skein_fires_skipped_total{reason="missed"} 2',
      'skein_schedule_steps_refused_total{why="early"} 3',
      "skein_zone_data_versions 2",
      "skein_clock_difference_seconds -0.12",
      'skein_fires_skipped_total{reason="overlap"} 0',
      "# TYPE skein_fire_lag_seconds histogram",
      'skein_fire_lag_seconds_bucket{le="1"} 2',
      'skein_fire_lag_seconds_bucket{le="+Inf"} 3',
      "skein_fire_lag_seconds_count 3",
    ])
      expect(lines).toContain(line);
  });
});

describe("a schedule whose job cannot be made", () => {
  test("is failing, and says so as its last result, until a job of it succeeds", async () => {
    const { mesh, ask } = meshNow();
    const { cluster } = mesh;
    await ask("POST", "/v1/templates", { name: "t", spec: { run: "x" } });
    await ask("POST", "/v1/schedules", { name: "s", every: "1m", template: "t" });
    const first = Math.floor(cluster.now / minute) * minute + minute;
    cluster.now = first + 2 * minute;
    const why = { why: "there is no template t any more" };
    const { id, revision, watermark } = scheduleByName(cluster.database, "s")!;
    const to = first + minute;
    const steps: Step[] = [[id, revision, watermark, to, to + minute, [first, to], [], [why, why]]];
    mesh.change((on) => on.must("schedule.step", { scope: scheduleScope(on.database).scope, steps }));
    const failing = async (): Promise<[number, ScheduleView["last"]][]> => {
      const { schedules } = await jsonIn<{ schedules: ScheduleView[] }>(await ask("GET", "/v1/schedules?failing=true"));
      return schedules.map((one) => [one.failing, one.last]);
    };
    const refused = { at: formatInstant(to), job: null, state: "refused" };
    expect(await failing()).toEqual([[2, refused]]);
    await ask("POST", "/v1/schedules/s/fire", {});
    expect(await failing()).toMatchObject([[2, { job: 1, state: "queued" }]]);
    mesh.change((on) => on.assign(1, 1, [0, 1]));
    mesh.change((on) => on.finish(1, 0, 1, 1, "succeeded"));
    expect(await failing()).toEqual([]);
  });
});

describe("a schedule that somebody fires", () => {
  test("makes a job at once, but not beside another one unless it is forced", async () => {
    const { ask } = meshNow();
    await ask("POST", "/v1/schedules", { ...backup, paused: true });
    const fired = await ask("POST", "/v1/schedules/backup/fire", {});
    expect([fired.status, await jsonIn(fired)]).toEqual([201, { name: "backup", job: 1 }]);
    const error = await errorIn(await ask("POST", "/v1/schedules/backup/fire", {}));
    expect([error.status, error.message]).toEqual([409, expect.stringContaining("job 1")]);
    expect(await jsonIn(await ask("POST", "/v1/schedules/1/fire", { force: true }))).toEqual({
      name: "backup",
      job: 2,
    });
    const { fires } = await jsonIn<{ fires: FireView[] }>(await ask("GET", "/v1/schedules/backup/fires"));
    expect(fires.map(({ job, message, lag_ms: lag }) => [job, message, lag])).toEqual([
      [2, "by anna", 0],
      [1, "by anna", 0],
    ]);
    const wrong = await errorIn(await ask("POST", "/v1/schedules/backup/fire", { force: "yes", why: 1 }));
    expect(wrong.details.map(({ path }) => path)).toEqual(["force", "why"]);
  });

  test("under a key is fired once, whatever becomes of it meanwhile, and another request is refused", async () => {
    const { ask } = meshNow();
    await ask("POST", "/v1/templates", { name: "t", spec: { run: "x" } });
    for (const one of [{ job: { run: "x" } }, { template: "t" }]) {
      const name = "job" in one ? "plain" : "made";
      await ask("POST", "/v1/schedules", { name, every: "1h", limit: 1, ...one });
      const fire = (key: string, body: object = {}) =>
        ask("POST", `/v1/schedules/${name}/fire`, body, { "idempotency-key": key });
      const first = await fire(`${name}-a`);
      const made = await jsonIn<{ name: string; job: number }>(first);
      expect([first.status, made.name]).toEqual([201, name]);
      const again = await fire(`${name}-a`);
      expect([again.status, await jsonIn(again)]).toEqual([200, made]);
      expect((await errorIn(await fire(`${name}-a`, { force: true }))).status).toBe(409);
      expect(await jsonIn(await fire(`${name}-b`, { force: true }))).toEqual({ name, job: made.job + 1 });
      // What somebody asks for is no run of the schedule.
      expect(await jsonIn(await ask("GET", `/v1/schedules/${name}`))).toMatchObject({ runs: 0, state: "active" });
      await ask("DELETE", `/v1/schedules/${name}`);
      const gone = await fire(`${name}-a`);
      expect([gone.status, await jsonIn(gone)]).toEqual([200, made]);
    }
    const long = await errorIn(
      await ask(
        "POST",
        "/v1/schedules/plain/fire",
        {},
        { "idempotency-key": "k".repeat(limits.idempotencyKeyLength + 1) },
      ),
    );
    expect([long.status, long.details.map(({ path }) => path)]).toEqual([422, ["Idempotency-Key"]]);
  });

  test("of a template takes it as it is now, and says so when it is gone", async () => {
    const { mesh, ask } = meshNow();
    const template = { name: "t", parameters: { x: {} }, spec: { name: "of {{x}}", run: ["echo", "{{x}}"] } };
    await ask("POST", "/v1/templates", template);
    await ask("POST", "/v1/schedules", { name: "s", every: "1h", template: "t", params: { x: "this" } });
    expect(await jsonIn(await ask("POST", "/v1/schedules/s/fire", {}))).toEqual({ name: "s", job: 1 });
    expect(mesh.cluster.job(1)).toMatchObject({
      name: "of this",
      schedule: "s",
      template: "t@1",
      spec: { env: { SKEIN_SCHEDULE: "s" } },
    });
    await ask("DELETE", "/v1/templates/t");
    const error = await errorIn(await ask("POST", "/v1/schedules/s/fire", { force: true }));
    expect([error.status, error.message]).toEqual([409, expect.stringContaining("there is no template t any more")]);
  });
});
