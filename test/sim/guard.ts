import { Fault } from "../../src/lib/fault.ts";
import type { Random } from "../../src/lib/prng.ts";
import type { GuardEvents, GuardPort } from "../../src/executor/guard/client.ts";
import type { Start, Started } from "../../src/executor/guard/frames.ts";
import { disowned } from "../../src/executor/identity.ts";
import { attemptKey } from "../../src/executor/names.ts";
import type { AttemptName } from "../../src/executor/types.ts";
import type { Report } from "../../src/state/types.ts";
import type { Handle, Runner, VirtualTime } from "./virtual-time.ts";

/** What the outside sees of attempts: for the judge of J1 to J3. */
export interface EffectPorts {
  started(guard: SimGuard, start: Start): void;
  /** `state` undefined: it was dropped, and nothing is reported. */
  ended(guard: SimGuard, name: AttemptName, state: Report["state"] | undefined): void;
  /** The guard says "lost" of an attempt that it does not know. */
  declaredLost(name: AttemptName): void;
}

interface Attempt {
  readonly start: Start;
  readonly startedAt: number;
  timer: Handle | undefined;
  stopped: Report["state"] | undefined;
}

/** A node that has said hello. */
interface Connection {
  readonly runner: Runner;
  readonly events: GuardEvents;
}

/** For a frame between the two processes. */
const frameMicros = 150;

/**
 * The guard of one host, a process of its own (J3): work begins under a lease, is killed when it ends, outlives the node's process, and results
 * are kept until they are acknowledged. What a task does is in its command: ["work", milliseconds, exit code].
 */
export class SimGuard {
  readonly host: number;
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #effects: EffectPorts;
  runner: Runner;
  readonly #attempts = new Map<string, Attempt>();
  #finished = new Map<string, Report>();
  /** As the real one: of attempts that run, or whose results wait, begun since it was started. */
  readonly #identities = new Map<string, string>();
  /** Every attempt that was ever started here is listed, or was acknowledged. */
  #exact = true;
  #endsAt = -Infinity;
  /** When it last got a lease without having one (µs): what it had before may have been given up since. */
  resumedAt = -Infinity;
  #leaseTimer: Handle | undefined;
  #node: Connection | undefined;

  constructor(host: number, time: VirtualTime, random: Random, runner: Runner, effects: EffectPorts) {
    this.host = host;
    this.#time = time;
    this.#random = random;
    this.#effects = effects;
    this.runner = runner;
  }

  /** In true time, µs. */
  get leaseEndsAt(): number {
    return this.#endsAt;
  }

  get running(): number {
    return this.#attempts.size;
  }

