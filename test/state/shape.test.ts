import { describe, expect, test } from "bun:test";
import { shellStart } from "../../src/executor/drivers/shell.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { type Random, seededRandom } from "../../src/lib/prng.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { problemsOf } from "../../src/state/commands/problems.ts";
import { isNormalised, specSchema } from "../../src/state/commands/spec-schema.ts";
import { MatrixPoints } from "../../src/state/matrix.ts";
import { findAssignment, listTasks } from "../../src/state/queries.ts";
import { shapeOf, tasksIn } from "../../src/state/shape.ts";
import { renderSpec } from "../../src/state/spec.ts";
import type { Matrix, MatrixPoint, MatrixValue, Spec } from "../../src/state/types.ts";
import { Cluster, throughTheLog } from "./support.ts";

const read = (spec: object): Spec => specSchema.parse({ run: "true", ...spec });

function problems(spec: object): Record<string, string> {
  const parsed = specSchema.safeParse({ run: "true", ...spec });
  expect(parsed.success).toBe(false);
  return Object.fromEntries(problemsOf(parsed.error!).map(({ path, message }) => [path, message]));
}

function pointsOf(matrix: Matrix): MatrixPoint[] {
  const points = new MatrixPoints(matrix);
  return Array.from({ length: points.count }, (_, number) => points.at(number));
}

/** The rules as they are written down in src/state/matrix.ts, with every point made. */
function naive({ keys, exclude = [], include = [] }: Matrix): MatrixPoint[] {
  const own = Object.keys(keys);
  const agree = (a: MatrixValue, b: MatrixValue): boolean => String(a) === String(b);
  let combinations: Record<string, MatrixValue>[] = own.length === 0 ? [] : [{}];
  for (const key of own)
    combinations = combinations.flatMap((one) => keys[key]!.map((value) => ({ ...one, [key]: value })));
  const left = combinations.filter(
    (one) => !exclude.some((entry) => Object.keys(entry).every((key) => agree(one[key]!, entry[key]!))),
  );
  const originals = left.map((one) => ({ ...one }));
  const added: MatrixPoint[] = [];
  for (const entry of include) {
    const named = Object.keys(entry).filter((key) => own.includes(key));
    const fitting = left.filter((_, at) => named.every((key) => agree(originals[at]![key]!, entry[key]!)));
    for (const one of fitting) for (const key of Object.keys(entry)) if (!own.includes(key)) one[key] = entry[key]!;
    if (fitting.length === 0) added.push(entry);
  }
  return [...left, ...added];
}

function randomMatrix(random: Random): Matrix {
  const pick = (count: number): number => Math.floor(random() * count);
  const names = ["a", "b", "c", "d", "e"];
  const value = (at: number): MatrixValue => [at, `v${at}`, at + 0.25, String(at)][at % 4]!;
  const keys: Record<string, MatrixValue[]> = {};
  for (let axis = pick(5); axis >= 0; axis--)
    keys[names[axis]!] = Array.from({ length: 1 + pick(5) }, (_, at) => value(4 * at + axis));
  const entry = (allowed: readonly string[], isLoose: boolean): MatrixPoint =>
    Object.fromEntries(
      allowed
        .filter(() => random() < 0.5)
        .concat(allowed[pick(allowed.length)]!)
        .map((key) => {
          const values = keys[key];
          const isOther = values === undefined || (isLoose && random() < 0.15);
          return [key, isOther ? value(40 + pick(6)) : values[pick(values.length)]!];
        }),
    );
  const own = Object.keys(keys);
  return {
    keys,
    exclude: Array.from({ length: pick(7) }, () => entry(own, true)),
    include: Array.from({ length: pick(6) }, () => entry([...own, "x", "y"], true)),
  };
}

