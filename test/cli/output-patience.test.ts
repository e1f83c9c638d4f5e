import { afterEach, beforeEach, expect, jest, test } from "bun:test";
import { OutputPatience } from "../../src/cli/output-patience.ts";

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

function patience(): { readonly patience: OutputPatience; given(): boolean } {
  let given = false;
  return { patience: new OutputPatience(10_000, () => (given = true)), given: () => given };
}

test("while output comes, or is being written to somebody who reads slowly, it is waited for", () => {
  const one = patience();
  one.patience.came();
  one.patience.begin();
  jest.advanceTimersByTime(60_000); // somebody looks at the first page
  one.patience.written();
  for (let piece = 0; piece < 5; piece++) {
    jest.advanceTimersByTime(9_000);
    one.patience.came();
    one.patience.came(); // of another task
    one.patience.written();
    jest.advanceTimersByTime(30_000);
    one.patience.written();
  }
  expect(one.given()).toBe(false);
});

test("it is given up when nothing has come for so long after the job's end, and not before that", () => {
  const one = patience();
  jest.advanceTimersByTime(60_000);
  one.patience.begin();
  jest.advanceTimersByTime(9_999);
  expect(one.given()).toBe(false);
  jest.advanceTimersByTime(1);
  expect(one.given()).toBe(true);
});

test("nothing is given up once it is over", () => {
  const one = patience();
  one.patience.begin();
  one.patience.came();
  one.patience.end();
  one.patience.written();
  jest.advanceTimersByTime(60_000);
  expect(one.given()).toBe(false);
});