  /** As GuardClient.open: resolves after onOpen. */
  open(node: Runner, events: GuardEvents): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#time.after(2 * frameMicros, this.runner, () => {
        const connection = { runner: node, events };
        this.#node = connection;
        const listing = {
          running: Array.from(this.#attempts.values(), startedOf),
          finished: Array.from(this.#finished.values()),
          exact: this.#exact,
          identities: Object.fromEntries(this.#identities),
          knowsGroups: false,
          holdsInput: true,
        };
        this.#time.after(frameMicros, node, () => {
          if (this.#node !== connection) return reject(new Fault("guard", "the guard went away", "safe"));
          events.onOpen(this.#portOf(connection, listing));
          return resolve();
        });
      });
    });
  }

  #portOf(connection: Connection, listing: GuardPort["listing"]): GuardPort {
    const tell = (run: () => void): void => {
      if (!connection.runner.alive) return;
      this.#time.after(frameMicros, this.runner, () => {
        if (this.#node === connection) run();
      });
    };
    const time = this.#time;
    return {
      listing,
      start: (start) => tell(() => this.#start(start)),
      stop: (names) => tell(() => names.forEach((name) => this.#stop(name))),
      extend: () => {}, // nothing here has a timeout
      drop: (names) => tell(() => names.forEach((name) => this.#drop(name))),
      acknowledge: (names) => tell(() => names.forEach((name) => this.#forget(name))),
      declareLost: (names) => tell(() => this.#keepLost(names)),
      disown: (names) => tell(() => names.forEach((name) => this.#disown(name))),
      // One host, one clock: the deadline on the node's clock is one in true time.
      lease: (endsAt) => {
        const inMs = endsAt - time.monotonicMs();
        const at = time.now + (inMs * 1000) / connection.runner.rate;
        tell(() => this.#lease(at));
      },
      close: () => {
        tell(() => {
          this.#node = undefined;
        });
        return Promise.resolve();
      },
    };
  }

  #tell(run: (events: GuardEvents) => void): void {
    const connection = this.#node;
    if (connection === undefined || !connection.runner.alive) return;
    this.#time.after(frameMicros, connection.runner, () => {
      if (this.#node === connection) run(connection.events);
    });
  }

  #lease(at: number): void {
    if (at <= this.#endsAt) return;
    if (this.#time.now >= this.#endsAt) this.resumedAt = this.#time.now;
    this.#endsAt = at;
    this.#time.cancel(this.#leaseTimer);
    this.#leaseTimer = this.#time.after(at - this.#time.now, this.runner, () => this.#killAll());
  }

  #killAll(): void {
    for (const attempt of Array.from(this.#attempts.values())) this.#end(attempt, "lost");
  }

  #start(start: Start): void {
    const key = keyOf(start);
    if (this.#attempts.has(key) || this.#finished.has(key)) return;
    if (this.#time.now >= this.#endsAt) {
      this.#killAll();
      this.#tell((events) => events.onRefused([nameOf(start)]));
      return;
    }
    const attempt: Attempt = { start, startedAt: this.#time.wallMs(), timer: undefined, stopped: undefined };
    this.#attempts.set(key, attempt);
    if (start.identity !== undefined) this.#identities.set(attemptKey(start), start.identity);
    this.#effects.started(this, start);
    const [, forMs = "0", exit = "0"] = start.run as readonly string[];
    const duration = Number(forMs) * 1000;
    const timeout = (start.timeoutMs ?? Infinity) * 1000;
    const state = timeout < duration ? "timeout" : Number(exit) === 0 ? "succeeded" : "failed";
    attempt.timer = this.#time.after(Math.min(duration, timeout), this.runner, () => this.#end(attempt, state));
    if (Math.min(duration, timeout) > 200_000)
      this.#time.after(200_000, this.runner, () => {
        if (this.#attempts.get(key) === attempt) this.#tell((events) => events.onStarted([startedOf(attempt)]));
      });
  }

  #stop(name: AttemptName): void {
    const attempt = this.#attempts.get(keyOf(name));
    if (attempt === undefined || attempt.stopped !== undefined) return;
    attempt.stopped = "cancelled";
    this.#time.cancel(attempt.timer);
    // Some end at TERM, some only with KILL after the grace.
    const after = this.#random() < 0.7 ? 5_000 : attempt.start.graceMs * 1000;
    attempt.timer = this.#time.after(after, this.runner, () => this.#end(attempt, "cancelled"));
  }

  #drop(name: AttemptName): void {
    const attempt = this.#attempts.get(keyOf(name));
    if (attempt !== undefined) this.#end(attempt, undefined);
    this.#forget(name);
  }

  #forget(name: AttemptName): void {
    this.#finished.delete(keyOf(name));
    this.#identities.delete(attemptKey(name));
  }

  #disown(name: AttemptName): void {
    const attempt = this.#attempts.get(keyOf(name));
    const report = this.#finished.get(keyOf(name));
    if (attempt === undefined) {
      if (report !== undefined) this.#keep(disowned(report));
      return;
    }
    this.#end(attempt, "lost");
  }

  #end(attempt: Attempt, state: Report["state"] | undefined): void {
    const name = nameOf(attempt.start);
    if (this.#attempts.get(keyOf(name)) !== attempt) return;
    this.#time.cancel(attempt.timer);
    this.#attempts.delete(keyOf(name));
    this.#effects.ended(this, name, state);
    if (state === undefined) return;
    const exitCode = state === "succeeded" ? 0 : state === "failed" ? Number(attempt.start.run[2] ?? 1) : null;
    this.#keep({
      ...name,
      state,
      exitCode,
      signal: state === "lost" || state === "cancelled" ? "SIGKILL" : null,
      reason: undefined,
      startedAt: attempt.startedAt,
      finishedAt: this.#time.wallMs(),
      tail: tailOf(attempt.start),
      log: undefined,
    });
  }

  #keep(report: Report): void {
    this.#finished.set(keyOf(report), report);
    this.#tell((events) => events.onFinished([report]));
  }

  #keepLost(names: readonly AttemptName[]): void {
    for (const name of names) {
      if (this.#attempts.has(keyOf(name)) || this.#finished.has(keyOf(name))) continue;
      this.#effects.declaredLost(name);
      this.#keep(this.#lostReport(name));
    }
    this.#exact = true;
  }

  #lostReport(name: AttemptName): Report {
    const now = this.#time.wallMs();
    return {
      ...nameOf(name),
      state: "lost",
      exitCode: null,
      signal: null,
      reason: "nothing is known of it",
      startedAt: now,
      finishedAt: now,
      tail: new Uint8Array(0),
      log: undefined,
    };
  }

  /** The guard is killed: its work goes with it, and the next guard finds what was kept. */
  killed(next: Runner): void {
    const connection = this.#node;
    this.#node = undefined;
    for (const attempt of Array.from(this.#attempts.values())) {
      const name = nameOf(attempt.start);
      this.#time.cancel(attempt.timer);
      this.#attempts.delete(keyOf(name));
      this.#effects.ended(this, name, "lost");
      this.#finished.set(keyOf(name), this.#lostReport(name));
    }
    this.#restart(next);
    if (connection !== undefined && connection.runner.alive)
      this.#time.after(frameMicros, connection.runner, () => connection.events.onLost());
  }

  /** The whole host goes down: what the outbox had on disk is there again, or nothing is known of the past. */
  lostHost(next: Runner, outboxKept: boolean): void {
    this.#node = undefined;
    for (const attempt of Array.from(this.#attempts.values())) {
      this.#time.cancel(attempt.timer);
      this.#effects.ended(this, nameOf(attempt.start), "lost");
      if (outboxKept) this.#finished.set(keyOf(attempt.start), this.#lostReport(nameOf(attempt.start)));
    }
    this.#attempts.clear();
    if (!outboxKept) {
      this.#finished = new Map();
      this.#exact = false;
    }
    this.#restart(next);
  }

  #restart(next: Runner): void {
    this.#time.cancel(this.#leaseTimer);
    this.#identities.clear();
    this.#endsAt = -Infinity;
    this.runner = next;
  }
}

function keyOf({ job, task, attempt }: AttemptName): string {
  return `${job}/${task}.${attempt}`;
}

function nameOf({ job, task, attempt }: AttemptName): AttemptName {
  return { job, task, attempt };
}

function startedOf({ start, startedAt }: Attempt): Started {
  return { ...nameOf(start), startedAt };
}

/** What it wrote: its fence, so that a reader of the state can tell which attempt a result is of. */
function tailOf(start: Start): Uint8Array {
  return Buffer.from(`fence ${start.fence}`);
}