describe("a matrix", () => {
  test("the first key is the slowest", () => {
    expect(pointsOf({ keys: { mode: ["a", "b"], threads: [1, 8] } })).toEqual([
      { mode: "a", threads: 1 },
      { mode: "a", threads: 8 },
      { mode: "b", threads: 1 },
      { mode: "b", threads: 8 },
    ]);
  });

  test("exclude takes out what agrees with all keys of an entry", () => {
    const matrix = {
      keys: { os: ["linux", "mac"], version: [10, 12, 14] },
      exclude: [{ os: "mac", version: "10" }, { version: 14 }],
    };
    expect(pointsOf(matrix)).toEqual([
      { os: "linux", version: 10 },
      { os: "linux", version: 12 },
      { os: "mac", version: 12 },
    ]);
  });

  test("include extends what it agrees with, overwrites only what was added, and else is a point of its own", () => {
    const keys = { fruit: ["apple", "pear"], animal: ["cat", "dog"] };
    const include = [
      { color: "green" },
      { color: "pink", animal: "cat" },
      { fruit: "apple", shape: "circle" },
      { fruit: "banana" },
      { fruit: "banana", animal: "cat" },
    ];
    expect(pointsOf({ keys, include })).toEqual([
      { fruit: "apple", animal: "cat", color: "pink", shape: "circle" },
      { fruit: "apple", animal: "dog", color: "green", shape: "circle" },
      { fruit: "pear", animal: "cat", color: "pink" },
      { fruit: "pear", animal: "dog", color: "green" },
      { fruit: "banana" },
      { fruit: "banana", animal: "cat" },
    ]);
    expect(pointsOf({ keys: {}, include: [{ a: 1 }, { a: 1 }] })).toEqual([{ a: 1 }, { a: 1 }]);
    // What an include names was excluded, so it is there again as a point of its own.
    expect(pointsOf({ keys: { a: [1, 2] }, exclude: [{ a: 2 }], include: [{ a: 2, b: 3 }] })).toEqual([
      { a: 1 },
      { a: 2, b: 3 },
    ]);
  });

  test.each([1, 2, 3, 4])("is what all of its points made one by one are (seed %i)", (seed) => {
    const random = seededRandom(seed);
    let excluded = 0;
    for (let round = 0; round < 500; round++) {
      const matrix = randomMatrix(random);
      const expected = naive(matrix);
      if (expected.length < Object.values(matrix.keys).reduce((product, { length }) => product * length, 1))
        excluded += 1;
      try {
        expect(pointsOf(matrix)).toEqual(expected);
      } catch (error) {
        throw new Error(`seed ${seed}: ${JSON.stringify(matrix)}`, { cause: error });
      }
    }
    expect(excluded).toBeGreaterThan(50);
  });

  test("of the most points there may be, with rules on every axis, is found by its numbers alone", () => {
    const values = Array.from({ length: 10 }, (_, at) => at);
    const keys = { a: values, b: values, c: values, d: values, e: values, f: values };
    const exclude = [{ f: 3 }, { a: 1, f: 4 }, { b: 2 }, { c: 3, e: 5 }];
    const points = new MatrixPoints({
      keys,
      exclude,
      include: [
        { f: 5, extra: "yes" },
        { f: 3, a: 0 },
      ],
    });
    const isLeft = (digits: string): boolean =>
      digits[5] !== "3" &&
      !(digits[0] === "1" && digits[5] === "4") &&
      digits[1] !== "2" &&
      !(digits[2] === "3" && digits[4] === "5");
    let number = 0;
    for (let combination = 0; combination < 1_000_000; combination++) {
      const digits = String(combination).padStart(6, "0");
      if (!isLeft(digits)) continue;
      if (number % 997 === 0) {
        const point = points.at(number);
        expect(Object.values(point).slice(0, 6).join("")).toBe(digits);
        expect(point["extra"]).toBe(digits[5] === "5" ? "yes" : (undefined as never));
      }
      number += 1;
    }
    expect(points.count).toBe(number + 1);
    expect(points.at(number)).toEqual({ f: 3, a: 0 });
  });
});

