/** Holds the layout: who may import whom, what the pure three may name, what every file and document must have. */
import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { root } from "../scripts/steps.ts";
import {
  brokenMentions,
  forbidden,
  impurities,
  importsOf,
  undocumented,
  wrongImports,
  type ImportRule,
} from "../scripts/tidy-rules.ts";

/** docs/architecture.md shows this table to people; here it is law. Arrows only go down. */
const importTable: Readonly<Record<string, ImportRule>> = {
  "main.ts": {
    ours: {
      cli: "any",
      console: "any",
      client: "any",
      http: "any",
      node: "any",
      raft: "any",
      state: "any",
      scheduler: "any",
      executor: "any",
      storage: "any",
      transport: "any",
      lib: "any",
    },
    packages: ["node:", "bun:", "bun", "hono", "commander", "yaml"],
  },
  cli: {
    ours: { client: "any", checkout: "any", "state/commands": "any", state: "types", lib: "any" },
    packages: ["node:", "bun:", "bun", "commander", "diff", "yaml"],
  },
  // What a file declares is compared as the mesh would show it.
  "cli/cron-apply-plan.ts": {
    ours: { "state/schedule-rendering.ts": "any", state: "types", lib: "any" },
    packages: [],
  },
  "cli/bundle-tar.ts": { ours: { checkout: "any", lib: "any" }, packages: ["node:", "bun:", "bun", "tar-stream"] },
  console: { ours: { client: "any", lib: "any" }, packages: ["preact", "uplot"] },
  // Runs in Bun, Node and browsers: no runtime's own modules.
  client: { ours: { state: "types", lib: "any" }, packages: [] },
  http: {
    // Who owns a schedule follows from the members' list alone: no node is asked for it.
    ours: {
      "node/api.ts": "types",
      "scheduler/owners.ts": "any",
      "scheduler/owner-moves.ts": "any",
      state: "any",
      lib: "any",
    },
    packages: ["hono", "zod", "node:", "bun:", "bun"],
  },
  node: {
    ours: {
      raft: "any",
      state: "any",
      scheduler: "any",
      executor: "any",
      checkout: "any",
      storage: "any",
      transport: "any",
      lib: "any",
    },
    packages: ["node:", "bun:", "bun"],
  },
  "node/certificates.ts": {
    ours: { transport: "any", lib: "any" },
    packages: ["node:", "@peculiar/x509", "reflect-metadata"],
  },
  raft: { ours: { lib: "any" }, packages: [] },
  state: { ours: { lib: "any" }, packages: [] },
  "state/commands": { ours: { lib: "any" }, packages: ["zod"] },
  "state/command.ts": { ours: { lib: "any" }, packages: ["type zod"] },
  scheduler: {
    ours: {
      "state/queries.ts": "any",
      "state/planning.ts": "any",
      "state/schedules.ts": "any",
      state: "types",
      lib: "any",
    },
    packages: [],
  },
  /** Trees from elsewhere: directories, and git. */
  checkout: { ours: { lib: "any" }, packages: ["node:", "bun:", "bun"] },
  executor: { ours: { state: "types", lib: "any" }, packages: ["node:", "bun:", "bun"] },
  storage: { ours: { raft: "types", lib: "any" }, packages: ["node:", "bun:", "bun"] },
  transport: { ours: { raft: "types", lib: "any" }, packages: ["ws", "node:", "bun:", "bun"] },
  lib: { ours: {}, packages: ["msgpackr", "croner"] },
  // Storage and executor share it; what runs in browsers does not import it.
  "lib/files.ts": { ours: { lib: "any" }, packages: ["node:"] },
  // Expressions in words, for people alone: nothing that is pure imports it.
  "lib/cron-words.ts": { ours: { lib: "any" }, packages: ["cronstrue"] },
  // The command line and the API of Distribute share it; nothing that is pure or runs in browsers imports it.
  "lib/yaml-mistake.ts": { ours: {}, packages: ["yaml"] },
  // A function of its argument alone, and ten times faster than one that is written here: it is pure all the same.
  "lib/digest.ts": { ours: {}, packages: ["node:"] },
  // The same of MD5, which another ring goes by.
  "lib/tooz-ring.ts": { ours: {}, packages: ["node:"] },
};
const pureFolders = ["src/raft/", "src/state/", "src/scheduler/"];

