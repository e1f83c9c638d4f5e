/**
 * Is there one order of all calls that explains what every client saw, and in which no call comes before one that had ended when it began? The
 * search of Wing and Gong with Lowe's memory of what was tried: it goes through calls and returns in time, takes a call as done wherever the model
 * allows it, and goes back when a return is met whose call could not be placed. Keys are judged one by one: objects that do not touch each other
 * are linearizable together when each of them is.
 */

/** One call of a client. */
export interface Call<Input, Output> {
  readonly client: number;
  readonly input: Input;
  /** undefined: no answer came; it may have taken effect at any later time, or never. */
  readonly output: Output | undefined;
  readonly beganMs: number;
  /** Infinity without an answer. */
  readonly endedMs: number;
}

/** A sequential object. */
export interface Model<State, Input, Output> {
  readonly initial: State;
  /** The state after the call, or undefined when it cannot have given this output. `output` undefined: whatever it was. */
  step(state: State, input: Input, output: Output | undefined): State | undefined;
  /** Equal texts for equal states. */
  key(state: State): string;
}

export type Verdict<Input, Output> =
  | { readonly kind: "linearizable" }
  /** `placed`: the longest order that was found; `stuck`: the answered calls that fit nowhere behind it. */
  | { readonly kind: "refused"; readonly placed: number; readonly stuck: readonly Call<Input, Output>[] }
  /** The search was given up after `stepsMax` steps. */
  | { readonly kind: "undecided" };

/** A call, or the return of one: a place in the list that is searched. */
interface Place<Input, Output> {
  readonly call: Call<Input, Output>;
  readonly number: number;
  /** Of a call: the place of its return. */
  readonly end: Place<Input, Output> | undefined;
  before: Place<Input, Output> | undefined;
  after: Place<Input, Output> | undefined;
}

const stepsDefault = 20_000_000;

/** Judges the calls of one object. */
export function judge<State, Input, Output>(
  model: Model<State, Input, Output>,
  calls: readonly Call<Input, Output>[],
  stepsMax = stepsDefault,
): Verdict<Input, Output> {
  const head = listOf(calls);
  const placed = new Placed(calls.length);
  const tried = new Map<string, Uint32Array[]>();
  const path: { readonly place: Place<Input, Output>; readonly before: State }[] = [];
  let state = model.initial;
  let longest = 0;
  let stuck: readonly Call<Input, Output>[] = [];
  let at = head.after;
  for (let steps = 0; head.after !== undefined; steps++) {
    if (steps > stepsMax) return { kind: "undecided" };
    if (at === undefined) throw new Error("the list of calls ends with a return");
    if (at.end !== undefined) {
      const next = model.step(state, at.call.input, at.call.output);
      if (next !== undefined && placed.isNew(tried, at.number, model.key(next))) {
        path.push({ place: at, before: state });
        placed.flip(at.number);
        state = next;
        lift(at);
        at = head.after;
      } else at = at.after;
      continue;
    }
    // A return: its call must have been placed before now, so the last one that was placed is taken back.
    if (path.length >= longest) {
      longest = path.length;
      stuck = callsAround(head.after, at);
    }
    const last = path.pop();
    if (last === undefined) return { kind: "refused", placed: longest, stuck };
    placed.flip(last.place.number);
    state = last.before;
    unlift(last.place);
    at = last.place.after;
  }
  return { kind: "linearizable" };
}

/** Judges every key's calls; gives those that are not linearizable, or not decided. */
export function judgeByKey<State, Input, Output>(
  model: Model<State, Input, Output>,
  calls: readonly Call<Input, Output>[],
  keyOf: (input: Input) => string,
  stepsMax = stepsDefault,
): { readonly key: string; readonly verdict: Verdict<Input, Output> }[] {
  const groups = new Map<string, Call<Input, Output>[]>();
  for (const call of calls) {
    const key = keyOf(call.input);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [call]);
    else group.push(call);
  }
  return [...groups]
    .map(([key, ofKey]) => ({ key, verdict: judge(model, ofKey, stepsMax) }))
    .filter(({ verdict }) => verdict.kind !== "linearizable");
}

/** What can be read and overwritten. */
export type RegisterInput = { readonly key: string } & (
  | { readonly kind: "read" }
  | { readonly kind: "write"; readonly value: string }
);

