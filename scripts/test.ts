/**
 * `npm test`: every check, the build of the binary, and every test file, each in a process of its own. Ends with one line,
 * `N passed, N failed` (`, N skipped`), and exit code 1 when anything failed or nothing ran.
 *
 * `npm test -- WORD...` runs the test files whose path contains a word, and the build; no checks.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import { build, buildIfChanged } from "./build.ts";
import { checks } from "./checks.ts";
import { skipReasons } from "./needed.ts";
import { endMarked } from "./processes.ts";
import { filesBelow, formatMs, onInterrupt, run, tool } from "./steps.ts";

/** One file may take this long; then it is killed and counted as failed. */
const fileTimeoutMs = 30 * 60_000;
/** One test may take this long unless it says otherwise: a bound for what hangs, and none for a machine that is busy. */
const testTimeoutMs = 300_000;
/** Processes that a file started may take this long to go away by themselves (a guard waits for its lease). */
const strayGraceMs = 60_000;
/** Tests of these folders start real nodes, which mostly wait, a file for some 0.6 of a core: one file more than there are cores, after those that only compute. */
const meshes = new Set(["e2e"]);
/** Tests of these folders count on a share of the machine: one file at a time. */
const alone = new Set(["node", "browser"]);
/** Tests of these folders only compute, in virtual time and for minutes: they get what others leave of the processors, from when those mostly wait. */
const patient = new Set(["sim"]);
const lowestPriority = 19;

const total = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];
const work = mkdtempSync(path.join(tmpdir(), "skein-test-"));
const mark = `skein-test-${process.pid}-${Math.random().toString(36).slice(2)}`;

onInterrupt(async () => {
  await endMarked(mark, 0);
  rmSync(work, { recursive: true, force: true });
});

const words = process.argv.slice(2);
const files = filesBelow("test", (file) => file.endsWith(".test.ts")).filter(
  (file) => words.length === 0 || words.some((word) => file.includes(word)),
);
if (words.length === 0) for (const check of checks) await runCheck(check.name, () => check.run());
await runCheck("build (dist/skein)", async () => {
  const began = performance.now();
  try {
    await (words.length === 0 ? build() : buildIfChanged());
    return { code: 0, output: "", ms: performance.now() - began };
  } catch (error) {
    return { code: 1, output: error instanceof Error ? error.message : String(error), ms: performance.now() - began };
  }
});
const abreast = Math.min(2, availableParallelism());
await drain(
  files.filter((file) => ![meshes, alone, patient].some((folders) => folders.has(folderOf(file)))),
  abreast,
);
const simulated = drain(
  files.filter((file) => patient.has(folderOf(file))),
  1,
  lowestPriority,
);
await drain(
  files.filter((file) => meshes.has(folderOf(file))),
  abreast + 1,
);
await drain(
  files.filter((file) => alone.has(folderOf(file))),
  1,
);
await simulated;
rmSync(work, { recursive: true, force: true });

const ran = total.passed + total.failed;
if (failures.length > 0) console.log(`\nFailed:\n${failures.map((failure) => `  ${failure}`).join("\n")}`);
if (ran === 0) console.log("\nNo test ran.");
console.log("");
console.log(`${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ""}`);
process.exit(total.failed === 0 && ran > 0 ? 0 : 1);

function folderOf(file: string): string {
  return file.split("/")[1] ?? "";
}

async function runCheck(
  name: string,
  check: () => Promise<{ readonly code: number | null; readonly output: string; readonly ms: number }>,
): Promise<void> {
  const ended = await check();
  if (ended.code === 0) total.passed++;
  else total.failed++;
  say(name, ended.code === 0 ? [] : [name], "", ended.ms, ended.output);
}

/** So many at once, until none is left. `niceness`: 0 to 19, the last to be served. */
async function drain(queue: string[], lanes: number, niceness = 0): Promise<void> {
  const drive = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) await runFile(file, niceness);
  };
  await Promise.all(Array.from({ length: lanes }, drive));
}

async function runFile(file: string, niceness: number): Promise<void> {
  const report = path.join(work, `${file.replaceAll("/", "-")}.xml`);
  const fileMark = `${mark}-${file}`;
  const args = ["test", `./${file}`, `--timeout=${testTimeoutMs}`, "--reporter=junit", `--reporter-outfile=${report}`];
  const patience = setInterval(() => console.log(`  …    ${file} is still running`), 30_000);
  const ended = await run(tool("bun"), args, {
    niceness,
    timeoutMs: fileTimeoutMs,
    env: { SKEIN_TEST_MARK: fileMark, BUN_CONFIG_MAX_HTTP_REQUESTS: "1024" },
  });
  clearInterval(patience);
  const counts = readReport(report);
  const wrong = counts.failures.map((name) => `${file}: ${name}`);
  if (ended.timedOut) wrong.push(`${file}: killed after ${formatMs(fileTimeoutMs)}`);
  else if (ended.code !== 0 && counts.failures.length === 0) wrong.push(`${file}: ended with exit code ${ended.code}`);
  else if (counts.passed + counts.skipped + counts.failures.length === 0) wrong.push(`${file}: ran no test`);
  const strays = await endMarked(fileMark, strayGraceMs);
  if (strays.length > 0) {
    wrong.push(
      `${file}: left behind ${strays.map((stray) => `${stray.pid} (${stray.command.slice(0, 120)})`).join(", ")}`,
    );
  }
  total.passed += counts.passed;
  total.skipped += counts.skipped;
  total.failed += wrong.length;
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
  say(file, wrong, `${counts.passed} passed${skipped}`, ended.ms, ended.output);
  // A file that fails shows all it said already.
  if (wrong.length === 0) for (const reason of skipReasons(ended.output)) console.log(`    | ${reason}`);
}

function say(name: string, wrong: readonly string[], counts: string, ms: number, output: string): void {
  const good = wrong.length === 0;
  console.log(`${good ? "ok    " : "FAILED"} ${name}  ${counts === "" ? "" : `${counts}  `}${formatMs(ms)}`);
  if (good) return;
  failures.push(...wrong);
  console.log(output.trimEnd().replaceAll(/^/gm, "    | "));
}

/** Numbers and names from bun's JUnit file. A file that is missing or cut (the run crashed) counts nothing: its exit code tells. */
function readReport(report: string): {
  readonly passed: number;
  readonly skipped: number;
  readonly failures: string[];
} {
  let xml;
  try {
    xml = readFileSync(report, "utf8");
  } catch {
    return { passed: 0, skipped: 0, failures: [] };
  }
  let passed = 0;
  let skipped = 0;
  const failed: string[] = [];
  for (const [, attributes, inside] of xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    if (inside !== undefined && /<(failure|error)\b/.test(inside)) failed.push(caseName(attributes ?? ""));
    else if (inside?.includes("<skipped") === true) skipped++;
    else passed++;
  }
  return { passed, skipped, failures: failed };
}

function caseName(attributes: string): string {
  const name = / name="([^"]*)"/.exec(attributes)?.[1] ?? "a test";
  const group = / classname="([^"]*)"/.exec(attributes)?.[1] ?? "";
  const text = group === "" ? name : `${group} > ${name}`;
  const entities: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replaceAll(/&(lt|gt|quot|apos|amp);/g, (whole, entity: string) => entities[entity] ?? whole);
}
