/**
 * The first step of every npm script: `node scripts/setup.mjs NAME ARGS...` installs the packages of the lockfile where they are
 * missing or others, then runs scripts/NAME.ts in this same process, so that signals reach it and its exit code is npm's.
 *
 * Plain JavaScript without imports of packages, because on a fresh clone nothing is installed yet. Everything else here is
 * TypeScript. Without NAME it only sets up.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const oldestNode = 20;

class SetupFailed extends Error {}

try {
  await setup();
} catch (error) {
  if (!(error instanceof SetupFailed)) throw error;
  console.error(`setup: ${error.message}`);
  process.exit(1);
}
await runScript();

async function setup() {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < oldestNode) {
    throw new SetupFailed(
      `Node ${process.versions.node} is too old: install Node ${oldestNode} or newer, then run the same command again.`,
    );
  }
  const reason = whyInstall();
  if (reason !== undefined) await install(reason);
  placeBun();
}

/**
 * Puts bun's executable where node_modules/.bin/bun points: the one install script that is needed (it copies from the package of this
 * platform, which npm has checked), run by name here because newer npms run no install scripts unasked.
 */
function placeBun() {
  const home = path.join(root, "node_modules", "bun");
  const executable = path.join(home, "bin", "bun.exe");
  const written = existsSync(executable) && statSync(executable).size > 1_000_000;
  if (written) return;
  const done = spawnSync(process.execPath, ["install.js"], { cwd: home, encoding: "utf8" });
  if (done.status === 0) return;
  throw new SetupFailed(`bun could not be set up for ${process.platform} ${process.arch}: ${done.stderr.trim()}`);
}

/** Why node_modules is not what the lockfile says, or undefined. npm leaves its own record of what it installed there, last of all. */
function whyInstall() {
  const recordFile = path.join(root, "node_modules", ".package-lock.json");
  if (!existsSync(recordFile)) return "nothing is installed yet";
  let wanted, installed;
  try {
    wanted = JSON.parse(readFileSync(path.join(root, "package-lock.json"), "utf8")).packages;
    installed = JSON.parse(readFileSync(recordFile, "utf8")).packages;
  } catch (error) {
    return `the record of installed packages cannot be read (${error.message})`;
  }
  for (const [place, entry] of Object.entries(installed)) {
    const lock = wanted[place];
    if (lock === undefined) return `${place} is not in the lockfile`;
    if (lock.version !== entry.version || lock.integrity !== entry.integrity) return `${place} has another version`;
    if (entry.cpu !== undefined && !entry.cpu.includes(process.arch)) return `${place} is for another processor`;
    if (entry.os !== undefined && !entry.os.includes(process.platform)) return `${place} is for another system`;
  }
  for (const [place, entry] of Object.entries(wanted)) {
    if (place !== "" && entry.optional !== true && installed[place] === undefined) return `${place} is missing`;
  }
  return undefined;
}

async function install(reason) {
  console.error(`setup: installing packages (npm ci), because ${reason}`);
  const began = Date.now();
  const seconds = () => `${Math.round((Date.now() - began) / 1000)} s`;
  const progress = setInterval(() => console.error(`setup: still installing, ${seconds()}`), 5000);
  // No install scripts but bun's own (placeBun): no other package needs one, and none should run unseen.
  const words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error"];
  const npm = process.env.npm_execpath;
  const [command, args] =
    npm !== undefined && /\.c?js$/.test(npm) ? [process.execPath, [npm, ...words]] : ["npm", words];
  let said = "";
  const code = await new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.on("data", (chunk) => (said += chunk));
    child.stderr.on("data", (chunk) => (said += chunk));
    child.on("error", (error) =>
      reject(new SetupFailed(`npm could not be started (${error.message}): is npm installed?`)),
    );
    child.on("close", resolve);
  }).finally(() => clearInterval(progress));
  if (code === 0) {
    console.error(`setup: packages installed in ${seconds()}`);
    return;
  }
  console.error(said.trimEnd());
  if (
    /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT)\b/.test(said)
  ) {
    throw new SetupFailed(
      "the package registry could not be reached. Check the network, and a proxy or mirror (`npm config get registry`), then run the same command again.",
    );
  }
  throw new SetupFailed(`npm ci failed with exit code ${code}; what it said is above.`);
}

async function runScript() {
  const name = process.argv[2];
  if (name === undefined) return;
  const file = path.join(root, "scripts", `${name}.ts`);
  if (!/^[a-z-]+$/.test(name) || !existsSync(file)) {
    console.error(`setup: there is no scripts/${name}.ts`);
    process.exit(2);
  }
  const { register } = await import("tsx/esm/api");
  register();
  process.argv.splice(1, 2, file);
  await import(pathToFileURL(file).href);
}
