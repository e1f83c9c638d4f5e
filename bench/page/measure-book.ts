/** All benchmarks of a book, one after the other, each in a process of its own. */
import { spawn } from "node:child_process";
import path from "node:path";
import { root } from "../../scripts/steps.ts";
import { words } from "../harness.ts";
import { type BookName, sectionNames, type SectionName } from "./books.ts";
import { renderAgain } from "./conclude.ts";

/** Measures those of `--only=A,B`, or all; with `--render` it only writes the page again. Sets exit code 1 when something is not as wanted, or could not be measured. */
export async function measureBook(book: BookName): Promise<void> {
  const all = sectionNames(book);
  const names = words("only") ?? all;
  const wrong = names.find((name) => !all.includes(name as SectionName));
  if (wrong !== undefined) {
    console.error(`${book}: there is no benchmark "${wrong}"; there are ${all.join(", ")}`);
    process.exit(2);
  }
  if (process.argv.includes("--render")) {
    const missed = renderAgain(book);
    for (const one of missed) console.error(`${book}: missed: ${one}`);
    if (missed.length > 0) process.exitCode = 1;
    return;
  }
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
