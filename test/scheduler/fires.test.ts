import { expect, test } from "bun:test";
import type { CalendarEvents } from "../../src/lib/calendar-events.ts";
import { seededRandom } from "../../src/lib/prng.ts";
import { limits } from "../../src/lib/limits.ts";
import { atOnce } from "../../src/lib/turns.ts";
import { type FirePlan, planFires } from "../../src/scheduler/fires.ts";
import { type Definition, type FormerRules, jitterOf, scheduleDefaults } from "../../src/state/schedules.ts";
import type { StoredSchedule } from "../../src/state/tables/schedule.ts";

/** What becomes of instants, held against a plain look at each of them. */

const everyMs = 10_000;
const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000_000);

interface Situation {
  readonly row: StoredSchedule;
  readonly definition: Definition;
  readonly former: readonly FormerRules[];
  readonly pauses: readonly (readonly [number, number])[];
  readonly pausedAt: number | null;
  readonly now: number;
}

function situation(random: () => number): Situation {
  const below = (most: number): number => Math.floor(random() * most);
  const watermark = 1_000_000_000 + below(60_000);
  const rules = (): Definition["rules"] => ({
    timing: { everyMs: everyMs * (1 + below(6)), tz: "UTC" },
    ...(below(2) === 0 ? {} : { jitterMs: 1 + below(20_000) }),
    ...(below(3) === 0 ? {} : { missed: (["latest", "all", "skip"] as const)[below(3)]! }),
    ...(below(2) === 0 ? {} : { catchUpMs: below(600_000) }),
  });
  const own = rules();
  const definition: Definition = {
    rules: own.missed === "all" ? { ...own, missedMost: 1 + below(5) } : own,
    job: { run: "x" },
  };
  const changes = Array.from({ length: below(4) }, () => watermark + below(400_000)).toSorted(
    (one, other) => one - other,
  );
  const former = [...new Set(changes)].map((until) => ({
    until,
    paused: below(3) === 0,
    ...(below(2) === 0 ? {} : { rules: rules() }),
  }));
  const bounds = Array.from({ length: 2 * below(3) }, () => watermark - 50_000 + below(400_000)).toSorted(
    (one, other) => one - other,
  );
  const pauses = bounds.flatMap((from, at) => (at % 2 === 0 ? [[from, bounds[at + 1]!] as const] : []));
  const last = Math.max(watermark, ...changes, ...bounds);
  const pausedAt = below(6) === 0 ? last + below(50_000) : null;
  // One in eight is behind what was logged last.
  const now = below(8) === 0 ? last - below(20_000) : last + below(3) * 300_000 + below(100_000);
  const row: StoredSchedule = {
    id: 1,
    name: `s${below(1_000)}`,
    revision: 1,
    definition: JSON.stringify(definition),
    former: former.length === 0 ? null : JSON.stringify(former),
    paused: Number(below(8) === 0),
    watermark,
    check_at: watermark,
    runs: 0,
    fires: 0,
    fired_at: null,
    job: null,
    last_state: null,
    failing: 0,
    set_at: watermark,
    set_by: "anna",
  };
  return { row, definition, former, pauses, pausedAt, now };
}

/** Instant by instant: what held then, whether it was paused then or when it was due, how late it is; then which late ones are made up. */
function expected({ row, definition, former, pauses, pausedAt, now: clock }: Situation): Map<number, string> {
  const what = new Map<number, string>();
  const now = Math.max(clock, former.at(-1)?.until ?? 0);
  const { catchUpMs = scheduleDefaults.catchUpMs, missed = "latest", missedMost = 100 } = definition.rules;
  const heldAt = (at: number) => {
    const place = former.findIndex(({ until }) => at <= until);
    const held = place === -1 ? { paused: row.paused === 1, until: Infinity } : former[place]!;
    const rules =
      place === -1
        ? definition.rules
        : (former.slice(place).find((one) => one.rules !== undefined)?.rules ?? definition.rules);
    return {
      rules,
      paused: held.paused,
      until: held.until,
      jitter: held.paused ? 0 : jitterOf(row.name, rules.jitterMs),
    };
  };
  const isPaused = (at: number): boolean =>
    heldAt(at).paused ||
    pauses.some(([from, until]) => at > from && at <= until) ||
    (pausedAt !== null && at > pausedAt);
  const first = (Math.floor(row.watermark / everyMs) + 1) * everyMs;
  const ends = now + 400_000;
  const isInstant = (at: number): boolean => at % (heldAt(at).rules.timing.everyMs ?? NaN) === 0;
  /** When an instant of what held until then is due at the latest: before the first of any that held later. */
  const releasedAt = (until: number): number => {
    let released = Infinity;
    for (let at = first; at <= ends; at += everyMs)
      if (at > until && isInstant(at) && !heldAt(at).paused) released = Math.min(released, at + heldAt(at).jitter);
    return released;
  };
  for (let at = first; at <= now; at += everyMs) {
    if (!isInstant(at)) continue;
    const { rules, paused, until, jitter } = heldAt(at);
    const due = until === Infinity ? at + jitter : Math.min(at + jitter, releasedAt(until));
    if (due > now) break;
    const isKept = paused || isPaused(at) || isPaused(at + jitter);
    const isOld = at <= now - jitterOf(row.name, rules.jitterMs) - Math.max(catchUpMs, limits.fireLateMs);
    const isLate = now - due > limits.fireLateMs;
    what.set(at, isKept ? "paused" : isOld || (isLate && missed === "skip") ? "missed" : isLate ? "late" : "fired");
  }
  let room = missed === "all" ? missedMost : 1;
  for (const [at, one] of [...what].toReversed()) {
    if (one === "fired" && missed === "latest") room = 0;
    if (one !== "late") continue;
    what.set(at, room > 0 ? "fired" : "missed");
    room -= 1;
  }
  return what;
}