/** A register that is empty ("") at first. A write gives nothing that could be wrong. */
export const register: Model<string, RegisterInput, string> = {
  initial: "",
  step: (state, input, output) => {
    if (input.kind === "write") return input.value;
    return output === undefined || output === state ? state : undefined;
  },
  key: (state) => state,
};

/**
 * The same history with what is known of writes without an answer, where every value is written once: one whose value was read has taken
 * effect by then, one that nobody saw need not have taken effect at all. Without this a search through many of them would not end.
 */
export function tightened(calls: readonly Call<RegisterInput, string>[]): Call<RegisterInput, string>[] {
  const seenMs = new Map<string, number>();
  for (const { input, output, endedMs } of calls) {
    if (input.kind !== "read" || output === undefined) continue;
    const name = JSON.stringify([input.key, output]);
    seenMs.set(name, Math.min(seenMs.get(name) ?? Infinity, endedMs));
  }
  return calls.flatMap((call) => {
    if (call.output !== undefined) return [call];
    if (call.input.kind === "read") return [];
    const endedMs = seenMs.get(JSON.stringify([call.input.key, call.input.value]));
    return endedMs === undefined ? [] : [{ ...call, endedMs: Math.max(endedMs, call.beganMs) }];
  });
}

/** Calls that are done, as bits. */
class Placed {
  readonly #bits: Uint32Array;
  /** One random number per call; all that are placed, combined, find earlier sets quickly. */
  readonly #marks: Uint32Array;
  #mark = 0;

  constructor(count: number) {
    this.#bits = new Uint32Array((count + 31) >>> 5);
    this.#marks = new Uint32Array(count);
    let mixed = 0x9e3779b9;
    for (let at = 0; at < count; at++) {
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b) + 0x6d2b79f5;
      this.#marks[at] = mixed ^ (mixed >>> 13);
    }
  }

  flip(number: number): void {
    this.#bits[number >>> 5]! ^= 1 << (number & 31);
    this.#mark ^= this.#marks[number]!;
  }

  /** Has this set with one more call led to this state before? From there on everything would be the same again. */
  isNew(tried: Map<string, Uint32Array[]>, number: number, state: string): boolean {
    this.flip(number);
    const key = `${this.#mark}/${state}`;
    const sets = tried.get(key);
    const isNew = sets?.some((set) => set.every((word, at) => word === this.#bits[at])) !== true;
    if (isNew) {
      if (sets === undefined) tried.set(key, [this.#bits.slice()]);
      else sets.push(this.#bits.slice());
    }
    this.flip(number);
    return isNew;
  }
}

/** Calls and returns in time, behind a head. At the same moment a call comes before a return: they overlap. */
function listOf<Input, Output>(calls: readonly Call<Input, Output>[]): Place<Input, Output> {
  const places = calls.flatMap((call, number) => {
    const end: Place<Input, Output> = { call, number, end: undefined, before: undefined, after: undefined };
    return [
      { atMs: call.endedMs, place: end },
      { atMs: call.beganMs, place: { call, number, end, before: undefined, after: undefined } },
    ];
  });
  const isReturn = (place: Place<Input, Output>): number => (place.end === undefined ? 1 : 0);
  // Two infinities differ by NaN.
  places.sort((a, b) => (a.atMs === b.atMs ? 0 : a.atMs - b.atMs) || isReturn(a.place) - isReturn(b.place));
  const head = { before: undefined, after: undefined } as unknown as Place<Input, Output>;
  let last = head;
  for (const { place } of places) {
    last.after = place;
    place.before = last;
    last = place;
  }
  return head;
}

/** Takes a call and its return out of the list. */
function lift<Input, Output>(call: Place<Input, Output>): void {
  for (const place of [call, call.end!]) {
    place.before!.after = place.after;
    if (place.after !== undefined) place.after.before = place.before;
  }
}

/** Puts them back where they were, in the opposite order. */
function unlift<Input, Output>(call: Place<Input, Output>): void {
  for (const place of [call.end!, call]) {
    place.before!.after = place;
    if (place.after !== undefined) place.after.before = place;
  }
}

/** Answered calls that are not placed, up to a return. */
function callsAround<Input, Output>(
  first: Place<Input, Output> | undefined,
  end: Place<Input, Output>,
): Call<Input, Output>[] {
  const calls: Call<Input, Output>[] = [];
  for (let place = first; place !== undefined && place !== end; place = place.after) {
    if (place.end !== undefined && place.call.output !== undefined) calls.push(place.call);
  }
  return calls.slice(0, 10);
}