/** Forbidden words are written in halves, so that this file does not contain them. */
const halves = (...parts: readonly string[]): string => parts.join("");
const forbiddenWords: readonly (readonly [RegExp, string])[] = [
  [new RegExp(halves("(^|[^\\w./-])/(wo", "rk|fa", "rm)/")), "a path of one machine"],
  [new RegExp(halves("/tmp/(br", "ief|pro", "be)")), "a path of one machine"],
  [new RegExp(halves("registry\\.(npm", "js|yarn", "pkg)\\.")), "a registry's host"],
  [new RegExp(halves("\\b(TO", "DO|FIX", "ME|XX", "X|HA", "CK)\\b")), "unfinished"],
  [new RegExp(halves("not imple", "mented|\\bstu", "b(bed)?\\b")), "unfinished"],
];

const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: root, encoding: "utf8" })
  .split("\n")
  .filter((file) => file !== "" && existsSync(path.join(root, file)));
const read = (file: string): string => readFileSync(path.join(root, file), "utf8");
const sources = files.filter((file) => /^src\/.*\.tsx?$/.test(file));
const exists = (file: string): boolean => existsSync(path.join(root, file));

describe("the tree", () => {
  test("every import of src follows the table", () => {
    expect(sources.flatMap((file) => wrongImports(file, read(file), importTable))).toEqual([]);
  });

  test("the pure three name nothing impure", () => {
    const pure = sources.filter((file) => pureFolders.some((folder) => file.startsWith(folder)));
    expect(pure.flatMap((file) => impurities(file, read(file)))).toEqual([]);
  });

  test("nothing imports main.ts", () => {
    const importers = sources.filter((file) =>
      importsOf(read(file)).some(
        ({ specifier }) => path.posix.join(path.posix.dirname(file), specifier) === "src/main.ts",
      ),
    );
    expect(importers).toEqual([]);
  });

  test("every function and class that src exports has a docstring", () => {
    expect(sources.flatMap((file) => undocumented(file, read(file)))).toEqual([]);
  });

  test("files are named in kebab-case, and only the list of commands is an index", () => {
    const wrong = sources.filter((file) => {
      const name = path.basename(file);
      const index =
        /^index\.tsx?$/.test(name) && file !== "src/state/commands/index.ts" && !file.startsWith("src/console/");
      return index || !/^[a-z0-9]+(-[a-z0-9]+)*\.tsx?$/.test(name);
    });
    expect(wrong).toEqual([]);
  });

  test("no tracked file names one machine, a registry's host, or something unfinished", () => {
    const texts = files.filter((file) =>
      /\.(tsx?|mjs|json|md|toml|ya?ml|sh|css|html|txt)$|^(Dockerfile|\.ci\/run|\.gitignore)$/.test(file),
    );
    expect(texts.flatMap((file) => forbidden(file, read(file), forbiddenWords))).toEqual([]);
    expect(read("package-lock.json")).not.toContain('"resolved"');
  });

  test("no merge was left half done", () => {
    const marked = files.filter(
      (file) => /\.(tsx?|mjs|c|json|md|txt)$/.test(file) && existsSync(path.join(root, file)),
    );
    expect(marked.filter((file) => /^(<{7}|>{7}) /m.test(read(file)))).toEqual([]);
  });

  test("no test is switched off or runs alone", () => {
    const words: readonly (readonly [RegExp, string])[] = [
      [/\b(test|it|describe)\.(only|skip|todo)\(/, "switched off or alone"],
    ];
    const tests = files.filter((file) => file.endsWith(".test.ts") && file !== "test/tidy.test.ts");
    expect(tests.flatMap((file) => forbidden(file, read(file), words))).toEqual([]);
  });

  test("every dependency has its line in docs/dependencies.md, and no line is left of one that is gone", () => {
    const { dependencies, devDependencies } = JSON.parse(read("package.json")) as Record<
      string,
      Record<string, string>
    >;
    const named = new Set([...read("docs/dependencies.md").matchAll(/^\| `([^`]+)`/gm)].map((match) => match[1]!));
    expect([...named].toSorted()).toEqual(Object.keys({ ...dependencies, ...devDependencies }).toSorted());
  });

  test("documents mention only files that exist", () => {
    const documents = files.filter((file) => file.endsWith(".md"));
    expect(documents.flatMap((file) => brokenMentions(file, read(file), exists))).toEqual([]);
  });
});

describe("the checks find", () => {
  const wrong = (file: string, source: string): number => wrongImports(file, source, importTable).length;

  test.each([
    ["src/raft/log.ts", 'import { Database } from "bun:sqlite";'],
    ["src/raft/log.ts", 'import { z } from "zod";'],
    ["src/raft/log.ts", 'import { readFileSync } from "node:fs";'],
    ["src/raft/log.ts", 'import type { Spec } from "../state/types.ts";'],
    ["src/state/commands/x.ts", 'import { y } from "../../raft/types.ts";'],
    ["src/state/tables/x.ts", 'import { z } from "zod";'],
    ["src/state/command.ts", 'import { z } from "zod";'],
    ["src/scheduler/place.ts", 'import { sql } from "../state/tx.ts";'],
    ["src/executor/run.ts", 'import { findTask } from "../state/queries.ts";'],
    ["src/executor/run.ts", 'import { type Spec } from "../state/types.ts";'],
    ["src/storage/log.ts", 'import {\n  Raft,\n} from "../raft/raft.ts";'],
    ["src/http/routes.ts", 'import type { Node } from "../node/node.ts";'],
    ["src/cli/up.ts", 'const { Node } = await import("../node/node.ts");'],
    ["src/client/call.ts", 'import { readFileSync } from "node:fs";'],
    ["src/lib/ids.ts", 'export * from "../raft/types.ts";'],
    ["src/lib/ids.ts", 'import { x } from "../../scripts/x.ts";'],
    ["src/lib/ids.ts", 'import { assert } from "./assert";'],
    ["src/unknown/x.ts", ""],
  ])("a wrong import in %s: %s", (file, source) => {
    expect(wrong(file, source)).toBe(1);
  });

  test.each([
    ["src/raft/log.ts", 'import { assert } from "../lib/assert.ts";\nimport type { Message } from "./types.ts";'],
    ["src/state/commands/x.ts", 'import { z } from "zod";\nimport { sql } from "../tx.ts";'],
    ["src/state/command.ts", 'import type { z } from "zod";'],
    [
      "src/executor/run.ts",
      'import type { Spec } from "../state/types.ts";\nimport { spawn } from "node:child_process";',
    ],
    ["src/lib/codec.ts", '// import { x } from "../raft/raft.ts";\nimport { Packr } from "msgpackr";'],
    ["src/http/app.ts", 'import { cors } from "hono/cors";\nimport type { NodeApi } from "../node/api.ts";'],
  ])("nothing wrong with a right import in %s: %s", (file, source) => {
    expect(wrongImports(file, source, importTable)).toEqual([]);
  });

  test.each([
    "const at = Date.now();",
    "const at = new Date(0);",
    "const x = Math.random();",
    "export async function f() {}",
    "await g();",
    "setTimeout(f, 1);",
    "console.log(1);",
    "const p = new Promise(f);",
    "const t = `${Date.now()}`;",
    'const s = "//"; process.exit(1);',
  ])("the impurity of %s", (source) => {
    expect(impurities("src/raft/x.ts", source)).toHaveLength(1);
  });

  test("no impurity in comments, strings and members that are only called alike", () => {
    const source =
      '/** await Date */\n// Math.random()\nconst text = "Date.now()"; entry.Date; const updateDate = `await`;';
    expect(impurities("src/raft/x.ts", source)).toEqual([]);
  });

  test("an export without a docstring", () => {
    expect(undocumented("x.ts", "export function f(): void {}\n")).toHaveLength(1);
    expect(undocumented("x.ts", "/** Says why. */\nexport function f(): void {}\nexport const x = 1;\n")).toEqual([]);
    expect(undocumented("x.ts", "/** Header. */\nconst y = 1;\nexport class A {}\nexport class B {}\n")).toHaveLength(
      1,
    );
  });

  test("forbidden words, but not names that only look like them", () => {
    const found = (text: string): number => forbidden("x.md", text, forbiddenWords).length;
    expect(found(halves("see /wo", "rk/main/src"))).toBe(1);
    expect(found(halves("// TO", "DO later"))).toBe(1);
    expect(found(halves("https://registry.npm", "js.org/x"))).toBe(1);
    expect(found("docs/work/plan.md and FrameHACKER")).toBe(0);
  });

  test("links and mentions that lead nowhere", () => {
    const there = (file: string): boolean => file === "docs/a.md" || file === "src/main.ts";
    expect(brokenMentions("docs/x.md", "[a](a.md) `src/main.ts` [b](https://x.example)", there)).toEqual([]);
    expect(brokenMentions("docs/x.md", "[a](b.md#c) and `src/none.ts`", there)).toHaveLength(2);
  });
});