describe("what a spec says about its tasks", () => {
  test("array and matrix are read, shown as they were written, and pass the leader's check", () => {
    for (const spec of [
      { run: "true", array: "0-98:2,200" },
      { run: "true", matrix: { mode: ["a", "b"], threads: [1, 8] } },
      { run: "true", matrix: { mode: ["a"], exclude: [{ mode: "b" }], include: [{ mode: "c", more: true }] } },
      { run: "true", matrix: { include: [{ mode: "c" }] } },
      { run: "true", matrix: { keys: [1, 2] } },
    ]) {
      const normalised = read(spec);
      expect(renderSpec(normalised)).toEqual(spec);
      expect(read(renderSpec(normalised))).toEqual(normalised);
      expect(isNormalised(JSON.parse(JSON.stringify(normalised)))).toBe(true);
    }
    expect(read({ array: " 15 ,0-9:3" })).toMatchObject({ array: "0-9:3,15" });
  });

  test("exclude and include may stand beside the matrix", () => {
    const beside = read({ matrix: { a: [1, 2] }, exclude: [{ a: 1 }], include: [{ b: 2 }] });
    expect(beside).toEqual(read({ matrix: { a: [1, 2], exclude: [{ a: 1 }], include: [{ b: 2 }] } }));
    expect(tasksIn(beside)).toBe(1);
  });

  test.each([
    [{ array: 5 }, "array", `must be text like "0-99:2" or "1,3,5-8"; for tasks 0 to 4 write count: 5`],
    [{ array: "0-9%2" }, "array", "knows no %: write how many run at once as parallel"],
    [{ array: "1-5,5" }, "array", "1-5 and 5 reach into each other: list each number once"],
    [{ array: "0-10000000" }, "array", "lists 10000001 tasks: at most 10000000"],
    [{ array: "" }, "array", '"" is no range: write 5, 0-99, 0-99:2, or several with commas between them'],
    [{ matrix: [1] }, "matrix", "must be a map of names to lists, like {mode: [a, b], threads: [1, 8]}"],
    [{ matrix: {} }, "matrix", "is empty: give it a key with a list of values"],
    [{ matrix: { a: [] } }, "matrix.a", "must be a list of at least one value"],
    [{ matrix: { a: "b" } }, "matrix.a", "must be a list of at least one value"],
    [{ matrix: { a: [{}] } }, "matrix.a[0]", "must be text, a number, true or false"],
    [{ matrix: { a: [8, "8"] } }, "matrix.a[1]", "8 is listed twice"],
    [{ matrix: { "a b": [1] } }, "matrix.a b", "not a variable's name: letters, digits and _ only"],
    [{ matrix: { SKEIN_JOB: [1] } }, "matrix.SKEIN_JOB", "names that begin with SKEIN_ are taken"],
    [{ matrix: { a: [1], exclude: [{ b: 1 }] } }, "matrix.exclude[0].b", "no such key in the matrix"],
    [{ matrix: { a: [1] }, exclude: [{ b: 1 }] }, "exclude[0].b", "no such key in the matrix"],
    [
      { matrix: { a: [1], include: [{}] } },
      "matrix.include[0]",
      "must be a map of names to values, like {mode: a, threads: 8}",
    ],
    [{ matrix: { a: [1], exclude: 5 } }, "matrix.exclude", "must be a list of maps, like [{mode: a, threads: 8}]"],
    [{ matrix: { a: [1], exclude: [{ a: 1 }] } }, "matrix", "has no point left: exclude takes all of them"],
    [
      { matrix: { a: [1], exclude: [] }, exclude: [] },
      "exclude",
      "is in the matrix already: write it once, as matrix.exclude or as exclude",
    ],
    [{ exclude: [{ a: 1 }] }, "exclude", "is for a matrix only"],
    [{ count: 2, array: "1-2" }, "count", "cannot be combined with array"],
    [{ array: "1-2", matrix: { a: [1] } }, "array", "cannot be combined with matrix"],
    [
      { matrix: { a: [1] }, each_node: true },
      "matrix",
      "cannot be combined with each_node, which makes one task per node",
    ],
    [{ each_node: true, unit: 5 }, "unit", "cannot be combined with each_node, which makes one task per node"],
  ])("%j is refused at %s", (spec, path, message) => {
    expect(problems(spec)).toEqual({ [path]: message });
  });

  test("every problem of a matrix is told at once", () => {
    const found = problems({ matrix: { "1a": [1], b: 2, exclude: [{ c: 1 }, 5], include: [{ "d e": [] }] }, count: 0 });
    expect(Object.keys(found).toSorted()).toEqual([
      "count",
      "matrix.1a",
      "matrix.b",
      "matrix.exclude[0].c",
      "matrix.exclude[1]",
      "matrix.include[0].d e",
    ]);
  });

  test("a matrix of 10^9 points, or of more than can be counted, is refused before one is made", () => {
    const values = Array.from({ length: 10 }, (_, at) => at);
    const keys = (count: number): object =>
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, values]));
    expect(problems({ matrix: keys(9) })).toEqual({ matrix: "has 1000000000 points: at most 1000000" });
    expect(problems({ matrix: { ...keys(60), exclude: [{ k0: 1 }] } })).toEqual({
      matrix: "has far too many points: at most 1000000",
    });
    const normalised = { run: "true", matrix: { keys: keys(9) } };
    expect(isNormalised(normalised)).toBe(false);
    expect(tasksIn(read({ matrix: keys(6) }))).toBe(limits.matrixPoints);
  });

  test("what another node forwards must have as many tasks as its spec says", () => {
    const submit = commandByName("job.submit");
    const { payload } = submit;
    const good = submit.prepare(
      { jobs: [read({ array: "0-9" }), read({ matrix: { a: [1, 2] } }), read({ each_node: true })] },
      {} as never,
    );
    expect(good.jobs.map(([, tasks]) => tasks)).toEqual([10, 2, 0]);
    expect(payload.safeParse(throughTheLog(good)).success).toBe(true);
    const [name, , spec, selector] = good.jobs[0]!;
    const said = (tasks: number, text: string): boolean =>
      payload.safeParse({ ...good, jobs: [[name, tasks, text, selector]] }).success;
    expect([said(10, spec), said(9, spec), said(0, spec)]).toEqual([true, false, false]);
    expect(said(2, '{"run":"x","count":2,"array":"0-1"}')).toBe(false);
    expect(said(1, '{"run":"x","matrix":{"keys":{"exclude":[1]}}}')).toBe(false);
    expect(said(1, '{"run":"x","array":"5-1"}')).toBe(false);
    const needed = (spec: object): number =>
      submit.needs!(submit.prepare({ jobs: [read({}), read(spec)] }, {} as never));
    expect([needed({ count: 5 }), needed({ array: "5" }), needed({ matrix: { a: [1] } })]).toEqual([1, 3, 3]);
  });
});

