import { limits } from "../../src/lib/limits.ts";
import { isTerminal } from "../../src/lib/states.ts";
import type { AppliedEvent } from "../../src/node/api.ts";
import type { Step } from "../../src/state/firing.ts";
import { type Definition, jitterOf, type ScheduleRules } from "../../src/state/schedules.ts";
import { firesBefore } from "../../src/state/tables/schedule-fire.ts";
import { scheduleByName } from "../../src/state/tables/schedule.ts";
import type { ReadTx } from "../../src/state/tx.ts";
import type { Change } from "../../src/state/types.ts";
import type { Cluster } from "./cluster.ts";
import { nextInstant } from "./cron-instants.ts";
import { type LoggedEntry, readCommands } from "./cron-log.ts";

/**
 * Judges schedules from outside, at the end of a run: by what the log asked for in its order, and what a state that is right told when it applied that. Instants are worked out by
 * cron-instants.ts; of the product's own, only how late jitter makes a name is believed.
 *
 *   cron twice     an instant makes one job at most, and is recorded once at most
 *   cron lost      instants are dealt with in their order and none is passed over; at the end all that have come are dealt with
 *   cron early     no job before its instant: by the stamp of its entry, and by the true time within what a majority's clocks allow (J4)
 *   cron reason    an instant without a job has a reason that is true; what is within `missed` and `catch_up` is made up, and nothing else is
 *   cron overlap   `skip`: no job beside an unfinished one of the schedule; `queue`: not beside two
 *   cron paused    nothing of a pause makes a job, whenever it is looked at: neither what comes in it, nor what is due in it because of its jitter
 *   cron window    nothing makes a job that a calendar closes, as it was when the job was made
 *   cron limit     no job beyond `limit`
 *   cron late      while nothing has been wrong for long enough, jobs are made within about two seconds of their time
 *   cron history   every state tells the same
 *
 * What it lets pass, and why:
 *   - how late an evaluator believed an instant to be is not in the log: its clock may be `slackMs` off, and its step may have been as long under way. So what is later than `fireLateMs`
 *     by less than that may be fired as if on time, or made up;
 *   - what waits for its jitter when its schedule is changed waits until an instant of the new rules is due at the most, and when that is is not worked out here;
 *   - the same clock decides what is older than `catch_up`, with the same slack;
 *   - an own pause is recorded once a minute, so that at the end its last instants may be open;
 *   - a mesh that has just had trouble (troubles, elections, a change of members) may be late: `quietMs` of it.
 */

/** What was true for the instants of (from, until]. */
interface Held {
  readonly from: number;
  until: number;
  readonly rules: ScheduleRules;
  readonly paused: boolean;
}

/** A line of a history: `number` is its job, or how many instants it stands for. */
interface Run {
  readonly at: number;
  readonly until: number;
  readonly what: string;
  readonly number: number;
}

interface Line {
  readonly name: string;
  readonly held: Held[];
  definition: Definition;
  text: string;
  paused: boolean;
  runs: number;
  hasEnded: boolean;
  /** Every instant up to it was dealt with. */
  reached: number;
  readonly setAt: number;
  readonly open: Set<number>;
  /** Lines of its history, with the entry that wrote each. */
  readonly history: (Run & { readonly index: number })[];
}

/** What an entry came to, as it was first seen. */
interface Seen extends AppliedEvent {
  /** Epoch ms, by a clock that is right. */
  readonly trueMs: number;
  /** ms that stamps may be ahead of it. */
  readonly allowedMs: number;
}

type Told = Extract<Change, { topic: "schedule" }>;
type Fired = Extract<Told, { kind: "fired" }>;
type Skipped = Extract<Told, { kind: "skipped" }>;

const slackMs = 30_000;
const quietMs = 45_000;
const lateMs = 2_500;
/** What was due longer than that ago is to be dealt with at the end. */
const endMs = 10_000;
const pausedEndMs = 75_000;

