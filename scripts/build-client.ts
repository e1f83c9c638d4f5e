/**
 * `npm run build:client`: dist/client, the npm package skein-client. One file of JavaScript that imports nothing, for Node, Bun and browsers, and the types of
 * what it exports. Same sources, same bytes. `npm publish dist/client` is for a person to say.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { filesBelow, formatMs, hashFiles, onInterrupt, root, run, tool } from "./steps.ts";

/** The package. */
export const clientPackage = path.join(root, "dist", "client");
const stamp = path.join(root, "dist", ".client-sources");
const entry = "src/client/skein-client.ts";

/** Builds the package if a source, the page about it or the build itself changed since. Throws with the compiler's words when it fails. */
export async function buildClientIfChanged(): Promise<void> {
  const hash = sourceHash();
  if (existsSync(clientPackage) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return;
  await buildClient();
}

/** Builds it, and replaces the old one only when the new one is whole. */
export async function buildClient(): Promise<void> {
  const began = performance.now();
  const hash = sourceHash();
  const fresh = path.join(root, "dist", `.client-${process.pid}`);
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  try {
    await bundle(fresh);
    await declare(fresh);
    describe(fresh);
    rmSync(clientPackage, { recursive: true, force: true });
    renameSync(fresh, clientPackage);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  writeFileSync(stamp, hash);
  console.log(
    `built ${path.relative(root, clientPackage)}, skein-client ${release().version}, in ${formatMs(performance.now() - began)}`,
  );
}

async function bundle(directory: string): Promise<void> {
  const words = [
    "build",
    entry,
    "--target=browser",
    "--format=esm",
    `--outfile=${path.join(directory, "skein-client.js")}`,
  ];
  const built = await run(tool("bun"), words, { timeoutMs: 60_000 });
  if (built.code !== 0) throw new Error(`bun build failed:\n${built.output.trim()}`);
}

/** Declarations of the entry and of what it names, one per source, which import each other as JavaScript does. */
async function declare(directory: string): Promise<void> {
  const types = path.join(directory, "types");
  const config = path.join(directory, "tsconfig.json");
  const compilerOptions = {
    noEmit: false,
    declaration: true,
    emitDeclarationOnly: true,
    rootDir: path.join(root, "src"),
    outDir: types,
  };
  const typeRoots = [path.join(root, "node_modules", "@types")];
  writeFileSync(
    config,
    JSON.stringify({
      extends: path.join(root, "tsconfig.json"),
      compilerOptions: { ...compilerOptions, typeRoots },
      include: [],
      files: [path.join(root, entry)],
    }),
  );
  const made = await run(tool("tsc"), ["-p", config], { timeoutMs: 5 * 60_000 });
  rmSync(config);
  if (made.code !== 0) throw new Error(`tsc failed:\n${made.output.trim()}`);
  const files = filesBelow(path.relative(root, types), (file) => file.endsWith(".d.ts"));
  for (const file of files) {
    const place = path.join(root, file);
    writeFileSync(
      place,
      readFileSync(place, "utf8").replaceAll(/(from |import\()"(\.{1,2}\/[^"]+)\.ts"/g, '$1"$2.js"'),
    );
  }
}

function describe(directory: string): void {
  const { version, license } = release();
  const manifest = {
    name: "skein-client",
    version,
    description: "Typed client of a Skein job mesh: submit, wait, follow logs and events, over the loss of nodes.",
    license,
    type: "module",
    sideEffects: false,
    engines: { node: ">=20.3" },
    exports: { ".": { types: "./types/client/skein-client.d.ts", default: "./skein-client.js" } },
    types: "./types/client/skein-client.d.ts",
    files: ["skein-client.js", "types"],
  };
  writeFileSync(path.join(directory, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  copyFileSync(path.join(root, "LICENSE"), path.join(directory, "LICENSE"));
  copyFileSync(path.join(root, "docs", "client.md"), path.join(directory, "README.md"));
}

function release(): { readonly version: string; readonly license: string } {
  return JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as { version: string; license: string };
}

function sourceHash(): string {
  const sources = ["src/client", "src/state", "src/lib"].flatMap((folder) => filesBelow(folder, () => true));
  return hashFiles([
    ...sources,
    "package.json",
    "tsconfig.json",
    "LICENSE",
    "docs/client.md",
    "scripts/build-client.ts",
  ]);
}

if (process.argv[1] === import.meta.filename) {
  onInterrupt(() => {});
  if (process.argv.length > 2) {
    console.error("build-client: takes no arguments; usage: npm run build:client");
    process.exit(2);
  }
  try {
    await buildClient();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}
