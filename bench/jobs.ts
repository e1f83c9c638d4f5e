/**
 * All that the job engine is measured by, one benchmark after the other, each in a process of its own: docs/benchmarks-jobs.md, with its figures in
 * docs/benchmarks-jobs.json.
 *
 * `npm run bench -- jobs [--only=cycle,array] [--render] [--rounds=5 …]`; what else is said is said to each of them. `--render` only writes the page
 * again. Exit code 1 when something is not as wanted, or could not be measured.
 */
import { spawn } from "node:child_process";
import path from "node:path";
import { root } from "../scripts/steps.ts";
import { words } from "./harness.ts";
import { renderAgain } from "./page/conclude.ts";
import { sectionNames, type SectionName } from "./page/sections.ts";

const names = words("only") ?? sectionNames;
const wrong = names.find((name) => !sectionNames.includes(name as SectionName));
if (wrong !== undefined) {
  console.error(`jobs: there is no benchmark "${wrong}"; there are ${sectionNames.join(", ")}`);
  process.exit(2);
}
if (process.argv.includes("--render")) {
  const missed = renderAgain();
  for (const one of missed) console.error(`jobs: missed: ${one}`);
  if (missed.length > 0) process.exitCode = 1;
} else {
  const others = process.argv.slice(3).filter((word) => !word.startsWith("--only="));
  for (const name of names) {
    console.log(`\n== ${name}`);
    const code = await benchmark(name, others);
    if (code !== 0) process.exitCode = 1;
  }
}

/** It ends with us, however we end: that is what scripts/steps.ts looks for. */
async function benchmark(name: string, others: readonly string[]): Promise<number> {
  const setup = path.join(root, "scripts", "setup.mjs");
  const child = spawn(process.execPath, [setup, "bench", name, "--write", ...others], { stdio: "inherit" });
  return await new Promise((resolve) => child.on("exit", (code) => resolve(code ?? 1)));
}
