/**
 * Jobs for a soak, drawn from a seed: retries, keys, graphs, arrays (in units, too, of which most waits on its node), instants, deadlines, limits, both ways of what becomes of lost tasks; and how each of their
 * attempts must end unless something takes it away. What was drawn says what may come of it: soak-jobs-judge.ts.
 */
import { type Random, randomInteger } from "../src/lib/prng.ts";

export type Condition = "succeeded" | "failed" | "done";

/** How attempts end when they are left alone. */
type Behaviour =
  | { readonly kind: "succeeds" }
  /** Every attempt. */
  | { readonly kind: "fails" }
  /** Attempts up to this one. */
  | { readonly kind: "fails at first"; readonly attempts: number }
  /** Tasks whose number is divisible by this. */
  | { readonly kind: "fails by task"; readonly every: number }
  /** It never ends by itself. */
  | { readonly kind: "hangs" };

/** A job that is to be submitted. */
export interface Drawn {
  readonly serial: number;
  /** Nobody else's. */
  readonly name: string;
  /** As it is submitted; `after` is added when the ids of its parents are known. */
  readonly spec: Readonly<Record<string, unknown>>;
  readonly behaviour: Behaviour;
  readonly tasks: number;
  /** Its tasks leave traces: they are processes. */
  readonly isTraced: boolean;
  readonly after: readonly { readonly serial: number; readonly when: Condition }[];
  /** Lines that a task prints between its first and its last. */
  readonly lines: number;
  /** It is asked for this long after the submit. */
  readonly cancelAfterMs: number | undefined;
  /** It is held as soon as it is there, for this long. */
  readonly holdForMs: number | undefined;
}

export const licenses = 2;
export const slots = 8;
const keys = 6;
/** Of the jobs with several tasks: those with many. */
const largeShare = 0.08;
/** How far back a parent is looked for. */
export const parentsWithin = 100;

/** How that attempt of that task ends when it is left alone; undefined: not by itself. */
export function outcomeOf(
  { behaviour, spec }: Pick<Drawn, "behaviour" | "spec">,
  task: number,
  attempt: number,
): "succeeded" | "failed" | "timeout" | undefined {
  switch (behaviour.kind) {
    case "succeeds":
      return "succeeded";
    case "fails":
      return "failed";
    case "fails at first":
      return attempt <= behaviour.attempts ? "failed" : "succeeded";
    case "fails by task":
      return task % behaviour.every === 0 ? "failed" : "succeeded";
    case "hangs":
      break;
  }
  return spec["timeout"] === undefined ? undefined : "timeout";
}

/** All that an attempt prints that gets to its end. */
export function outputOf({ lines }: Pick<Drawn, "lines">, job: number, task: number, attempt: number): string {
  const between = Array.from({ length: lines }, (_, at) => `${at + 1}\n`).join("");
  return `begin ${job} ${task} ${attempt}\n${between}end ${job} ${task} ${attempt}\n`;
}

/** Draws jobs one after the other; `traces` is the file that all of their tasks write to. */
export class JobsPlan {
  readonly #random: Random;
  readonly #traces: string;
  readonly #mayBeLong: boolean;
  #serial = 0;

  constructor(random: Random, traces: string, options: { readonly mayBeLong: boolean }) {
    this.#random = random;
    this.#traces = traces;
    this.#mayBeLong = options.mayBeLong;
  }