describe("tasks of a shape", () => {
  test("show their index and point, before they have a row and after", () => {
    const cluster = Cluster.of(1);
    const array = cluster.submit({ array: "10-20:5" });
    const matrix = cluster.submit({ matrix: { mode: ["a", "b"], threads: [1, 8] } });
    const plain = cluster.submit();
    cluster.assign(array, 1, [0, 1]);
    cluster.assign(matrix, 1, [3, 1]);
    expect([0, 1, 2].map((task) => cluster.task(array, task).index)).toEqual([10, 15, 20]);
    expect(cluster.task(matrix, 3)).toMatchObject({ index: 3, matrix: { mode: "b", threads: 8 }, state: "running" });
    expect(cluster.task(matrix, 2)).toMatchObject({ index: 2, matrix: { mode: "b", threads: 1 }, state: "queued" });
    expect(Object.keys(cluster.task(plain)).filter((key) => key === "index" || key === "matrix")).toEqual([]);
    const listed = listTasks(cluster.database, matrix, { limit: 10 })!.items;
    expect(listed.map((task) => task.matrix!["mode"])).toEqual(["a", "a", "b", "b"]);
    expect(cluster.job(array).counts).toMatchObject({ queued: 2, running: 1 });
  });

  test("find them in their environment; what they are wins over the job's own env, and env stands in where a point lacks a key", () => {
    const cluster = Cluster.of(1);
    const include = [{ mode: "c" }];
    const job = cluster.submit({
      matrix: { mode: ["a"], threads: [8], include },
      env: { threads: "1", mode: "x", MORE: "y" },
    });
    cluster.assign(job, 1, [0, 1], [1, 1]);
    const environment = (task: number): object =>
      shellStart(findAssignment(cluster.database, job, task, 1)!, nodeId(1), {}).env;
    expect(environment(0)).toMatchObject({ mode: "a", threads: "8", MORE: "y", SKEIN_INDEX: "0", SKEIN_TASK: "0" });
    expect(environment(1)).toMatchObject({ mode: "c", threads: "1", MORE: "y", SKEIN_INDEX: "1" });
    const array = cluster.submit({ array: "7,9" });
    cluster.assign(array, 1, [1, 1]);
    expect(shellStart(findAssignment(cluster.database, array, 1, 1)!, nodeId(1), {}).env).toMatchObject({
      SKEIN_INDEX: "9",
      SKEIN_TASK: "1",
    });
  });

  test("an array or a matrix of a million tasks is one row", () => {
    const cluster = Cluster.of(1);
    const values = Array.from({ length: 100 }, (_, at) => at);
    const array = cluster.submit({ array: "0-9999990:10" });
    const matrix = cluster.submit({ matrix: { a: values, b: values, c: values } });
    expect(cluster.job(array).counts.queued).toBe(1_000_000 - 0);
    expect(cluster.job(matrix).counts.queued).toBe(1_000_000);
    expect(cluster.task(array, 999_999).index).toBe(9_999_990);
    expect(cluster.task(matrix, 999_998).matrix).toEqual({ a: 99, b: 99, c: 98 });
    const page = listTasks(cluster.database, matrix, { limit: 1000 })!;
    expect(page.items).toHaveLength(1000);
    expect(shapeOf(read({}))).toBeUndefined();
  });
});
