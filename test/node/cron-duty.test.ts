import { afterEach, describe, expect, test } from "bun:test";
import { type NodeId, nodeId } from "../../src/lib/ids.ts";
import { monotonicMs } from "../../src/lib/clock.ts";
import { limits } from "../../src/lib/limits.ts";
import { accept, refuse } from "../../src/lib/outcome.ts";
import { CronDuty, type CronDutyPorts } from "../../src/node/cron-duty.ts";
import { makeScheduledJob } from "../../src/node/schedule-jobs.ts";
import { liveMembers, Owners } from "../../src/scheduler/owners.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { linesOf } from "../../src/state/commands/schedule-step.ts";
import type { MadeJob, Step, StepRefusal } from "../../src/state/firing.ts";
import { listNodes, totals } from "../../src/state/queries.ts";
import { firesBefore, scheduleTotals, type StoredFire } from "../../src/state/tables/schedule-fire.ts";
import { scheduleByName } from "../../src/state/tables/schedule.ts";
import { ownLevel } from "../../src/state/levels.ts";
import type { AppliedEvent } from "../../src/node/api.ts";
import { admin, announcement, Cluster } from "../state/support.ts";

/** Members that work out schedules against one real state: the leader's clock is this host's, theirs may be others. */

interface MemberOptions {
  /** How far its clock is ahead: one that a test sets. */
  readonly clock?: { aheadMs: number };
  readonly aheadMs?: number;
  readonly leads?: boolean;
  /** The same, where it changes. */
  readonly role?: { leads: boolean };
  /** It looks by itself so often. */
  readonly lookMs?: number;
  readonly silent?: readonly number[];
  /** Says no to what is proposed, so many times. */
  readonly busy?: { left: number };
  /** So many unfinished jobs there may be. */
  readonly bound?: { jobs: number };
  /** Nothing that is proposed is answered before. */
  readonly answers?: Promise<void>;
  readonly makeJob?: CronDutyPorts["makeJob"];
  /** Steps of these schedules are not taken. */
  readonly refusals?: ReadonlyMap<number, StepRefusal>;
}

const started: CronDuty[] = [];
afterEach(() => {
  for (const duty of started.splice(0)) duty.stop();
});

function member(
  on: Cluster,
  id: number,
  {
    aheadMs = 0,
    clock = { aheadMs },
    leads = false,
    role = { leads },
    silent = [],
    busy,
    bound,
    answers,
    lookMs,
    makeJob,
    refusals,
  }: MemberOptions = {},
) {
  const proposed: Step[][] = [];
  const refused: string[] = [];
  const underWay = { lines: 0, most: 0, looks: 0 };
  const logged: string[] = [];
  const ports: CronDutyPorts = {
    self: nodeId(id),
    now: () => Date.now() + clock.aheadMs,
    isLeading: () => role.leads,
    silent: () => (role.leads ? silent.map((one) => nodeId(one)) : undefined),
    takesPart: () => true,
    view: (query) => {
      underWay.looks += 1;
      return query(on.database);
    },
    makeJob: makeJob ?? ((row, at) => makeScheduledJob(row, at, (query) => query(on.database))),
    propose: async (name, input) => {
      proposed.push([...input.steps]);
      const lines = input.steps.reduce((sum, step) => sum + linesOf(step), 0);
      underWay.lines += lines;
      underWay.most = Math.max(underWay.most, underWay.lines);
      await (answers ?? Promise.resolve());
      underWay.lines -= lines;
      const room = (bound?.jobs ?? Infinity) - totals(on.database).jobsUnfinished;
      if (commandByName(name).adds!(input) > Math.max(0, room))
        return refuse("busy", "there is no room", { limit: "jobs" });
      if (busy !== undefined && busy.left > 0) {
        busy.left -= 1;
        return refuse("busy", "there is no room");
      }
      if (!commandByName(name).input.safeParse(input).success) return refuse("invalid", "it has no such form");
      on.now = Date.now();
      if (refusals !== undefined) {
        const all = input.steps.map(([schedule], position) => [position, refusals.get(schedule) ?? "gone"] as const);
        return accept({ value: { refused: all, stampedAt: on.now } as never, index: 0 });
      }
      const value = on.must(name, input);
      refused.push(...value.refused.map(([, why]) => why));
      return accept({ value, index: on.log.length });
    },
    log: (level, message) => logged.push(`${level}: ${message}`),
  };
  const duty = new CronDuty(ports, lookMs);
  started.push(duty);
  duty.start();
  return { duty, proposed, refused, logged, underWay };
}

function cluster(nodes: number): Cluster {
  const on = Cluster.ofNewest(nodes);
  on.now = Date.now();
  return on;
}