export class CronJudge {
  readonly #cluster: Cluster;
  readonly #seen = new Map<number, Seen>();
  readonly #lines = new Map<string, Line>();
  readonly #names = new Map<number, string>();
  readonly #jobs = new Map<number, Line>();
  readonly #calendars = new Map<string, readonly (readonly [number, number])[]>();
  readonly #pauses: [from: number, until: number][] = [];
  /** True epoch ms of what went wrong: from, until. */
  readonly #troubles: [from: number, until: number][] = [];
  readonly #terms = new Map<number, number>();
  #nextId = 1;
  #entry: LoggedEntry | undefined;
  #at = 0;
  #now: Seen | undefined;
  #firesOfEntry = new Map<Line, Fired[]>();
  #attemptsOfEntry = new Map<Line, number[]>();
  fires = 0;
  skips = 0;
  onTime = 0;
  scheduleMs = 0;
  worstMs = 0;
  readonly reasons: Record<string, number> = {};

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** What a right state has applied. */
  applied(events: readonly AppliedEvent[]): void {
    const { time, clocks } = this.#cluster;
    clocks.look();
    for (const event of events)
      if (!this.#seen.has(event.index))
        this.#seen.set(event.index, { ...event, trueMs: time.trueWallMs, allowedMs: clocks.allowedMs });
  }

  /** Something is wrong from now on for so long (µs). */
  trouble(lasts: number): void {
    const { trueWallMs } = this.#cluster.time;
    this.#troubles.push([trueWallMs, trueWallMs + lasts / 1000]);
  }

  /** Nothing is wrong any more. */
  judge(): void {
    for (const entry of readCommands(this.#cluster.judge.committed)) {
      const seen = this.#seen.get(entry.index);
      if (seen === undefined) continue; // committed, and the run ended
      if (!this.#terms.has(entry.term)) this.#terms.set(entry.term, seen.trueMs);
      this.#judgeEntry(entry, seen);
      if (this.#cluster.isOver) return;
    }
    for (const line of this.#lines.values()) this.#judgeEnd(line);
  }

  #fail(what: string, words: string): void {
    this.#cluster.fail(`cron ${what}: ${words}, entry ${this.#entry?.index}`);
  }

  // ----------------------------------------------------------------------------------------------- the log

  #judgeEntry(entry: LoggedEntry, seen: Seen): void {
    this.#entry = entry;
    this.#now = seen;
    this.#at = seen.at;
    this.#firesOfEntry = new Map();
    this.#attemptsOfEntry = new Map();
    const { changes } = seen;
    let looked = 0;
    /** The next one that `is` says, and all jobs that ended before it. */
    const take = (is: (told: Told) => boolean): Told | undefined => {
      const found = changes.findIndex((one, place) => place >= looked && isTold(one) && is(one));
      if (found < 0) return undefined;
      // What was said of a schedule and is passed over nobody asked for.
      for (; looked < found; looked++) this.#pass(changes[looked]!);
      looked = found + 1;
      return changes[found] as Told;
    };
    for (const { name, payload } of entry.commands) this.#command(name, payload, take);
    for (; looked < changes.length; looked++) this.#pass(changes[looked]!);
    this.#judgeMadeUp();
  }

  #pass(change: Change): void {
    if (change.topic === "job" && change.kind === "state" && isTerminal(change.state)) {
      this.#jobs.get(change.job)?.open.delete(change.job);
      this.#jobs.delete(change.job);
    } else if (isTold(change)) this.#fail("unasked", `nobody asked for ${JSON.stringify(change)}`);
  }

  #command(name: string, payload: unknown, take: (is: (told: Told) => boolean) => Told | undefined): void {
    const takes = (kind: Told["kind"], of?: string): boolean =>
      take((told) => told.kind === kind && (of === undefined || ("name" in told && told.name === of))) !== undefined;
    switch (name) {
      case "schedule.set": {
        const { schedules } = payload as { schedules: [name: string, text: string, paused: boolean | null][] };
        for (const [of, text, paused] of schedules) if (takes("set", of)) this.#set(of, text, paused);
        break;
      }
      case "schedule.rm":
        for (const of of (payload as { names: string[] }).names)
          if (takes("removed", of)) {
            const line = this.#lines.get(of)!;
            this.scheduleMs += this.#at - line.setAt;
            this.#lines.delete(of);
          }
        break;
      case "schedule.pause": {
        const { names, paused } = payload as { names: string[]; paused: boolean };
        for (const of of names)
          if (takes(paused ? "paused" : "resumed", of)) {
            const line = this.#lines.get(of)!;
            this.#change(line, line.definition.rules, paused);
          }
        break;
      }
      case "schedule.pause-all":
        if (takes((payload as { paused: boolean }).paused ? "all-paused" : "all-resumed")) {
          const last = this.#pauses.at(-1);
          if (last?.[1] === Infinity) last[1] = this.#at;
          else this.#pauses.push([this.#at, Infinity]);
        }
        break;
      case "calendar.set": {
        const { name: of, events } = payload as { name: string; events: string };
        this.#calendars.set(of, (JSON.parse(events) as { spans: [number, number][] }).spans);
        break;
      }
      case "schedule.step":
        for (const step of (payload as { steps: Step[] }).steps) this.#step(step, take);
        break;
      case "schedule.fire": {
        const of = (payload as { schedule: string }).schedule;
        const told = take((one) => one.kind === "fired" && one.name === of) as Fired | undefined;
        if (told !== undefined) this.#fired(this.#lines.get(of)!, told, false);
        break;
      }
      default:
        break;
    }
  }

  #set(name: string, text: string, paused: boolean | null): void {
    const definition = JSON.parse(text) as Definition;
    const line = this.#lines.get(name);
    if (line === undefined) {
      this.#names.set(this.#nextId, name);
      this.#nextId += 1;
      const held = [{ from: this.#at, until: Infinity, rules: definition.rules, paused: paused === true }];
      const empty = {
        runs: 0,
        hasEnded: false,
        reached: this.#at,
        setAt: this.#at,
        open: new Set<number>(),
        history: [],
      };
      this.#lines.set(name, { name, held, definition, text, paused: paused === true, ...empty });
      return;
    }
    if (line.hasEnded) line.reached = Math.max(line.reached, this.#at);
    const isSame = line.text === text && (paused ?? line.paused) === line.paused;
    if (isSame) this.#fail("unasked", `${name} was set again as it was, and has changed`);
    Object.assign(line, { definition, text, runs: 0, hasEnded: false });
    this.#change(line, definition.rules, paused ?? line.paused);
  }

  #change(line: Line, rules: ScheduleRules, paused: boolean): void {
    line.paused = paused;
    line.held.at(-1)!.until = this.#at;
    line.held.push({ from: this.#at, until: Infinity, rules, paused });
  }

  /** What was told of one step: if it was refused nothing. */
  #step([id, , from, to, , fires, skips]: Step, take: (is: (told: Told) => boolean) => Told | undefined): void {
    const name = this.#names.get(id);
    const line = name === undefined ? undefined : this.#lines.get(name);
    if (line === undefined) return;
    for (let left = fires.length + skips.length; left > 0; left--) {
      const told = take(
        (one) => (one.kind === "fired" || one.kind === "skipped") && one.name === name && one.at > from && one.at <= to,
      );
      if (told?.kind === "fired") this.#fired(line, told, true);
      else if (told?.kind === "skipped") this.#skipped(line, told);
      else return;
      if (this.#cluster.isOver) return;
    }
  }

  // ------------------------------------------------------------------------------------------ the instants

  /** The first one that is not dealt with. */
  #next(line: Line, after = line.reached): { readonly at: number; readonly held: Held } | undefined {
    for (const held of line.held) {
      if (held.until <= after) continue;
      const horizon = Math.min(held.until, this.#at + 86_400_000);
      const at = nextInstant(held.rules.timing, Math.max(after, held.from), horizon);
      if (at !== undefined) return { at, held };
    }
    return undefined;
  }

  /** It is the next one; gives what held for it. */
  #isNext(line: Line, at: number): Held | undefined {
    const next = this.#next(line);
    if (next?.at === at) return next.held;
    if (at <= line.reached)
      this.#fail("twice", `${line.name} comes to its instant ${at} again, and had come to ${line.reached}`);
    else if (next !== undefined && next.at < at)
      this.#fail("lost", `${line.name} passes over its instant ${next.at} and comes to ${at}`);
    else this.#fail("unasked", `${line.name} has no instant ${at}`);
    return undefined;
  }

  /** It comes in a pause. */
  #isPaused(held: Held, at: number): boolean {
    return held.paused || this.#pauses.some(([from, until]) => at > from && at <= until);
  }

  /** There is a pause between when it comes and when it is due. */
  #mayBePaused(line: Line, held: Held, at: number): boolean {
    const due = at + jitterOf(line.name, held.rules.jitterMs);
    const isWithin = (from: number, until: number): boolean => from < due && until >= at;
    return (
      this.#isPaused(held, at) ||
      this.#pauses.some(([from, until]) => isWithin(from, until)) ||
      line.held.some(({ from, until, paused }) => paused && isWithin(from, until))
    );
  }

  /** Its jitter is over in a pause. */
  #isDueInPause(line: Line, held: Held, at: number): boolean {
    const due = at + jitterOf(line.name, held.rules.jitterMs);
    const then = line.held.find(({ from, until }) => due > from && due <= until);
    return then !== undefined && this.#isPaused(then, due);
  }

