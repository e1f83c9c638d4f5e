/**
 * `npm run build`: dist/skein, one executable for this machine. `npm run build -- --all`: dist/skein-OS-CPU for the four platforms.
 * Builds are reproducible: same sources, same commit, same bytes.
 */
import { createHash } from "node:crypto";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { filesBelow, formatMs, hashFiles, onInterrupt, root, run, tool } from "./steps.ts";

const dist = path.join(root, "dist");
/** The executable of this machine. */
export const binary = path.join(dist, "skein");
const stamp = path.join(dist, ".sources");

/** Names as people say them, and the registry package whose executable is the runtime there. */
const targets = {
  "linux-x64": "@oven/bun-linux-x64",
  "linux-arm64": "@oven/bun-linux-aarch64",
  "darwin-x64": "@oven/bun-darwin-x64",
  "darwin-arm64": "@oven/bun-darwin-aarch64",
} as const;
type Target = keyof typeof targets;

/** Builds dist/skein if a source, the lockfile or the build itself changed since. Throws with the builder's words when it fails. */
export async function buildIfChanged(): Promise<void> {
  if (existsSync(binary) && existsSync(stamp) && readFileSync(stamp, "utf8") === sourceHash()) return;
  await build();
}

/** Builds for this machine, or for `target`. Replaces the old file only when the new one is whole. */
export async function build(target?: Target): Promise<void> {
  const began = performance.now();
  const hash = sourceHash();
  mkdirSync(dist, { recursive: true });
  const out = target === undefined ? binary : `${binary}-${target}`;
  // The executable's name goes into it, so only the folder of the unfinished one is ours alone.
  const unfinished = path.join(dist, `.new-${process.pid}`);
  const fresh = path.join(unfinished, path.basename(out));
  const runtime =
    target === undefined ? [] : [`--target=bun-${target}`, `--compile-executable-path=${await runtimeFor(target)}`];
  try {
    await compile(root, fresh, "", runtime);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    throw error;
  }
  renameSync(fresh, out);
  rmSync(unfinished, { recursive: true, force: true });
  if (target === undefined) writeFileSync(stamp, hash);
  const megabytes = (statSync(out).size / 1e6).toFixed(0);
  console.log(
    `built ${path.relative(root, out)} ${version()}, ${megabytes} MB, in ${formatMs(performance.now() - began)}`,
  );
}

/**
 * One executable of the sources in that directory: the repository, or a copy in which something was planted, whose version ends in `suffix`. Throws with
 * the builder's words when it fails.
 */
export async function compile(
  directory: string,
  executable: string,
  suffix: string,
  more: readonly string[] = [],
): Promise<void> {
  const args = [
    "build",
    "--compile",
    "--format=esm",
    // `skein version` in 31 ms instead of 57-70 ms (two cores, medians of 15), for 6 MB more.
    "--bytecode",
    "--minify-syntax",
    "--minify-whitespace",
    // Flat names: a worker then lies beside the main module, where new URL("./x-worker.ts", import.meta.url) looks for it.
    "--entry-naming=[name].[ext]",
    // A job mesh must not read what happens to lie in the directory it is started in.
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    "--define",
    `SKEIN_VERSION=${JSON.stringify(version() + suffix)}`,
    ...more,
    "src/main.ts",
    ...workers(),
    `--outfile=${executable}`,
  ];
  const built = await run(tool("bun"), args, { timeoutMs: 5 * 60_000, cwd: directory });
  if (built.code !== 0) throw new Error(`bun build failed:\n${built.output.trim()}`);
}

/** Every *-worker.ts is an entry point of its own. Their names are the binary's names for them, so they must differ. */
function workers(): string[] {
  const files = filesBelow("src", (file) => file.endsWith("-worker.ts"));
  const names = files.map((file) => path.basename(file));
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw new Error(`two workers are called ${twice}: in the binary one would hide the other`);
  return files;
}

/** "0.1.0+1a2b3c4d", with "-changed" when the sources differ from that commit; "0.1.0" without git (set SKEIN_COMMIT to say it). */
export function version(): string {
  const { version: release } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as { version: string };
  const said = process.env["SKEIN_COMMIT"];
  if (said !== undefined && said !== "") return `${release}+${said.slice(0, 12)}`;
  try {
    const git = (...args: string[]): string =>
      execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    const commit = git("rev-parse", "--short=8", "HEAD");
    const changed = git("status", "--porcelain", "--", "src", "package.json", "package-lock.json") !== "";
    return `${release}+${commit}${changed ? "-changed" : ""}`;
  } catch {
    return release;
  }
}

function sourceHash(): string {
  return hashFiles([...filesBelow("src", () => true), "package.json", "package-lock.json", "scripts/build.ts"]);
}

/**
 * The runtime of another platform, as an npm package at the version that the lockfile names for bun itself, and checked against the
 * lockfile's hash. Kept in dist/.runtime.
 */
async function runtimeFor(target: Target): Promise<string> {
  const name = targets[target];
  const lock = JSON.parse(readFileSync(path.join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, { version: string; integrity?: string }>;
  };
  const entry = lock.packages[`node_modules/${name}`];
  if (entry?.integrity === undefined) throw new Error(`package-lock.json does not pin ${name}`);
  const folder = path.join(dist, ".runtime", `${path.basename(name)}-${entry.version}`);
  const executable = path.join(folder, "package", "bin", "bun");
  if (existsSync(executable)) return executable;
  const fresh = `${folder}.new-${process.pid}`;
  mkdirSync(fresh, { recursive: true });
  try {
    console.log(`fetching ${name}@${entry.version}`);
    const packed = await run(
      "npm",
      ["pack", `${name}@${entry.version}`, "--pack-destination", fresh, "--loglevel=error"],
      {
        timeoutMs: 10 * 60_000,
      },
    );
    if (packed.code !== 0) {
      throw new Error(
        `${name}@${entry.version} could not be fetched from the package registry:\n${packed.output.trim()}`,
      );
    }
    const tarball = path.join(fresh, `${name.slice(1).replace("/", "-")}-${entry.version}.tgz`);
    const integrity = `sha512-${createHash("sha512").update(readFileSync(tarball)).digest("base64")}`;
    if (integrity !== entry.integrity)
      throw new Error(`${name}@${entry.version} is not what package-lock.json says it is`);
    execFileSync("tar", ["-xzf", tarball, "-C", fresh]);
    rmSync(tarball);
    rmSync(folder, { recursive: true, force: true });
    renameSync(fresh, folder);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return executable;
}

if (process.argv[1] === import.meta.filename) {
  onInterrupt(() => {});
  const args = process.argv.slice(2);
  const wrong = args.find((arg) => arg !== "--all");
  if (wrong !== undefined) {
    console.error(`build: unknown argument ${wrong}; usage: npm run build [-- --all]`);
    process.exit(2);
  }
  try {
    if (args.includes("--all")) for (const target of Object.keys(targets) as Target[]) await build(target);
    else await build();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}
