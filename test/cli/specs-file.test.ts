import { describe, expect, test } from "bun:test";
import { parseSpecs, readSpecs } from "../../src/cli/specs-file.ts";
import { exitOf, ScratchDir, TestIo } from "./support.ts";

describe("reading specs", () => {
  test.each([
    ["YAML", "run: make\ncount: 3\n", [{ run: "make", count: 3 }]],
    ["YAML of several documents", "---\nrun: a\n---\nrun: b\n", [{ run: "a" }, { run: "b" }]],
    ["a YAML list", "- run: a\n- run: b\n", [{ run: "a" }, { run: "b" }]],
    ["YAML with jobs", "jobs:\n- run: a\n", [{ run: "a" }]],
    ["YAML in flow style", "{run: [a, b]}", [{ run: ["a", "b"] }]],
    ["JSON", '{"run": "a"}', [{ run: "a" }]],
    ["a JSON list", '[{"run":"a"},\n{"run":"b"}]', [{ run: "a" }, { run: "b" }]],
    ["JSON with jobs", '{"jobs":[{"run":"a"}]}', [{ run: "a" }]],
    ["NDJSON", '{"run":"a"}\n\n{"run":"b"}\n', [{ run: "a" }, { run: "b" }]],
  ])("%s", (_, text, specs) => {
    expect(parseSpecs(text, "f").specs as unknown).toEqual(specs);
  });

  test.each([
    ["a bad indent", "run: a\n  count: 3\n", "f:1:6"],
    ["an open quote", 'name: x\nrun: "abc\n', "f:3:1"],
    ["a key twice", "run: a\nrun: b\n", "f:2:1"],
    ["a broken line of NDJSON", '{"run":"a"}\n{"run":\n', "f:2:1"],
    ["a key twice in JSON", '{"run": "a",\n "env": {"A": 1, "A": 2}}', "f:2:18"],
    ["a key twice in a line of NDJSON", '{"run":"a"}\n{"run":"b","run":"c"}', "f:2:12"],
    ["broken JSON", '{"run": "a",\n "count": ]}', "f:2:11"],
  ])("%s is told with line and column", (_, text, place) => {
    expect(() => parseSpecs(text, "f")).toThrow(new RegExp(`^${place}: `));
  });

  test("values that become text are the text of the file: YAML would make other numbers of them", () => {
    const text = [
      "run: x",
      "count: 010",
      "env: &env {VERSION: 1.10, MODE: 0777, ID: 12345678901234567890, YES: True, HEX: 0x1F, N: 5, ON: true, QUOTED: '1.10'}",
      "matrix: {go: [1.9, 1.10], exclude: [{go: 1.10}]}",
      "http: {headers: {V: 1.10}, body: {v: 1.10, env: 1.10}}",
      "labels: {v: &v 1.20}",
    ].join("\n");
    const env = {
      VERSION: "1.10",
      MODE: "0777",
      ID: "12345678901234567890",
      YES: "True",
      HEX: "0x1F",
      N: 5,
      ON: true,
      QUOTED: "1.10",
    };
    const spec = {
      run: "x",
      count: 10,
      env,
      matrix: { go: [1.9, "1.10"], exclude: [{ go: "1.10" }] },
      http: { headers: { V: "1.10" }, body: { v: 1.1, env: 1.1 } },
      labels: { v: 1.2 },
    };
    expect(parseSpecs(text, "f").specs as unknown).toEqual([spec]);
    const listed = `jobs:\n- env: &e {A: 1.10}\n- env: *e\n- env: {B: &v 1.0, C: *v}\n`;
    expect(parseSpecs(listed, "f").specs as unknown).toEqual([
      { env: { A: "1.10" } },
      { env: { A: "1.10" } },
      { env: { B: "1.0", C: "1.0" } },
    ]);
    const template = `name: t\nparameters: {v: {default: 1.10}, n: {type: number, default: 1.10}}\nspec: {env: {V: 1.0}}\n`;
    expect(parseSpecs(template, "f").specs as unknown).toEqual([
      {
        name: "t",
        parameters: { v: { default: "1.10" }, n: { type: "number", default: 1.1 } },
        spec: { env: { V: "1.0" } },
      },
    ]);
  });

  test("anchors that stand for too much are a mistake of the file", () => {
    const levels = Array.from({ length: 6 }, (_, at) => {
      const name = String.fromCharCode(97 + at);
      const of = at === 0 ? "x" : `*${String.fromCharCode(96 + at)}`;
      return `${name}: &${name} [${Array.from({ length: 9 }, () => of).join(", ")}]`;
    });
    expect(() => parseSpecs(["---", ...levels, "run: x"].join("\n"), "f")).toThrow(/^f:\d+:\d+: .*alias/i);
  });

  test.each(["", "# nothing\n", "just text", "- 5\n", "[]"])("%p is no spec", (text) => {
    expect(() => parseSpecs(text, "f")).toThrow(/^f/);
  });

  test("the place of a problem is found in one spec, in a list and in documents", () => {
    expect(parseSpecs("run: a\nretries:\n  max: -1\n", "f").locate("retries.max")).toBe("f:3:8");
    expect(parseSpecs("- run: a\n- run: b\n  count: 0\n", "f").locate("jobs[1].count")).toBe("f:3:10");
    expect(parseSpecs("run: a\n---\nrun: b\ncount: 0\n", "f").locate("jobs[1].count")).toBe("f:4:8");
    expect(parseSpecs("jobs:\n- run: a\n- run: ''\n", "f").locate("jobs[1].run")).toBe("f:3:8");
    expect(parseSpecs("run: a\n", "f").locate("timeout")).toBe("f:1:1");
    expect(parseSpecs('{"run":"a"}\n\n{"run":""}\n', "f").locate("jobs[1].run")).toBe("f:3:1");
  });

  test("standard input is -", async () => {
    const { specs } = await readSpecs("-", new TestIo({ stdin: "run: a" }));
    expect(specs as unknown).toEqual([{ run: "a" }]);
  });

  test("a file that is not there, or no text, is a usage error", async () => {
    using dir = new ScratchDir();
    expect(await exitOf(readSpecs(`${dir.path}/none.yaml`, new TestIo()))).toBe(2);
    expect(await exitOf(readSpecs(dir.path, new TestIo()))).toBe(2);
  });
});
