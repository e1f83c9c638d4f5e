import { describe, expect, test } from "bun:test";
import { limits } from "../../src/lib/limits.ts";
import { accept, refuse, type RefusalCode } from "../../src/lib/outcome.ts";
import { atOnce } from "../../src/lib/turns.ts";
import { firstFires, StepBatch } from "../../src/node/step-parts.ts";
import { StepProposer } from "../../src/node/step-proposer.ts";
import { planFires } from "../../src/scheduler/fires.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { isInOrder, jobsOf, linesOf } from "../../src/state/commands/schedule-step.ts";
import type { Step } from "../../src/state/firing.ts";
import { totals } from "../../src/state/queries.ts";
import { firesBefore } from "../../src/state/tables/schedule-fire.ts";
import { scheduleScope } from "../../src/state/tables/schedule-scope.ts";
import { scheduleByName } from "../../src/state/tables/schedule.ts";
import { admin, Cluster } from "../state/support.ts";

/** Steps on their way to a log whose leader has a bound of all unfinished jobs: what goes on, what waits, and what is given up. */

const minute = 60_000;
const t0 = 1_000_000 * minute;

class Mesh {
  readonly on = Cluster.ofNewest(1);
  bound = 0;
  proposals = 0;
  /** Schedules of steps for which there was no room. */
  readonly waiting: number[] = [];
  readonly told: string[] = [];
  /** Why no log takes a command with that step. */
  refusalOf: (step: Step) => RefusalCode | undefined = () => undefined;
  readonly proposer: StepProposer;
  #settled = 0;

  constructor(roomMs?: number) {
    this.on.now = t0;
    this.proposer = new StepProposer(
      {
        view: (query) => query(this.on.database),
        now: () => this.on.now,
        isOn: () => true,
        log: (_level, message) => this.told.push(message),
        settled: (steps, outcome) => {
          this.#settled += steps.length;
          if (!outcome.ok) this.waiting.push(...steps.map(([id]) => id));
        },
        propose: async (name, input) => {
          this.proposals += 1;
          const code = input.steps.map((step) => this.refusalOf(step)).find((one) => one !== undefined);
          if (code !== undefined) return refuse(code, "no log takes it");
          const adds = commandByName(name).adds!(commandByName(name).payload.parse(input));
          await Promise.resolve();
          const room = this.bound - totals(this.on.database).jobsUnfinished;
          if (adds > Math.max(0, room)) return refuse("busy", `${this.bound} are all`, { limit: "jobs" });
          return accept({ value: this.on.must(name, input), index: 0 });
        },
      },
      roomMs,
    );
  }

  set(name: string, more: Record<string, unknown> = {}): void {
    const schedules = [{ name, every: "1m", overlap: "allow", missed: "all", job: { run: "true" }, ...more }];
    this.on.must("schedule.set", commandByName("schedule.set").input.parse({ schedules }), admin);
  }

  /** Proposes what has come at that minute of these, until it is said of all what came of it. */
  async propose(at: number, ...names: readonly string[]): Promise<void> {
    this.on.now = t0 + at * minute;
    this.waiting.length = 0;
    this.#settled = 0;
    this.proposals = 0;
    const steps = names.map((name): Step => {
      const row = scheduleByName(this.on.database, name)!;
      const planned = { row, scope: scheduleScope(this.on.database), calendars: new Map() };
      const { to, check, fires, skips } = atOnce(planFires(planned, this.on.now));
      return [row.id, row.revision, row.watermark, to, check, fires, skips];
    });
    for (const step of steps) this.proposer.begin(step);
    this.proposer.propose(0, steps);
    while (this.#settled < steps.length) await new Promise((resolve) => setImmediate(resolve));
  }

  /** [minutes since t0, what, message] of all lines, oldest first. */
  history(name: string): [number, string, string | null][] {
    const { id } = scheduleByName(this.on.database, name)!;
    return firesBefore(this.on.database, id, Number.MAX_SAFE_INTEGER, 10_000)
      .toReversed()
      .map(({ at, reason, message }) => [(at - t0) / minute, reason ?? "fired", message]);
  }
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, place) => `s${place}`);