  /** `known`: serials of jobs that are there, or are submitted in the same request. */
  next(known: readonly number[]): Drawn {
    const serial = (this.#serial += 1);
    const name = `chaos-${serial}`;
    const isTraced = this.#chance(0.55);
    const isLong = isTraced && this.#mayBeLong && this.#chance(0.005);
    const spec: Record<string, unknown> = { name };
    let tasks = 1;
    if (!isLong && this.#chance(0.15)) tasks = this.#drawShape(spec, isTraced);
    const behaviour = this.#drawBehaviour(spec, tasks, isLong, isTraced);
    if (isTraced && this.#chance(0.3)) spec["on_lost"] = "fail";
    const lines = isTraced && this.#chance(0.05) ? this.#between(1000, 20_000) : 0;
    if (isTraced) {
      // Beats are ten a second. A long one outlasts the lease of its node (J3).
      const beats = isLong ? this.#between(70, 120) : this.#chance(0.7) ? 0 : this.#between(1, 6);
      spec["run"] = script(this.#traces, behaviour, beats, lines);
      if (this.#chance(0.1)) spec["resources"] = { license: 1 };
    } else {
      const forMs = this.#chance(0.6) ? 0 : this.#between(1, 400);
      spec["driver"] = "noop";
      spec["noop"] = {
        for: `${behaviour.kind === "hangs" ? 600_000 : forMs}ms`,
        exit: behaviour.kind === "fails" ? 1 : 0,
      };
    }
    if (this.#chance(0.2)) spec["priority"] = this.#between(0, 100);
    // Who waits for an instant is there for long enough to be held before it starts.
    const isHeld = this.#chance(0.02);
    if (isHeld || this.#chance(0.04)) spec["start_at"] = new Date(Date.now() + this.#between(500, 3000)).toISOString();
    if (!isLong && behaviour.kind !== "hangs" && this.#chance(0.05)) this.#drawKey(spec);
    return {
      serial,
      name,
      spec,
      behaviour,
      tasks,
      isTraced,
      after: isHeld || known.length === 0 || !this.#chance(0.3) ? [] : this.#drawParents(known),
      lines,
      cancelAfterMs: this.#chance(0.03) ? this.#between(0, 1500) : undefined,
      holdForMs: isHeld ? this.#between(1500, 4000) : undefined,
    };
  }

  /** How many jobs go into the next request. */
  size(): number {
    return this.#chance(0.3) ? 1 : this.#between(2, 60);
  }

  #drawShape(spec: Record<string, unknown>, isTraced: boolean): number {
    const shape = this.#random();
    // Of these most wait on the nodes that they were given to, together with others.
    const isLarge = shape < largeShare;
    if (!isLarge && this.#chance(0.4)) spec["parallel"] = this.#between(1, 3);
    if (this.#chance(isLarge ? 0.7 : 0.3)) spec["unit"] = this.#between(1, isLarge ? 100 : 8);
    if (shape < 0.6) {
      const count = isLarge ? this.#between(30, isTraced ? 60 : 400) : this.#between(2, 10);
      spec["count"] = count;
      return count;
    }
    if (shape < 0.8) {
      const numbers = this.#between(2, 8);
      spec["array"] = `0-${numbers * 3 - 1}:3`;
      return numbers;
    }
    spec["matrix"] = { mode: ["a", "b"], threads: [1, 2, 4], exclude: [{ mode: "b", threads: 4 }] };
    return 5;
  }

  #drawBehaviour(spec: Record<string, unknown>, tasks: number, isLong: boolean, isTraced: boolean): Behaviour {
    if (isLong) return { kind: "succeeds" };
    const draw = this.#random();
    if (draw < 0.02) {
      // Either ends it.
      if (this.#chance(0.5)) spec["timeout"] = `${this.#between(100, 600)}ms`;
      else spec["deadline"] = `${this.#between(4000, 6000)}ms`;
      return { kind: "hangs" };
    }
    const retries = this.#between(1, 3);
    if (this.#chance(0.35))
      spec["retries"] = { max: retries, backoff: `${this.#between(10, 300)}ms`, factor: 2, cap: "1s", jitter: 0.2 };
    if (draw < 0.12) return { kind: "fails" };
    if (!isTraced) return { kind: "succeeds" };
    if (draw < 0.2 && spec["retries"] !== undefined)
      return { kind: "fails at first", attempts: this.#between(1, retries) };
    if (draw < 0.5 && tasks > 1) {
      if (this.#chance(0.7)) spec["max_failures"] = this.#chance(0.5) ? this.#between(0, 3) : "30%";
      return { kind: "fails by task", every: this.#between(2, 4) };
    }
    return { kind: "succeeds" };
  }

  #drawKey(spec: Record<string, unknown>): void {
    spec["key"] = `key-${this.#between(1, keys)}`;
    const conflict = this.#random();
    if (conflict < 0.25) spec["on_conflict"] = conflict < 0.1 ? "refuse" : "replace";
  }

  #drawParents(known: readonly number[]): { serial: number; when: Condition }[] {
    const parents = new Map<number, Condition>();
    const recent = known.slice(-parentsWithin);
    for (let more = this.#between(1, 3); more > 0; more--) {
      const draw = this.#random();
      const when = draw < 0.6 ? "succeeded" : draw < 0.85 ? "done" : "failed";
      parents.set(recent[this.#between(0, recent.length - 1)]!, when);
    }
    return [...parents].map(([serial, when]) => ({ serial, when }));
  }

  #chance(share: number): boolean {
    return this.#random() < share;
  }

  #between(low: number, high: number): number {
    return randomInteger(this.#random, low, high);
  }
}

/**
 * What a task does. Every line of its trace is one write to the end of a file that all nodes of the host share, so that the order of the lines is the order of what
 * happened; the time beside it is the host's uptime, which nobody sets.
 */
function script(traces: string, behaviour: Behaviour, beats: number, lines: number): string {
  const who = "$SKEIN_JOB $SKEIN_TASK $SKEIN_ATTEMPT";
  const exit = {
    succeeds: "exit 0",
    fails: "exit 1",
    "fails at first": `[ $SKEIN_ATTEMPT -gt ${"attempts" in behaviour ? behaviour.attempts : 0} ]`,
    "fails by task": `[ $((SKEIN_TASK % ${"every" in behaviour ? behaviour.every : 1})) -ne 0 ]`,
    hangs: "exit 0",
  }[behaviour.kind];
  const count = behaviour.kind === "hangs" ? 100_000 : beats;
  return [
    `say() { read up idle < /proc/uptime; echo "$1 ${who} $SKEIN_FENCE $SKEIN_NODE $up" >> ${traces}; }`,
    `say begin; echo begin ${who}`,
    ...(lines === 0 ? [] : [`seq ${lines}`]),
    ...(count === 0 ? [] : [`i=0; while [ $i -lt ${count} ]; do say beat; sleep 0.1; i=$((i+1)); done`]),
    `echo end ${who}; say end`,
    exit,
  ].join("\n");
}
