import { drainMicrotasks } from "bun:jsc";
import { seededRandom } from "../../src/lib/prng.ts";

/**
 * Virtual time. One heap of events keyed (time, sequence), in whole microseconds; before the next one is taken, the microtasks of the last one
 * have all run, so nothing is left to the scheduler of the runtime. While it runs, the global clocks and timers are these: production code
 * needs no ports for them. What an event starts belongs to the {@link Runner} that the event belongs to: its clocks
 * drift, its timers are late while it stands still, and nothing of it happens after its end.
 */

export type Handle = Event;

/** What a process is to time. */
export interface Runner {
  readonly name: string;
  alive: boolean;
  /** It runs no code before this instant (µs); changed by {@link VirtualTime.freeze} and {@link VirtualTime.thaw}. */
  frozenUntil: number;
  /** How fast its clocks run: 1.02 is two percent too fast. */
  readonly rate: number;
  /** Added to true time for its wall clock (ms); a step changes it. */
  wallOffsetMs: number;
  /** The instant (µs) that its monotonic clock counts from. */
  readonly bornAt: number;
}

class Event {
  time: number;
  sequence: number;
  readonly runner: Runner | undefined;
  run: (() => void) | undefined;
  /** Its time had come while its runner stood still. */
  waits = false;
  /** µs between the runs of an interval; 0: once. */
  readonly every: number;

  constructor(time: number, sequence: number, runner: Runner | undefined, run: () => void, every: number) {
    this.time = time;
    this.sequence = sequence;
    this.runner = runner;
    this.run = run;
    this.every = every;
  }

  unref(): this {
    return this;
  }

  ref(): this {
    return this;
  }
}

/** True time at the beginning: an epoch in ms. */
export const epochMs = 1_800_000_000_000;

/** The clock, the events, and what has happened so far as one number. */
export class VirtualTime {
  /** µs since the beginning. */
  now = 0;
  /** Events that were run. */
  events = 0;
  /** Of all events so far: two runs that differ anywhere differ here. */
  traceHash = 0x811c9dc5;
  /** Told after each event of a runner, its microtasks included. */
  onRan: (runner: Runner) => void = () => {};
  /** Told of what an event threw. */
  onThrown: (error: unknown, runner: Runner | undefined) => void;
  #current: Runner | undefined;
  #sequence = 0;
  readonly #heap: Event[] = [];
  /** Of this instant, in order. */
  #immediates: Event[] = [];

  constructor(onThrown: (error: unknown, runner: Runner | undefined) => void) {
    this.onThrown = onThrown;
  }

  get current(): Runner | undefined {
    return this.#current;
  }

  /** Folds a number into the trace. */
  trace(value: number): void {
    this.traceHash = Math.imul(this.traceHash ^ (value | 0), 0x01000193) ^ (this.traceHash >>> 15);
  }

  /** After true µs. */
  after(delay: number, runner: Runner | undefined, run: () => void): Event {
    const event = new Event(this.now + Math.max(0, Math.round(delay)), ++this.#sequence, runner, run, 0);
    this.#push(event);
    return event;
  }

  cancel(event: Event | undefined): void {
    if (event !== undefined) event.run = undefined;
  }

  /** Runs `run` at once as that runner, its microtasks included. */
  as(runner: Runner | undefined, run: () => void): void {
    if (runner?.alive === false) return;
    const before = this.#current;
    this.#current = runner;
    try {
      run();
      drainMicrotasks();
    } catch (error) {
      this.onThrown(error, runner);
    }
    this.#current = before;
  }

  /** It stands still until then (µs), or for as long as it does already: what waits must not be overtaken by what comes. */
  freeze(runner: Runner, until: number): void {
    runner.frozenUntil = Math.max(runner.frozenUntil, until);
  }

  /** It goes on now, with what has waited first. */
  thaw(runner: Runner): void {
    if (runner.frozenUntil <= this.now) return;
    runner.frozenUntil = this.now;
    const all = this.#heap.splice(0);
    for (const event of all) {
      if (event.runner === runner && event.waits) event.time = this.now;
      this.#push(event);
    }
  }

  /** Until the given instant (µs), or until `isDone` says so after some event. */
  runUntil(end: number, isDone: () => boolean = () => false): void {
    while (!isDone()) {
      const event = this.#take(end);
      if (event === undefined) {
        this.now = Math.max(this.now, end);
        return;
      }
      this.#runEvent(event);
    }
  }

  #take(end: number): Event | undefined {
    if (this.#immediates.length > 0) return this.#immediates.shift();
    const next = this.#heap[0];
    if (next === undefined || next.time > end) return undefined;
    this.#pop();
    this.now = next.time;
    return next;
  }

  #runEvent(event: Event): void {
    const { run, runner } = event;
    if (run === undefined || runner?.alive === false) return;
    if (runner !== undefined && runner.frozenUntil > this.now) {
      event.time = runner.frozenUntil; // in the order in which they came, once it runs again
      event.waits = true;
      this.#push(event);
      return;
    }
    if (event.every === 0) event.run = undefined;
    this.events += 1;
    this.trace(event.sequence);
    this.trace(this.now);
    this.#current = runner;
    try {
      run();
      drainMicrotasks();
    } catch (error) {
      this.onThrown(error, runner);
    }
    this.#current = undefined;
    if (event.every > 0 && event.run !== undefined) {
      event.time = this.now + event.every;
      event.sequence = ++this.#sequence;
      event.waits = false;
      this.#push(event);
    }
    if (runner !== undefined) this.onRan(runner);
  }