  /** How long it waits is known: what held when it came still does, or nothing of when it is due was changed. */
  #waitsForJitter(line: Line, held: Held): boolean {
    const when = ({ rules }: Held): string => JSON.stringify([rules.timing, rules.jitterMs]);
    return line.held.slice(line.held.indexOf(held) + 1).every((one) => when(one) === when(held));
  }

  #isOpen({ rules }: Held, at: number): boolean {
    return (rules.calendars ?? []).every(({ name, only }) => {
      const isOn = (this.#calendars.get(name) ?? []).some(([from, until]) => at >= from && at < until);
      return isOn === (only === true);
    });
  }

  /** When it was to fire at the earliest. */
  #dueAt(line: Line, held: Held, at: number): number {
    return this.#waitsForJitter(line, held) ? at + jitterOf(line.name, held.rules.jitterMs) : at;
  }

  /** It was to make a job: as much holds as if it had made one. */
  #judgeAttempt(line: Line, held: Held, at: number): void {
    const { stampedAt } = this.#entry!;
    const { trueMs, allowedMs } = this.#now!;
    const due = this.#dueAt(line, held, at);
    if (due > stampedAt) this.#fail("early", `${line.name} fires ${due} at ${stampedAt} by its leader`);
    if (due > trueMs + Math.max(0, allowedMs))
      this.#fail("early", `${line.name} fires ${due} at ${trueMs}, and clocks are ${Math.round(allowedMs)} ms ahead`);
    if (this.#isPaused(held, at)) this.#fail("paused", `${line.name} fires ${at} of a pause`);
    if (this.#waitsForJitter(line, held) && this.#isDueInPause(line, held, at))
      this.#fail("paused", `${line.name} fires ${at}, which was due in a pause`);
    if (!this.#isOpen(held, at)) this.#fail("window", `${line.name} fires ${at}, which its calendars close`);
    const attempts = this.#attemptsOfEntry.get(line) ?? [];
    attempts.push(at);
    this.#attemptsOfEntry.set(line, attempts);
    line.reached = at;
  }

  #fired(line: Line, told: Fired, isOfStep: boolean): void {
    const { at, job } = told;
    const { overlap = "skip", limit = Infinity } = line.definition;
    line.history.push({ index: this.#now!.index, at, until: at, what: "fired", number: job });
    if (!isOfStep) {
      if (at !== this.#at)
        this.#fail("early", `${line.name} is fired by hand at ${this.#at}, and has an instant ${at}`);
    } else {
      const held = this.#isNext(line, at);
      if (held === undefined) return;
      const most = overlap === "skip" ? 1 : overlap === "queue" ? 2 : Infinity;
      if (line.open.size >= most)
        this.#fail("overlap", `${line.name} fires ${at} beside its jobs ${[...line.open].join()}`);
      if (line.runs >= limit) this.#fail("limit", `${line.name} fires ${at} beyond its ${limit} runs`);
      this.#judgeAttempt(line, held, at);
      this.#judgeLag(line, held, at);
      const fired = this.#firesOfEntry.get(line) ?? [];
      fired.push(told);
      this.#firesOfEntry.set(line, fired);
      this.fires += 1;
      line.runs += 1;
      if (line.runs >= limit) line.hasEnded = true;
    }
    line.open.add(job);
    this.#jobs.set(job, line);
  }

  #skipped(line: Line, { at, until, count, reason }: Skipped): void {
    line.history.push({ index: this.#now!.index, at, until, what: reason, number: count });
    this.skips += count;
    this.reasons[reason] = (this.reasons[reason] ?? 0) + count;
    const instants: [number, Held][] = [];
    let { reached } = line;
    for (let next = this.#next(line); next !== undefined && next.at <= until; next = this.#next(line, reached)) {
      instants.push([next.at, next.held]);
      reached = next.at;
    }
    const held = this.#isNext(line, at);
    if (held === undefined) return;
    if (instants.length !== count || reached !== until)
      return this.#fail(
        "lost",
        `${line.name} has ${instants.length} instants from ${at} to ${until}, and tells of ${count}`,
      );
    if (reason === "overlap" || reason === "limit" || reason === "refused")
      return this.#attempted(line, held, at, reason);
    for (const [one, its] of instants) {
      const isPaused = reason === "paused" ? this.#mayBePaused(line, its, one) : this.#isPaused(its, one);
      if (isPaused !== (reason === "paused"))
        return this.#fail(
          "reason",
          `${line.name} tells of ${one} that it is ${reason}, ${isPaused ? "" : "not "}of a pause`,
        );
      if (reason === "window" && this.#isOpen(its, one))
        return this.#fail("reason", `${line.name} tells of ${one} that its calendars close it`);
    }
    if (until > this.#entry!.stampedAt)
      this.#fail("early", `${line.name} tells of ${until} at ${this.#entry!.stampedAt}`);
    if (reason === "missed") this.#missed.push([line, instants]);
    line.reached = until;
    return undefined;
  }

  #attempted(line: Line, held: Held, at: number, reason: string): void {
    const { overlap = "skip", limit = Infinity } = line.definition;
    const least = overlap === "skip" ? 1 : overlap === "queue" ? 2 : Infinity;
    if (reason === "refused") this.#fail("reason", `${line.name} could not make the job of ${at}`);
    if (reason === "overlap" && line.open.size < least)
      this.#fail("reason", `${line.name} tells of ${at} that it overlaps, and ${line.open.size} jobs are unfinished`);
    if (reason === "limit" && line.runs < limit)
      this.#fail("reason", `${line.name} tells of ${at} that its limit is reached, after ${line.runs} runs`);
    this.#judgeAttempt(line, held, at);
  }

  // --------------------------------------------------------------------------------------------- made up

  #missed: [Line, [number, Held][]][] = [];

  /** Once all of an entry is known: what was missed had to be, and what was made up might be. */
  #judgeMadeUp(): void {
    const { stampedAt } = this.#entry!;
    for (const [line, instants] of this.#missed.splice(0)) {
      const { missed = "latest", catchUpMs = 3_600_000, missedMost = 100 } = line.definition.rules;
      const attempts = this.#attemptsOfEntry.get(line) ?? [];
      for (const [at, held] of instants) {
        const most = stampedAt - this.#dueAt(line, held, at);
        if (most < limits.fireLateMs)
          this.#fail("reason", `${line.name} tells of ${at} at ${stampedAt} that it was missed, and it is not late`);
        const behind = attempts.filter((one) => one > at).length;
        const lateMs = stampedAt - at - jitterOf(line.name, held.rules.jitterMs);
        const isTooOld = lateMs + slackMs >= Math.max(catchUpMs, limits.fireLateMs);
        const isOutdone = missed === "latest" ? behind > 0 : behind >= missedMost;
        if (missed !== "skip" && !isTooOld && !isOutdone)
          this.#fail("lost", `${line.name} (missed: ${missed}) does not make up ${at} at ${stampedAt}`);
      }
    }
    for (const [line, fired] of this.#firesOfEntry) {
      const { missed = "latest", catchUpMs = 3_600_000 } = line.definition.rules;
      const late = fired.filter(({ at }) => stampedAt - this.#latestDue(line, at) > limits.fireLateMs + slackMs);
      for (const { at } of late) {
        if (missed === "skip") this.#fail("reason", `${line.name} makes up ${at} at ${stampedAt}, and is to skip it`);
        if (stampedAt - this.#latestDue(line, at) > Math.max(catchUpMs, limits.fireLateMs) + slackMs)
          this.#fail("reason", `${line.name} makes up ${at} at ${stampedAt}, beyond its catch_up`);
      }
      if (missed === "latest" && late.length > 1)
        this.#fail("reason", `${line.name} makes up ${late.length} instants at once, and is to make up the latest`);
    }
  }

  #latestDue(line: Line, at: number): number {
    const held = line.held.find((one) => at > one.from && at <= one.until);
    return at + jitterOf(line.name, held?.rules.jitterMs);
  }

  #judgeLag(line: Line, held: Held, at: number): void {
    const { trueMs } = this.#now!;
    const due = this.#dueAt(line, held, at);
    if (held.until !== Infinity) return;
    const began = this.#terms.get(this.#entry!.term)!;
    const from = trueMs - quietMs;
    const wasTrouble = this.#troubles.some(([begin, end]) => begin <= trueMs && end >= Math.min(from, due - quietMs));
    if (wasTrouble || began > Math.min(from, due - quietMs)) return;
    this.onTime += 1;
    const lag = this.#entry!.stampedAt - due;
    this.worstMs = Math.max(this.worstMs, lag);
    if (lag > lateMs)
      this.#fail(
        "late",
        `${line.name} fires ${due} at ${this.#entry!.stampedAt}, ${lag} ms late, and nothing was wrong`,
      );
    const off = this.#cluster.hosts.reduce((most, { clockAheadMs }) => Math.max(most, Math.abs(clockAheadMs)), 0);
    if (trueMs - due > lateMs + off + limits.clockToleranceMs)
      this.#fail("late", `${line.name} fires ${due} at ${trueMs} by the true time, and nothing was wrong`);
  }

  // --------------------------------------------------------------------------------------------------- end

  #judgeEnd(line: Line): void {
    this.scheduleMs += this.#at - line.setAt;
    if (line.hasEnded) return;
    const next = this.#next(line);
    if (next === undefined) return;
    const due = next.at + jitterOf(line.name, next.held.rules.jitterMs);
    if (due < this.#at - (next.held.paused || line.paused ? pausedEndMs : endMs))
      this.#fail("lost", `${line.name} has nothing to tell of ${next.at} at ${this.#at}`);
  }

  /** What a node's state says of it all, which has applied everything up to `index`. */
  judgeState(node: number, index: number, tx: ReadTx): void {
    for (const line of this.#lines.values()) {
      const row = scheduleByName(tx, line.name);
      const told = textOf(line.history.filter((one) => one.index <= index));
      const rows = row === undefined ? [] : firesBefore(tx, row.id, Number.MAX_SAFE_INTEGER, 1_000_000).toReversed();
      const kept = textOf(
        rows.map(({ at, until, reason, job, count }) => ({
          at,
          until,
          what: reason ?? "fired",
          number: reason === null ? job! : count,
        })),
      );
      const isTrimmed = rows.length >= 900;
      if (kept.join() !== (isTrimmed ? told.slice(-kept.length) : told).join())
        this.#fail(
          "history",
          `node ${node} tells otherwise of ${line.name}: ${kept.length} lines, and ${told.length} were told`,
        );
    }
  }
}

function isTold(change: Change): change is Told {
  return change.topic === "schedule";
}

/** Those that say the same one after the other are one. */
function textOf(runs: readonly Run[]): string[] {
  const merged: Run[] = [];
  for (const run of runs) {
    const last = merged.at(-1);
    if (last === undefined || last.what !== run.what || run.what === "fired") merged.push(run);
    else merged[merged.length - 1] = { ...last, until: run.until, number: last.number + run.number };
  }
  return merged.map(({ at, until, what, number }) => `${at} ${until} ${what} ${number}`);
}
