import { beforeAll, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { buildClientIfChanged, clientPackage } from "../../scripts/build-client.ts";
import { filesBelow, root, run, tool } from "../../scripts/steps.ts";

/** The package as its users have it: a project of its own, in which it is installed. */

beforeAll(buildClientIfChanged, 120_000);

/** A project with the package and the examples; it goes with its scope. */
function project(): { readonly directory: string } & Disposable {
  const directory = mkdtempSync(path.join(tmpdir(), "skein-client-"));
  cpSync(clientPackage, path.join(directory, "node_modules", "skein-client"), { recursive: true });
  cpSync(path.join(root, "examples"), directory, { recursive: true });
  mkdirSync(path.join(directory, "node_modules", "@types"), { recursive: true });
  writeFileSync(path.join(directory, "package.json"), '{"type":"module"}');
  return { directory, [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
}

test("it is one file that imports nothing and names nothing that browsers do not have", () => {
  const text = readFileSync(path.join(clientPackage, "skein-client.js"), "utf8");
  expect(text).not.toMatch(/^\s*import\b|\brequire\(|\bimport\(|"node:/m);
  expect(text).not.toMatch(/\b(process|Buffer|Bun|__dirname)\b(?=[.(])/);
});

test("its declarations name only each other, and every file that the manifest names is there", () => {
  const manifest = JSON.parse(readFileSync(path.join(clientPackage, "package.json"), "utf8")) as {
    name: string;
    version: string;
    exports: { ".": { types: string; default: string } };
  };
  const { version } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as { version: string };
  expect([manifest.name, manifest.version]).toEqual(["skein-client", version]);
  for (const file of Object.values(manifest.exports["."])) readFileSync(path.join(clientPackage, file));
  const declarations = filesBelow(path.relative(root, path.join(clientPackage, "types")), () => true);
  expect(declarations.length).toBeGreaterThan(10);
  for (const file of declarations) {
    const named = [...readFileSync(path.join(root, file), "utf8").matchAll(/(?:from |import\()"([^"]+)"/g)];
    for (const [, specifier] of named) {
      expect(specifier).toMatch(/^\.{1,2}\/.*\.js$/);
      readFileSync(path.join(root, path.dirname(file), specifier!.replace(/\.js$/, ".d.ts")));
    }
  }
});

test("the examples are well typed in a strict project that knows it as an installed package, and a wrong use is not", async () => {
  using user = project();
  cpSync(
    path.join(root, "node_modules", "@types", "node"),
    path.join(user.directory, "node_modules", "@types", "node"),
    {
      recursive: true,
      dereference: true,
    },
  );
  cpSync(path.join(root, "node_modules", "undici-types"), path.join(user.directory, "node_modules", "undici-types"), {
    recursive: true,
    dereference: true,
  });
  const compilerOptions = {
    target: "es2023",
    module: "nodenext",
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    types: ["node"],
  };
  writeFileSync(path.join(user.directory, "tsconfig.json"), JSON.stringify({ compilerOptions }));
  const right = await run(tool("tsc"), ["-p", user.directory], { timeoutMs: 120_000, cwd: user.directory });
  expect([right.code, right.output]).toEqual([0, ""]);
  const wrong = [
    'import { SkeinClient, type EventView } from "skein-client";',
    'const client = new SkeinClient({ addrs: ["http://localhost"] });',
    'await client.submit({ run: "true", drivr: "shell" });',
    'await client.submit({ run: "true", on_lost: "never" });',
    "export const job = (event: EventView): number => event.job;",
    'client.call("node.drain", { node: "n1" });',
  ];
  writeFileSync(path.join(user.directory, "wrong.ts"), wrong.join("\n"));
  const refused = await run(tool("tsc"), ["-p", user.directory], { timeoutMs: 120_000, cwd: user.directory });
  const lines = [...refused.output.matchAll(/^wrong\.ts\((\d+),/gm)].map((match) => Number(match[1]));
  expect(new Set(lines)).toEqual(new Set([3, 4, 5, 6]));
}, 300_000);

test("every example is run by a test", () => {
  const tested = readFileSync(path.join(root, "test", "e2e", "client.test.ts"), "utf8");
  for (const file of readdirSync(path.join(root, "examples"))) expect(tested).toContain(`"${file}"`);
});