describe("where there is no room for all", () => {
  test("what asks for none goes on, and of the others the first ones, as many as there is room for", async () => {
    const mesh = new Mesh();
    const names = numbered(100);
    for (const name of names) mesh.set(name);
    for (const name of ["running", "paused"]) mesh.set(name, { overlap: "skip" });
    mesh.bound = 1;
    await mesh.propose(0, ...names, "running", "paused");
    mesh.on.must("schedule.pause", { names: ["paused"], paused: true }, admin);
    await mesh.propose(1, "running");
    mesh.bound = 6;
    await mesh.propose(2, ...names, "running", "paused");
    expect(mesh.history("running").map(([at, what]) => [at, what])).toEqual([
      [1, "fired"],
      [2, "overlap"],
    ]);
    expect(mesh.history("paused").map(([at, what]) => [at, what])).toEqual([[1, "paused"]]);
    expect(names.flatMap((name) => mesh.history(name).map(([at, what]) => [name, at, what]))).toEqual([
      ["s0", 1, "fired"],
      ["s0", 2, "fired"],
      ["s1", 1, "fired"],
      ["s1", 2, "fired"],
      ["s2", 1, "fired"],
    ]);
    expect(mesh.waiting).toHaveLength(97);
    expect(mesh.proposals).toBeLessThan(20); // and not each step by itself
  });

  test("of one schedule the oldest instants make jobs, and the others are left to its next step", async () => {
    const mesh = new Mesh();
    mesh.set("s");
    await mesh.propose(0, "s");
    mesh.bound = 7;
    for (let look = 0; look < 3; look++) await mesh.propose(20, "s");
    expect(mesh.history("s")).toEqual([1, 2, 3, 4, 5, 6, 7].map((at) => [at, "fired", null]));
    expect(mesh.waiting).toEqual([1]);
    mesh.bound = 100;
    await mesh.propose(20, "s");
    expect(mesh.history("s").map(([at]) => at)).toEqual(Array.from({ length: 20 }, (_, at) => at + 1));
  });

  test("for long, instants are recorded as refused, with the bound that it is, and those behind them wait in turn", async () => {
    const mesh = new Mesh(50);
    for (const name of ["a", "b"]) mesh.set(name, { every: "1s" });
    await mesh.propose(0, "a", "b");
    const second = 1 / 60;
    const look = async (at: number): Promise<void> => {
      await mesh.propose(at * second, "a", "b");
      await new Promise((resolve) => setTimeout(resolve, 5));
    };
    while (mesh.history("a").length === 0) await look(1.1);
    const message = "there was no room for its job for 0.05 s: 0 are all";
    for (const name of ["a", "b"]) expect(mesh.history(name)).toEqual([[second, "refused", message]]);
    expect(mesh.told).toEqual(["2 instants of schedules make no jobs: 0 are all"]);
    await look(2); // it has not waited
    expect(mesh.waiting).toEqual([1, 2]);
    mesh.bound = 1;
    await look(2);
    expect(mesh.history("a").map(([, what]) => what)).toEqual(["refused", "fired"]);
    expect(mesh.waiting).toEqual([2]);
  });

  test("and jobs end more slowly than they come, instants are refused and none is missed", async () => {
    const mesh = new Mesh(500);
    mesh.set("s", { every: "1s", missed: "skip" });
    for (let look = 0; look < 30; look++) {
      mesh.bound += look % 2; // a job for each second instant
      await mesh.propose(look / 60, "s");
      await mesh.propose(look / 60, "s"); // what was left of it is due at once
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    const found = new Set(mesh.history("s").map(([, what]) => what));
    expect([...found].toSorted()).toEqual(["fired", "refused"]);
  });
});

describe("a command that no log takes", () => {
  test("holds up none of its steps but the one that is to blame", async () => {
    const mesh = new Mesh();
    mesh.bound = 100;
    for (const name of ["a", "b", "c"]) mesh.set(name);
    mesh.refusalOf = ([id]) => (id === 2 ? "invalid" : undefined);
    await mesh.propose(1, "a", "b", "c");
    expect(["a", "b", "c"].map((name) => mesh.history(name).length)).toEqual([1, 0, 1]);
    expect(mesh.waiting).toEqual([2]);
    expect(mesh.told).toEqual(["a step of schedule 2 is refused: no log takes it"]);
  });

  test("since one job is too large for it is recorded with the reason", async () => {
    const mesh = new Mesh();
    mesh.bound = 100;
    for (const name of ["a", "b"]) mesh.set(name);
    mesh.refusalOf = (step) => (step[0] === 2 && jobsOf(step) > 0 ? "too-large" : undefined);
    for (let look = 0; look < 3; look++) await mesh.propose(3, "a", "b");
    expect(mesh.history("a").map(([at, what]) => [at, what])).toEqual([1, 2, 3].map((at) => [at, "fired"]));
    const { id } = scheduleByName(mesh.on.database, "b")!;
    expect(firesBefore(mesh.on.database, id, 100, 100)).toEqual([
      expect.objectContaining({
        reason: "refused",
        count: 3,
        message: "its job is too large: no log takes it",
      }) as never,
    ]);
    expect(mesh.waiting).toEqual([]);
  });
});

describe("a command", () => {
  const step = (id: number, fires: number): Step => {
    const instants = Array.from({ length: fires }, (_, at) => 2 * at + 1);
    return [id, 1, 0, 2 * fires, 2 * fires + 1, instants, fires > 1 ? [["missed", 2, 2, 1]] : []];
  };

  test("holds so many steps and lines at most, and every step is in one, in their order", () => {
    const given = Array.from({ length: 1_000 }, (_, id) => step(id, (id * 37) % (limits.firesPerStep + 1)));
    const batch = new StepBatch();
    const commands = [...given.map((one) => batch.add(one)), batch.take()].filter((steps) => steps.length > 0);
    const { payload } = commandByName("schedule.step");
    for (const steps of commands) expect(payload.safeParse({ scope: 0, steps }).success).toBe(true);
    expect(commands.flat()).toEqual(given);
    expect(commands.length).toBeLessThan(500);
  });

  test("of more lines is none, whoever sends it", () => {
    const { payload } = commandByName("schedule.step");
    const steps = [step(1, limits.firesPerStep), step(2, limits.firesPerStep)];
    expect(payload.safeParse({ scope: 0, steps: steps.slice(1) }).success).toBe(true);
    expect(payload.safeParse({ scope: 0, steps }).success).toBe(false);
  });

  test("has of a step that is cut the first fires and what came before them, and the rest is due at once", () => {
    const [, , from, to, check, fires, skips] = firstFires(step(1, 9), 3, 100);
    expect([from, to, check, fires, skips]).toEqual([0, 5, 100, [1, 3, 5], [["missed", 2, 2, 1]]]);
    expect(isInOrder(firstFires(step(1, 9), 1, 0))).toBe(true);
    expect(linesOf(firstFires(step(1, 9), 1, 0))).toBe(1);
    expect(firstFires(step(1, 9), 9, 100)).toEqual(step(1, 9));
  });
});