function set(on: Cluster, ...schedules: Record<string, unknown>[]): void {
  const whole = schedules.map((one) => ({ every: "1s", overlap: "allow", job: { driver: "noop" }, ...one }));
  on.now = Date.now();
  on.must("schedule.set", commandByName("schedule.set").input.parse({ schedules: whole }), admin);
}

function fires(on: Cluster, name = "s"): StoredFire[] {
  const { id } = scheduleByName(on.database, name)!;
  return firesBefore(on.database, id, Number.MAX_SAFE_INTEGER, 10_000).toReversed();
}

function ownerOf(on: Cluster, name: string): NodeId | undefined {
  return new Owners(liveMembers(listNodes(on.database))).of(scheduleByName(on.database, name)!.id);
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** So many seconds in a row, from the first on, each once. */
function expectEach(lines: readonly StoredFire[]): void {
  expect(lines.map(({ reason }) => reason)).toEqual(lines.map(() => null));
  expect(lines.map(({ at }) => at)).toEqual(lines.map((_, place) => lines[0]!.at + 1_000 * place));
  for (const { at, fired_at: firedAt } of lines) expect(firedAt).toBeGreaterThanOrEqual(at);
}

describe("members", () => {
  test("that all work fire each instant once, and never before it", async () => {
    const on = cluster(3);
    set(on, ...Array.from({ length: 12 }, (_, place) => ({ name: `s${place}` })));
    const members = [1, 2, 3].map((id) => member(on, id, { leads: id === 1 }));
    await until(() => Array.from({ length: 12 }, (_, place) => fires(on, `s${place}`)).every((all) => all.length >= 3));
    for (let place = 0; place < 12; place++) expectEach(fires(on, `s${place}`));
    for (const { proposed } of members) expect(proposed.length).toBeGreaterThan(0);
  });

  test("that are left alone by an owner have the leader fire for it, which waits for one that it hears", async () => {
    const on = cluster(2);
    set(on, ...Array.from({ length: 8 }, (_, place) => ({ name: `s${place}` })));
    const others = Array.from({ length: 8 }, (_, place) => `s${place}`).filter(
      (name) => ownerOf(on, name) === nodeId(2),
    );
    expect(others.length).toBeGreaterThan(0);
    member(on, 1, { leads: true });
    await until(() => others.every((name) => fires(on, name).length >= 2));
    for (const name of others) {
      expectEach(fires(on, name));
      expect(fires(on, name)[0]!.fired_at - fires(on, name)[0]!.at).toBeGreaterThanOrEqual(limits.fireCoverMs);
    }
  });

  test("that are not heard by who leads from now on are not waited for, though nothing else is due", async () => {
    const on = cluster(2);
    const at = Date.now() + 60;
    set(
      on,
      ...Array.from({ length: 8 }, (_, place) => ({
        name: `s${place}`,
        every: undefined,
        at: new Date(at).toISOString(),
      })),
    );
    const others = Array.from({ length: 8 }, (_, place) => `s${place}`).filter(
      (name) => ownerOf(on, name) === nodeId(2),
    );
    expect(others.length).toBeGreaterThan(0);
    const role = { leads: false };
    const silent: number[] = [];
    const { duty, underWay } = member(on, 1, { role, silent, lookMs: 3_600_000 });
    await until(() => Date.now() > at + 20);
    expect(others.flatMap((name) => fires(on, name))).toEqual([]);
    role.leads = true;
    const looks = underWay.looks;
    duty.onLead();
    await until(() => underWay.looks > looks);
    // It learns that only now: connections of the dead end one after the other.
    silent.push(2);
    await until(() => others.every((name) => fires(on, name).length === 1));
  });

  test("that the leader does not hear are not waited for", async () => {
    const on = cluster(2);
    set(on, ...Array.from({ length: 8 }, (_, place) => ({ name: `s${place}` })));
    const { proposed } = member(on, 1, { leads: true, silent: [2] });
    await until(() => fires(on, "s0").length > 0);
    const first = proposed.flat().filter(([, , , , , instants]) => instants.length > 0);
    expect(new Set(first.map(([id]) => id)).size).toBe(8);
  });

  test("whose data of zones differ are told of by the leader, once for each change", async () => {
    const on = cluster(2);
    set(on, { name: "s", every: "1h" });
    const leader = member(on, 1, { leads: true });
    const other = member(on, 2);
    const seen = (node: number, zones: string): void => {
      on.must("node.seen", { node: nodeId(node), ...announcement(node), level: ownLevel, zones });
      for (const { duty } of [leader, other])
        duty.onApplied([
          { changes: [{ topic: "node", kind: "changed", node: nodeId(node), announced: true }] },
        ] as unknown as readonly AppliedEvent[]);
    };
    seen(1, "2026a 1f");
    seen(2, "2026a 1f");
    seen(2, "2026b 2e");
    await until(() => leader.logged.length > 0);
    seen(2, "2026b 2e");
    seen(1, "2026b 2e");
    await until(() => leader.logged.length > 1);
    expect(leader.logged).toEqual([
      expect.stringMatching(/^warn: members have different .*: 2026a 1f \(n1\) \| 2026b 2e \(n2\)$/) as string,
      "info: all members have the same data of time zones again",
    ]);
    expect(other.logged).toEqual([]);
  });

  test("whose clock is ahead are told so, and fire at the leader's time", async () => {
    const on = cluster(1);
    set(on, { name: "s" });
    const { duty, refused, logged } = member(on, 1, { aheadMs: 700 });
    await until(() => fires(on).length >= 3);
    expect(refused).toContain("early");
    expectEach(fires(on));
    const { early } = duty.refusals.counts;
    expect(early).toBe(refused.filter((why) => why === "early").length);
    expect(logged).toHaveLength(1);
    expect(logged[0]).toMatch(/^warn: the clock of this host is (6\d\d|700)ms ahead of .*: steps refused as early: 1$/);
  });

  test("whose clock was far ahead and is set right fire on time again", async () => {
    const on = cluster(1);
    set(on, { name: "s" });
    const clock = { aheadMs: 3_600_000 };
    const { refused } = member(on, 1, { clock });
    await until(() => refused.includes("early"));
    clock.aheadMs = 0;
    await until(() => fires(on).length >= 2);
    expectEach(fires(on));
  });

  test("whose clock is set back after a proposal that found no room go on", async () => {
    const on = cluster(1);
    set(on, { name: "s" });
    const [clock, busy] = [{ aheadMs: 0 }, { left: 0 }];
    member(on, 1, { clock, busy, leads: true });
    await until(() => fires(on).length >= 1);
    [clock.aheadMs, busy.left] = [3_600_000, 1];
    await until(() => busy.left === 0);
    clock.aheadMs = 0;
    const before = fires(on).length;
    await until(() => fires(on).length > before + 1);
  });

  test("whose proposals find no room propose again, and lose nothing", async () => {
    const on = cluster(1);
    set(on, { name: "s" });
    const busy = { left: 0 };
    member(on, 1, { busy });
    await until(() => fires(on).length >= 1);
    busy.left = 3;
    await until(() => fires(on).length >= 3);
    expect(busy.left).toBe(0);
    expectEach(fires(on));
  });
});

describe("much at once", () => {
  test("goes in commands of so many jobs, of which few are under way, and goes on when these are done", async () => {
    const on = cluster(1);
    on.now = Date.now() - 1_500_000;
    const all = Array.from({ length: 14 }, (_, place) => ({
      name: `s${place}`,
      every: "1s",
      overlap: "allow",
      missed: "all",
      missed_most: 1000,
      job: { driver: "noop" },
    }));
    on.must("schedule.set", commandByName("schedule.set").input.parse({ schedules: all }), admin);
    const { promise: answers, resolve } = Promise.withResolvers<void>();
    const { proposed, underWay } = member(on, 1, { answers });
    let [looks, quiet] = [0, 0];
    await until(() => {
      quiet = looks === underWay.looks ? quiet + 1 : 0;
      looks = underWay.looks;
      return quiet > 20 && proposed.length > 1;
    });
    resolve();
    await until(() => (scheduleTotals(on.database).get("fired") ?? 0) >= 1_000 * all.length);
    for (const steps of proposed)
      expect(commandByName("schedule.step").payload.safeParse({ scope: 0, steps }).success).toBe(true);
    expect(underWay.most).toBeGreaterThan(limits.linesInFlight - limits.linesPerCommand);
    expect(underWay.most).toBeLessThanOrEqual(limits.linesInFlight + limits.firesPerStep + limits.skipsPerStep);
  });

  test("beside what there is no room for goes on, and that fires when there is room again", async () => {
    const on = cluster(1);
    set(on, { name: "skips", overlap: "skip" });
    const bound = { jobs: 1 };
    member(on, 1, { bound });
    await until(() => fires(on, "skips").length === 1);
    set(on, { name: "s" });
    const { id } = scheduleByName(on.database, "s")!;
    await until(() => fires(on, "skips").length >= 2 && fires(on, "skips")[1]!.count >= 2);
    expect(fires(on, "skips")[1]?.reason).toBe("overlap");
    expect(firesBefore(on.database, id, 100, 100)).toEqual([]);
    bound.jobs = 100;
    await until(() => fires(on).length >= 3);
    expectEach(fires(on));
  });
});

describe("a schedule", () => {
  test("that is changed while a step of it is under way loses none of its instants", async () => {
    const on = cluster(1);
    set(on, { name: "s" });
    const { duty } = member(on, 1);
    for (let change = 1; change <= 3; change++) {
      await until(() => fires(on).length >= change);
      set(on, { name: "s", description: `for the ${change}. time` });
      duty.onApplied(on.events.slice(-1));
    }
    expectEach(fires(on));
  });

  test("of which there are many at one instant go in batches", async () => {
    const on = cluster(1);
    const names = Array.from({ length: 600 }, (_, place) => `s${place}`);
    set(on, ...names.map((name) => ({ name })));
    const { proposed } = member(on, 1);
    await until(() => names.every((name) => fires(on, name).length >= 1));
    for (const steps of proposed) expect(steps.length).toBeLessThanOrEqual(limits.stepsPerCommand);
    for (const name of names) expect(fires(on, name)[0]?.reason).toBeNull();
  });

  test("whose template is gone says so for each instant, and the others go on", async () => {
    const on = cluster(1);
    on.must("template.set", { name: "t", spec: { driver: "noop" } }, admin);
    set(on, { name: "of-template", job: undefined, template: "t" }, { name: "s" });
    member(on, 1);
    await until(() => fires(on, "of-template").length >= 1);
    on.must("template.remove", { template: "t" }, admin);
    await until(() => fires(on, "of-template").some(({ reason }) => reason !== null) && fires(on).length >= 2);
    const [first] = fires(on, "of-template");
    expect(first?.reason).toBeNull();
    expect(on.job(first!.job!)).toMatchObject({ template: "t@1" });
    const refusedOne = fires(on, "of-template").find(({ reason }) => reason !== null);
    expect(refusedOne).toMatchObject({ reason: "refused", message: "there is no template t any more" });
    expectEach(fires(on));
  });

  test("about targets has those that its expressions stand for at the instant", async () => {
    const on = cluster(1);
    set(on, { name: "s", job: { driver: "noop", targets: ["web[1-3]"] } });
    member(on, 1);
    await until(() => fires(on).length >= 1);
    expect(on.job(fires(on)[0]!.job!).counts.queued).toBe(3);
  });

  test("that cannot say in a few words why it has no job says as much as is kept, and holds up no other", async () => {
    const on = cluster(1);
    set(on, { name: "long", job: { driver: "noop", targets: [`@${"a".repeat(6_000)}`] } }, { name: "s" });
    member(on, 1);
    await until(() => fires(on, "long").length >= 1 && fires(on).length >= 1);
    expect(fires(on, "long")[0]).toMatchObject({ reason: "refused" });
    expect(fires(on, "long")[0]!.message).toHaveLength(2_000);
    expectEach(fires(on));
  });

  test("whose jobs are large has as many of them in a step as fit an entry", async () => {
    const on = cluster(1);
    on.now = Date.now() - 600_000;
    const schedule = { name: "s", every: "1m", overlap: "allow", missed: "all", template: "t" };
    on.must("template.set", { name: "t", spec: { driver: "noop" } }, admin);
    on.must("schedule.set", commandByName("schedule.set").input.parse({ schedules: [schedule] }), admin);
    const large = { job: ["", "", "x".repeat(0.6 * limits.entryBatchBytes)] } as unknown as MadeJob;
    const { proposed } = member(on, 1, {
      makeJob: () => Promise.resolve(large),
      answers: new Promise<void>(() => undefined),
    });
    await until(() => proposed.length > 0);
    expect(proposed[0]!.map(([, , , , , instants, , made]) => [instants.length, made?.length])).toEqual([[2, 2]]);
  });

  test("whose step came too early waits a moment however often is looked; one whose step was overtaken does not", async () => {
    const on = cluster(1);
    set(on, { name: "early" }, { name: "stale" });
    const [early, stale] = ["early", "stale"].map((name) => scheduleByName(on.database, name)!.id);
    const { proposed, duty } = member(on, 1, {
      refusals: new Map<number, StepRefusal>([
        [early!, "early"],
        [stale!, "stale"],
      ]),
    });
    const count = (id: number): number => proposed.filter((steps) => steps.some(([one]) => one === id)).length;
    await until(() => count(early!) === 1);
    const began = monotonicMs();
    await until(() => {
      duty.onApplied([{ changes: [{ topic: "schedule", kind: "set" }] }] as unknown as readonly AppliedEvent[]);
      return count(early!) === 4;
    });
    expect(monotonicMs() - began).toBeGreaterThanOrEqual(295);
    expect(count(stale!)).toBeGreaterThan(4);
  });
});
