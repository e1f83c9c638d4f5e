import { expect, test } from "bun:test";
import { memoOfTexts } from "../../src/lib/memo.ts";

test("a text is read once, until as many others came after it", () => {
  const read: string[] = [];
  const memo = memoOfTexts((text) => (read.push(text), { text }), { entries: 2 });
  const first = memo("a");
  expect(memo("a")).toBe(first);
  memo("b");
  memo("c"); // "a" is forgotten
  expect(memo("b")).toEqual({ text: "b" });
  expect(read).toEqual(["a", "b", "c"]);
  expect(memo("a")).not.toBe(first);
  expect(read).toEqual(["a", "b", "c", "a"]);
});

test("what is false is remembered too, what is long or throws is not", () => {
  let count = 0;
  const memo = memoOfTexts(
    (text) => {
      count += 1;
      if (text === "bad") throw new Error("planted");
      return false;
    },
    { textLength: 3 },
  );
  for (const text of ["no", "no", "long", "long"]) expect(memo(text)).toBe(false);
  expect(count).toBe(3);
  for (let time = 0; time < 2; time++) expect(() => memo("bad")).toThrow("planted");
  expect(count).toBe(5);
});
