/** The end of every benchmark of jobs: what was wanted beside what was measured, on the terminal and, with `--write`, in docs/benchmarks-jobs.md. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { missedIn } from "../../scripts/reliability-judge.ts";
import { root, tool } from "../../scripts/steps.ts";
import type { Conditions } from "../harness.ts";
import { type Book, type Found, missed, render } from "./render.ts";
import type { SectionName } from "./sections.ts";

const file = path.join(root, "docs", "benchmarks-jobs.json");
const page = path.join(root, "docs", "benchmarks-jobs.md");

/** Prints the rows. Exit code 1 where one is not as wanted. `peers`: what was measured beside us. */
export function conclude(name: SectionName, conditions: Conditions, found: Found & { readonly peers?: string }): void {
  console.log("");
  for (const { what, wanted, measured, met } of found.rows) {
    const verdict = met === undefined ? "" : met ? `  met (${wanted})` : `  MISSED (${wanted})`;
    console.log(`${what}: ${measured}${verdict}`);
  }
  for (const line of found.lines ?? []) console.log(line);
  if (missedIn(name, found.rows, 0).length > 0) process.exitCode = 1;
  if (!process.argv.includes("--write")) return;
  const words = process.argv
    .slice(3)
    .filter((word) => word !== "--write")
    .join(" ");
  const date = new Date().toISOString().slice(0, 16);
  const tookMs = Math.round(performance.now());
  writeBook({ ...readBook(), [name]: { date, tookMs, words, ...conditions, ...found } });
}

/** Writes the page again from what is kept, and gives what is not as wanted. */
export function renderAgain(): string[] {
  writeBook(readBook());
  return missed(readBook());
}

/** Writes a file beside the page, which links to it, and gives its name. */
export function writeBeside(name: string, text: string): string {
  writeFileSync(path.join(root, "docs", name), text);
  return name;
}

function readBook(): Book {
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Book) : {};
}

function writeBook(book: Book): void {
  writeFileSync(file, `${JSON.stringify(book, null, 2)}\n`);
  writeFileSync(page, render(book));
  // As `npm run fix` would have it.
  execFileSync(tool("oxfmt"), [file, page]);
}