function told({ row }: Situation, plan: FirePlan, every: ReadonlyMap<number, string>): Map<number, string> {
  const what = new Map<number, string>(plan.fires.map((at) => [at, "fired"]));
  for (const [reason, first, last, count] of plan.skips) {
    const within = [...every.keys()].filter((at) => at >= first && at <= last);
    expect(within.length, `${row.name}: a run of ${reason}`).toBe(count);
    for (const at of within) what.set(at, reason);
  }
  return new Map([...what].toSorted(([one], [other]) => one - other));
}

test(`each instant is told of once, as what held then says (SEED=${seed})`, () => {
  const random = seededRandom(seed);
  for (let round = 0; round < 3_000; round++) {
    const at = situation(random);
    const { row, pauses, pausedAt, now } = at;
    const plan = atOnce(planFires({ row, scope: { pauses, pausedAt }, calendars: new Map() }, now));
    const every = expected(at);
    expect(told(at, plan, every), `round ${round}: ${JSON.stringify(at)}`).toEqual(every);
    // Nothing is passed over: what follows is what follows on.
    expect(plan.to).toBeLessThanOrEqual(Math.max(now, row.watermark, at.former.at(-1)?.until ?? 0));
    expect(plan.check!).toBeGreaterThan(row.watermark);
  }
});

/** Proposes one after the other until there is nothing more to be said of what has come by then. */
function allSteps(
  definition: Definition,
  since: number,
  now: number,
  calendars: Map<string, CalendarEvents>,
): FirePlan[] {
  const plans: FirePlan[] = [];
  let watermark = since;
  for (;;) {
    const row = {
      name: "s",
      definition: JSON.stringify(definition),
      former: null,
      paused: 0,
      watermark,
    } as StoredSchedule;
    const plan = atOnce(planFires({ row, scope: { pauses: [], pausedAt: null }, calendars }, now));
    plans.push(plan);
    expect(plan.to).toBeGreaterThan(watermark);
    watermark = plan.to;
    if (plan.check! > now) return plans;
  }
}

test("of more instants than are gone through at once the newest are made up all the same, as many as were said", () => {
  const since = 1_000_000_000;
  const now = since + 130_000_500;
  const rules = { timing: { everyMs: 1_000, tz: "UTC" }, catchUpMs: 200_000_000 };
  // It is never on, but one by one its instants are looked at.
  const calendars = new Map([["holidays", { spans: [], windows: [] }]]);
  const all = allSteps(
    { rules: { ...rules, missed: "all", missedMost: 20, calendars: [{ name: "holidays" }] }, job: { run: "x" } },
    since,
    now,
    calendars,
  );
  expect(all.length).toBeGreaterThan(1);
  const madeUp = all.flatMap(({ fires }) => fires);
  // Those of the last ten seconds are not late.
  expect(madeUp).toEqual(Array.from({ length: 30 }, (_, at) => since + 130_000_000 - (29 - at) * 1_000));
  const latest = allSteps(
    { rules: { ...rules, missed: "latest", calendars: [{ name: "holidays" }] }, job: { run: "x" } },
    since,
    now,
    calendars,
  );
  expect(latest.flatMap(({ fires }) => fires)).toEqual(madeUp.slice(-10));
});

test("a paused schedule is looked at once a minute, however often it would fire", () => {
  const definition = JSON.stringify({ rules: { timing: { everyMs: 1_000, tz: "UTC" }, jitterMs: 30_000 } });
  const row = { name: "s", definition, former: null, paused: 1, watermark: 1_000_000_000 } as StoredSchedule;
  const now = row.watermark + 5_000;
  const plan = atOnce(planFires({ row, scope: { pauses: [], pausedAt: null }, calendars: new Map() }, now));
  expect(plan).toEqual({ to: now, check: now + 60_000, fires: [], skips: [["paused", 1_000_001_000, now, 5]] });
});

test("instants are counted with rests in between", () => {
  const now = Date.parse("2026-06-01T12:00:00Z");
  const counted = (paused: number, watermark: number) => {
    const definition = JSON.stringify({ rules: { timing: { cron: "* * * * * *", tz: "Europe/Berlin" } } });
    const row = { name: "s", definition, former: null, paused, watermark } as StoredSchedule;
    const steps = planFires({ row, scope: { pauses: [], pausedAt: null }, calendars: new Map() }, now);
    let rests = 0;
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done === true) return { rests, skip: step.value.skips[0] };
      rests += 1;
    }
  };
  const first = now - 5_000_000 + 1_000;
  expect(counted(1, now - 5_000_000)).toEqual({ rests: 78, skip: ["paused", first, now, 5_000] });
  // Of those of long ago as many as are counted at all, and whatever follows.
  const { rests, skip } = counted(0, now - 300 * 86_400_000);
  expect(rests).toBeGreaterThanOrEqual(Math.floor(limits.instantsCounted / 64));
  expect(skip).toMatchObject(["missed", now - 300 * 86_400_000 + 1_000, expect.any(Number), -limits.instantsCounted]);
});