  // ------------------------------------------------------------------------------------------------ clocks

  monotonicMs(): number {
    const runner = this.#current;
    return runner === undefined ? this.now / 1000 : ((this.now - runner.bornAt) / 1000) * runner.rate + 1000;
  }

  wallMs(): number {
    const runner = this.#current;
    const rate = runner?.rate ?? 1;
    return Math.floor(epochMs + (this.now / 1000) * rate + (runner?.wallOffsetMs ?? 0));
  }

  /** Epoch ms, by a clock that is right. */
  get trueWallMs(): number {
    return epochMs + this.now / 1000;
  }

  /** Puts this time in the place of the runtime's own; gives what ends that. */
  install(seed: number): () => void {
    const random = seededRandom(seed);
    const outside = {
      setTimeout: globalThis.setTimeout,
      clearTimeout: globalThis.clearTimeout,
      setInterval: globalThis.setInterval,
      clearInterval: globalThis.clearInterval,
      setImmediate: globalThis.setImmediate,
      clearImmediate: globalThis.clearImmediate,
    };
    const dateNow: unknown = Reflect.get(Date, "now");
    const performanceNow: unknown = Reflect.get(performance, "now");
    const mathRandom: unknown = Reflect.get(Math, "random");
    const sleep: unknown = Reflect.get(Bun, "sleep");
    const delayOf = (ms: unknown): number => {
      const given = typeof ms === "number" && ms > 0 ? ms : 0;
      return Math.max(1, Math.round((given * 1000) / (this.#current?.rate ?? 1)));
    };
    const timer = (run: () => void, ms?: unknown): Event => this.after(delayOf(ms), this.#current, run);
    const clear = (handle: unknown): void => this.cancel(handle instanceof Event ? handle : undefined);
    Object.assign(globalThis, {
      setTimeout: timer,
      clearTimeout: clear,
      setInterval: (run: () => void, ms?: unknown): Event => {
        const every = delayOf(ms);
        const event = new Event(this.now + every, ++this.#sequence, this.#current, run, every);
        this.#push(event);
        return event;
      },
      clearInterval: clear,
      setImmediate: (run: () => void): Event => {
        const event = new Event(this.now, ++this.#sequence, this.#current, run, 0);
        this.#immediates.push(event);
        return event;
      },
      clearImmediate: clear,
    });
    Date.now = () => this.wallMs();
    performance.now = () => this.monotonicMs();
    Math.random = random;
    Object.assign(Bun, { sleep: (ms: number) => new Promise<void>((resolve) => timer(resolve, ms)) });
    return () => {
      Object.assign(globalThis, outside);
      Object.assign(Date, { now: dateNow });
      Object.assign(performance, { now: performanceNow });
      Object.assign(Math, { random: mathRandom });
      Object.assign(Bun, { sleep });
    };
  }

  // -------------------------------------------------------------------------------------------------- heap

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.time < b.time || (a.time === b.time && a.sequence < b.sequence);
}
