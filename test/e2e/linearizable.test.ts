import { describe, expect, test } from "bun:test";
import {
  type Call,
  judge,
  judgeByKey,
  type Model,
  register,
  type RegisterInput,
  tightened,
} from "../../scripts/linearizable.ts";
import { type Operation, refuted } from "../../scripts/soak-history.ts";
import { type Random, randomInteger, seededRandom } from "../../src/lib/prng.ts";

const seed = Number(process.env["SKEIN_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

type RegisterCall = Call<RegisterInput, string>;
let client = 0;
const write = (value: string, beganMs: number, endedMs: number, key = "x"): RegisterCall => ({
  client: client++,
  input: { key, kind: "write", value },
  output: endedMs === Infinity ? undefined : "",
  beganMs,
  endedMs,
});
const read = (output: string, beganMs: number, endedMs: number, key = "x"): RegisterCall => ({
  client: client++,
  input: { key, kind: "read" },
  output,
  beganMs,
  endedMs,
});

/** A counter: "next" gives a new number, "last" shows the newest one. */
const counter: Model<number, "next" | "last", number> = {
  initial: 0,
  step: (state, input, output) => {
    const value = input === "next" ? state + 1 : state;
    return output === undefined || output === value ? value : undefined;
  },
  key: String,
};

describe("bad histories of a register are refused", () => {
  test.each<[string, RegisterCall[]]>([
    ["a stale read: an old value after a newer one was written", [write("a", 0, 1), write("b", 2, 3), read("a", 4, 5)]],
    ["a lost write: nothing is there after an acknowledged one", [write("a", 0, 1), read("", 2, 3)]],
    [
      "a double effect: a write shows again after it was overwritten and both had been seen",
      [write("a", 0, 1), write("b", 2, 3), read("b", 4, 5), read("a", 6, 7)],
    ],
    [
      "a double effect of a write without an answer: seen, overwritten, and there again",
      [write("a", 0, Infinity), read("a", 1, 2), write("b", 3, 4), read("b", 5, 6), read("a", 7, 8)],
    ],
    [
      "reordered: two readers see two writes in different order",
      [write("a", 0, 9), write("b", 0, 9), read("a", 10, 11), read("b", 12, 13)],
    ],
    [
      "a split brain: two sides go on, each with its own value",
      [write("a", 0, 1), write("b", 2, 3), read("b", 4, 5), write("c", 2, 3), read("c", 4, 5), read("b", 6, 7)],
    ],
    ["a value from the future", [read("a", 0, 1), write("a", 2, 3)]],
    ["a value that nobody wrote", [write("a", 0, 1), read("z", 2, 3)]],
  ])("%s", (_, history) => {
    expect(judge(register, history)).toMatchObject({ kind: "refused" });
  });
});

describe("good histories of a register are accepted", () => {
  test.each<[string, RegisterCall[]]>([
    ["nothing", []],
    ["a read beside a write may see it or not", [write("a", 0, 9), read("", 1, 2), read("a", 3, 4)]],
    ["a write without an answer takes effect much later", [write("a", 0, Infinity), read("", 1, 2), read("a", 90, 91)]],
    ["a write without an answer never takes effect", [write("a", 0, Infinity), read("", 1, 2), read("", 90, 91)]],
    ["calls that touch in time overlap", [write("a", 0, 5), read("", 5, 6)]],
    [
      "many at once, in an order that only the reads tell",
      [write("a", 0, 9), write("b", 0, 9), write("c", 0, 9), read("c", 1, 3), read("a", 4, 6), read("b", 7, 9)],
    ],
  ])("%s", (_, history) => {
    expect(judge(register, history)).toEqual({ kind: "linearizable" });
  });
});

test("keys are judged apart, and the bad one is named", () => {
  const history = [write("a", 0, 1, "x"), read("a", 2, 3, "x"), write("b", 0, 1, "y"), read("", 2, 3, "y")];
  expect(judgeByKey(register, history, (input) => input.key).map(({ key }) => key)).toEqual(["y"]);
});

test("a search that takes too long says so", () => {
  const many = Array.from({ length: 12 }, (_, at) => write(String(at), 0, 100));
  expect(judge(register, [...many, read("nobody wrote this", 101, 102)], 1000)).toEqual({ kind: "undecided" });
});

/** Every order of all calls, those without an answer also left out. */
function bruteForce<State, Input, Output>(
  model: Model<State, Input, Output>,
  calls: readonly Call<Input, Output>[],
): boolean {
  const search = (state: State, left: readonly Call<Input, Output>[]): boolean => {
    if (left.every((call) => call.output === undefined)) return true;
    return left.some((call) => {
      if (left.some((other) => other !== call && other.endedMs < call.beganMs)) return false;
      const next = model.step(state, call.input, call.output);
      return (
        next !== undefined &&
        search(
          next,
          left.filter((other) => other !== call),
        )
      );
    });
  };
  return search(model.initial, calls);
}

function randomTimes(random: Random): { readonly beganMs: number; readonly endedMs: number } {
  const beganMs = randomInteger(random, 0, 12);
  return { beganMs, endedMs: random() < 0.15 ? Infinity : beganMs + randomInteger(random, 0, 6) };
}

test(`small random histories are judged as by trying every order (SKEIN_TEST_SEED=${seed})`, () => {
  const random = seededRandom(seed);
  const seen = { good: 0, bad: 0 };
  for (let run = 0; run < 4000; run++) {
    const calls = Array.from({ length: randomInteger(random, 1, 7) }, (): RegisterCall => {
      const { beganMs, endedMs } = randomTimes(random);
      const value = "abc"[randomInteger(random, 0, 2)]!;
      if (random() < 0.5) return write(value, beganMs, endedMs);
      return {
        ...read(random() < 0.2 ? "" : value, beganMs, endedMs),
        ...(endedMs === Infinity ? { output: undefined } : {}),
      };
    });
    const expected = bruteForce(register, calls);
    seen[expected ? "good" : "bad"]++;
    // What is known of writes without an answer must not change the verdict; it holds where every value is written once.
    const unique = calls.map((call, at) =>
      call.input.kind === "write" ? { ...call, input: { ...call.input, value: "abcdefg"[at]! } } : call,
    );
    expect(judge(register, tightened(unique)).kind).toBe(judge(register, unique).kind);
    if ((judge(register, calls).kind === "linearizable") !== expected) {
      throw new Error(`run ${run}: ${expected ? "good" : "bad"}, but judged otherwise: ${JSON.stringify(calls)}`);
    }
  }
  expect(Math.min(seen.good, seen.bad)).toBeGreaterThan(400);
});

test(`the quick judgement of job numbers agrees with the search on random histories of a counter (SKEIN_TEST_SEED=${seed})`, () => {
  const random = seededRandom(seed);
  const seen = { good: 0, bad: 0 };
  for (let run = 0; run < 3000; run++) {
    let last = 0;
    const calls = Array.from({ length: randomInteger(random, 1, 7) }, (): Call<"next" | "last", number> => {
      const times = randomTimes(random);
      const input = random() < 0.5 ? "next" : "last";
      if (input === "next") last++;
      // Mostly right, so that many histories are good.
      const value = Math.max(input === "next" ? 1 : 0, last + (random() < 0.15 ? randomInteger(random, -1, 1) : 0));
      return { client: client++, input, output: times.endedMs === Infinity ? undefined : value, ...times };
    });
    const history = calls.map(({ input, output, ...rest }): Operation => ({
      ...rest,
      kind: input === "next" ? "submit" : "read",
      value: output,
    }));
    const verdict = judge(counter, calls).kind === "linearizable";
    seen[verdict ? "good" : "bad"]++;
    if ((refuted(history).length === 0) !== verdict) {
      throw new Error(
        `run ${run}: ${verdict ? "good" : "bad"}, but ${JSON.stringify(refuted(history))}: ${JSON.stringify(history)}`,
      );
    }
  }
  expect(Math.min(seen.good, seen.bad)).toBeGreaterThan(300);
});

test(`a register under many clients is judged in time; with one read made stale it is refused (SKEIN_TEST_SEED=${seed})`, () => {
  const random = seededRandom(seed);
  let value = "";
  const calls = Array.from({ length: 2000 }, (_, at): RegisterCall => {
    const [beganMs, endedMs] = [at * 5 - randomInteger(random, 0, 10), at * 5 + randomInteger(random, 0, 10)];
    if (random() < 0.5) return read(value, beganMs, endedMs);
    value = String(at);
    return write(value, beganMs, random() < 0.02 ? Infinity : endedMs);
  });
  expect(judge(register, tightened(calls))).toEqual({ kind: "linearizable" });
  const late = calls.findLast((call) => call.input.kind === "read")!;
  const stale = calls.map((call) => (call === late ? { ...call, output: "1" } : call));
  expect(judge(register, tightened(stale)).kind).toBe("refused");
});
