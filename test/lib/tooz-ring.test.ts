import { expect, test } from "bun:test";
import { ToozRing } from "../../src/lib/tooz-ring.ts";

/** What Python's tooz 7 answers, whose ring is hashlib.md5 over the same bytes. */

const nodes = (count: number): string[] => Array.from({ length: count }, (_, at) => `node${at + 1}`);
const keys = (word: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${word}-${at}`);

test("a few keys are where tooz has them, with 3 members and with 6", () => {
  const [three, six] = [new ToozRing(nodes(3)), new ToozRing(nodes(6))];
  expect([three.size, six.size]).toEqual([96, 192]);
  const numbers = (ring: ToozRing): string =>
    keys("job", 8)
      .map((key) => ring.of(key)!.slice(4))
      .join(" ");
  expect(numbers(three)).toBe("1 2 1 1 3 1 3 1");
  expect(numbers(six)).toBe("4 2 1 1 3 5 3 4");
});

test("ten thousand keys are spread as tooz spreads them, and as many move", () => {
  const [three, six] = [new ToozRing(nodes(3)), new ToozRing(nodes(6))];
  const tasks = keys("task", 10_000);
  const loads = (ring: ToozRing, members: readonly string[]): number[] => {
    const owners = tasks.map((task) => ring.of(task));
    return members.map((member) => owners.filter((owner) => owner === member).length);
  };
  expect(loads(three, nodes(3))).toEqual([3831, 3238, 2931]);
  expect(loads(six, nodes(6))).toEqual([2091, 1222, 1701, 2201, 1485, 1300]);
  const moved = tasks.filter((task) => three.of(task) !== six.of(task));
  expect(moved).toHaveLength(4986);
  expect(moved.filter((task) => nodes(3).includes(six.of(task)!))).toEqual([]);
});

test("names are bytes, and nobody has what nobody can have", () => {
  // python3: the same class with "zürich" and "köln", and "straße-1" ... "straße-6"
  const ring = new ToozRing(["zürich", "köln"]);
  expect(Array.from({ length: 6 }, (_, at) => ring.of(`straße-${at + 1}`))).toEqual([
    "zürich",
    "zürich",
    "zürich",
    "zürich",
    "köln",
    "zürich",
  ]);
  expect(new ToozRing([]).of("job-1")).toBeUndefined();
});
