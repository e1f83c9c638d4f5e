import { expect, test } from "bun:test";
import { LagWindow } from "../../src/node/lag-window.ts";

test("a node must have what the leader's log held 250 ms ago, and no more", () => {
  const window = new LagWindow(250);
  expect(window.required(0, 100)).toBe(0); // nothing is known of that time
  expect(window.required(200, 500)).toBe(0);
  expect(window.required(250, 600)).toBe(100);
  expect(window.required(449, 700)).toBe(100);
  expect(window.required(480, 800)).toBe(500);
  expect(window.required(10_000, 800)).toBe(800); // a log that rests: everybody is to have it
});

test("many questions in a short time keep the memory small and the answer the same", () => {
  const window = new LagWindow(250);
  for (let at = 0; at <= 1000; at++) window.required(at, at);
  const required = window.required(1000, 1000);
  expect(required).toBeGreaterThanOrEqual(700);
  expect(required).toBeLessThanOrEqual(750);
});
