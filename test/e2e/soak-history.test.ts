import { describe, expect, test } from "bun:test";
import { type Operation, refuted } from "../../scripts/soak-history.ts";
import { randomInteger, seededRandom } from "../../src/lib/prng.ts";

const seed = Number(process.env["SKEIN_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

const submit = (beganMs: number, endedMs: number, value: number | undefined): Operation => ({
  kind: "submit",
  client: 0,
  beganMs,
  endedMs,
  value,
});
const read = (beganMs: number, endedMs: number, value: number): Operation => ({
  ...submit(beganMs, endedMs, value),
  kind: "read",
});

describe("histories that no order explains", () => {
  test.each<[string, Operation[]]>([
    [
      "a read that began after a submit had ended, and does not see it",
      [submit(0, 1, 1), submit(2, 3, 2), read(4, 5, 1)],
    ],
    ["a read that sees less than an earlier one did", [submit(0, 9, 1), submit(0, 9, 2), read(1, 2, 2), read(3, 4, 1)]],
    ["a read of what was submitted after it", [read(0, 1, 1), submit(2, 3, 1)]],
    ["an id given to a later submit that is lower", [submit(0, 1, 2), submit(2, 3, 1)]],
    ["one id given twice", [submit(0, 5, 1), submit(0, 5, 1)]],
    ["an id that nobody asked for", [submit(0, 1, 1), read(2, 3, 2)]],
    ["an id seen before its submit, whose answer was lost, began", [read(0, 1, 1), submit(2, Infinity, undefined)]],
  ])("%s", (_, history) => {
    expect(refuted(history)).not.toEqual([]);
  });
});

describe("histories that one order explains", () => {
  test.each<[string, Operation[]]>([
    ["nothing", []],
    ["a read beside a submit, which may see it or not", [submit(0, 5, 1), read(1, 2, 0), read(3, 4, 1)]],
    [
      "a submit whose answer was lost and that was seen",
      [submit(0, Infinity, undefined), read(2, 3, 1), submit(4, 5, 2)],
    ],
    ["ids given in the other order to submits that overlap", [submit(0, 5, 2), submit(1, 6, 1)]],
  ])("%s", (_, history) => {
    expect(refuted(history)).toEqual([]);
  });

  test(`of a real counter under many clients; with two far values exchanged it is refuted (SKEIN_TEST_SEED=${seed})`, () => {
    const random = seededRandom(seed);
    const history: Operation[] = [];
    let last = 0;
    for (let atMs = 0; atMs < 2000; atMs += 5) {
      const [beganMs, endedMs] = [atMs - randomInteger(random, 0, 40), atMs + randomInteger(random, 0, 40)];
      history.push(random() < 0.5 ? submit(beganMs, endedMs, ++last) : read(beganMs, endedMs, last));
    }
    expect(refuted(history)).toEqual([]);
    const given = history.filter((one) => one.kind === "submit");
    const [early, late] = [given[5]!, given.at(-5)!];
    const changed = history.map((one) =>
      one === early ? { ...one, value: late.value } : one === late ? { ...one, value: early.value } : one,
    );
    expect(refuted(changed)).not.toEqual([]);
  });
});
