import { describe, expect, test } from "bun:test";
import { formatRanges, numberAt, parseRanges, RangeGatherer, rangeList, type RangeList } from "../../src/lib/ranges.ts";
import { seededRandom } from "../../src/lib/prng.ts";

function read(text: string): RangeList {
  const list = parseRanges(text);
  if (typeof list === "string") throw new Error(list);
  return list;
}

const numbersIn = (list: RangeList): number[] => Array.from({ length: list.count }, (_, at) => numberAt(list, at)!);

describe("ranges as people write them", () => {
  test.each([
    ["5", [5]],
    ["0-3", [0, 1, 2, 3]],
    ["0-9:3", [0, 3, 6, 9]],
    ["0-8:3", [0, 3, 6]],
    ["1,3,5-8", [1, 3, 5, 6, 7, 8]],
    [" 7 , 1-2 ", [1, 2, 7]],
    ["3-3:9", [3]],
  ])("%s", (text, numbers) => {
    const list = read(text);
    expect(numbersIn(list)).toEqual(numbers);
    expect([numberAt(list, -1), numberAt(list, numbers.length)]).toEqual([undefined, undefined]);
    expect(numbersIn(read(formatRanges(list.ranges)))).toEqual(numbers);
  });

  test.each([
    ["", "is no range"],
    ["1,", "is no range"],
    ["-3", "is no range"],
    ["1-2-3", "is no range"],
    ["5:2", "is no range"],
    ["a-b", "is no range"],
    ["1e3", "is no range"],
    ["9999999999999999", "is no range"],
    ["5-3", "is empty"],
    ["0-9:0", "never moves on"],
    ["1-5,5", "reach into each other"],
    ["0-10:2,1-9:2", "reach into each other"],
    ["3,3", "reach into each other"],
  ])("%p is refused: %s", (text, words) => {
    expect(parseRanges(text)).toEqual(expect.stringContaining(words));
  });

  test("as many numbers as there can be cost one range", () => {
    const list = read("0-999999999999999");
    expect([list.count, numberAt(list, 123_456_789_012), list.ranges.length]).toEqual([1e15, 123_456_789_012, 1]);
  });
});

test("numbers that are gathered are listed in order, neighbours together", () => {
  const random = seededRandom(7);
  for (let round = 0; round < 200; round++) {
    const numbers: number[] = [];
    const gatherer = new RangeGatherer();
    for (let number = 0; number < 60; number++) {
      if (random() < 0.4) continue;
      if (random() < 0.2) {
        const last = number + Math.floor(random() * 5);
        gatherer.addRun(number, last);
        for (; number < last; number++) numbers.push(number);
        numbers.push(last);
      } else {
        gatherer.add(number);
        numbers.push(number);
      }
    }
    if (numbers.length === 0) continue;
    expect(gatherer.count).toBe(numbers.length);
    expect(numbersIn(rangeList(gatherer.ranges))).toEqual(numbers);
    const runs = numbers.filter((number, at) => at === 0 || numbers[at - 1] !== number - 1).length;
    expect(gatherer.ranges.length).toBe(runs);
    expect(numbersIn(read(formatRanges(gatherer.ranges)))).toEqual(numbers);
  }
});
