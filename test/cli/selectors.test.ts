import { describe, expect, test } from "bun:test";
import { parseIds, parseTask } from "../../src/cli/selectors.ts";
import { exitOf } from "./support.ts";

const last = (): Promise<number | undefined> => Promise.resolve(42);
const none = (): Promise<number | undefined> => Promise.resolve(undefined);

describe("job ids as people write them", () => {
  test.each([
    [["5"], [5]],
    [["1-4"], [1, 2, 3, 4]],
    [["1,3,5-8"], [1, 3, 5, 6, 7, 8]],
    [["last"], [42]],
    [
      ["3", "1-3", "last,7"],
      [3, 1, 2, 42, 7],
    ],
  ])("%p", async (texts, ids) => {
    expect(await parseIds(texts, last)).toEqual(ids);
  });

  test.each(["", "x", "0", "-3", "1-", "8-5", "1..4", "99999999999999999999", "1-99999999"])(
    "%p is none",
    async (text) => {
      expect(await exitOf(parseIds([text], last))).toBe(2);
    },
  );

  test("`last` of a mesh without jobs is not found", async () => {
    expect(await exitOf(parseIds(["last"], none))).toBe(3);
  });

  test("a task is JOB/TASK", async () => {
    expect(await parseTask("5/3", last)).toEqual({ job: 5, task: 3 });
    expect(await parseTask("last", last)).toEqual({ job: 42, task: undefined });
    for (const text of ["5/x", "5/1/2", "1-3/0"]) {
      expect(await exitOf(parseTask(text, last))).toBe(2);
    }
  });
});
