import { expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import { run, tool } from "../../scripts/steps.ts";
import { synchronousOff } from "../../scripts/synchronous-off.ts";
import { isFound, judgeAll } from "./gate.ts";
import { mutants } from "./mutants.ts";
import { outdated } from "./plant.ts";

/** Those that a handful of seeds finds, one for each checker. All of them: `npm run sim -- --mutants`. */
const sample = ["1", "3", "16", "21", "32", "33", "82"];

/** These at least. */
const asked = "1 3 4 5 7 8 13 14 16 18 20 21 22 26 27 30 32 33 38".split(" ");

test("every mutant fits the sources as they are, and is told apart", () => {
  expect([...mutants, synchronousOff].map(outdated).filter((why) => why !== undefined)).toEqual([]);
  const names = mutants.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(asked));
  expect(names.length).toBeGreaterThanOrEqual(25);
  expect(new Set(names).size).toBe(names.length);
  for (const { patches, checkers } of mutants) {
    expect(patches.length).toBeGreaterThan(0);
    expect(checkers.length).toBeGreaterThan(0);
    for (const { old, new: text } of patches) expect(text).not.toBe(old);
  }
});

test("a sample of them works without faults, and is caught by its checkers with them", async () => {
  const chosen = mutants.filter(({ name }) => sample.includes(name));
  expect(chosen).toHaveLength(sample.length);
  const judged = await judgeAll(chosen, { seeds: 300, atOnce: Math.min(2, availableParallelism()), tell: () => {} });
  for (const one of judged)
    expect({ name: one.mutant.name, isFound: isFound(one), calm: one.calm, storm: one.storm }).toMatchObject({
      isFound: true,
    });
}, 300_000);

test("what a leader keeps in mind is held by the tests that are named, each of which fails with its mutant", async () => {
  const chosen = mutants.filter(({ simulation }) => simulation === "test");
  expect(chosen.length).toBeGreaterThanOrEqual(8);
  const judged = await judgeAll(chosen, { seeds: 1, atOnce: Math.min(2, availableParallelism()), tell: () => {} });
  expect(judged.filter((one) => !isFound(one)).map(({ mutant, storm }) => [mutant.name, storm])).toEqual([]);
}, 300_000);

test("the command for people plants them too: it runs under another runtime than the tests", async () => {
  const { code, output } = await run(tool("tsx"), ["scripts/sim.ts", "--mutants", "--only=1"], { timeoutMs: 240_000 });
  expect({ code, output }).toEqual({ code: 0, output: expect.stringContaining("1 of 1 found, 1 within 300 seeds") });
}, 300_000);
