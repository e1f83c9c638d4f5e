/** The end of every benchmark that has a section in a book: what was wanted beside what was measured, on the terminal and, with `--write`, on the book's page. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { missedIn } from "../../scripts/reliability-judge.ts";
import { root, tool } from "../../scripts/steps.ts";
import type { Conditions } from "../harness.ts";
import { type BookName, bookOf, type SectionName } from "./books.ts";
import { type Findings, type Found, missed, render } from "./render.ts";

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
  const book = bookOf(name);
  writeBook(book, { ...readBook(book), [name]: { date, tookMs, words, ...conditions, ...found } });
}

/** Writes a page again from what is kept, and gives what is not as wanted. */
export function renderAgain(book: BookName): string[] {
  const found = readBook(book);
  writeBook(book, found);
  return missed(book, found);
}

/** Writes a file beside the pages, which link to it, and gives its name. */
export function writeBeside(name: string, text: string): string {
  writeFileSync(path.join(root, "docs", name), text);
  return name;
}

function fileOf(book: BookName, ending: "json" | "md"): string {
  return path.join(root, "docs", `benchmarks-${book}.${ending}`);
}

function readBook(book: BookName): Findings {
  const file = fileOf(book, "json");
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Findings) : {};
}

function writeBook(book: BookName, found: Findings): void {
  const [file, page] = [fileOf(book, "json"), fileOf(book, "md")];
  writeFileSync(file, `${JSON.stringify(found, null, 2)}\n`);
  writeFileSync(page, render(book, found));
  // As `npm run fix` would have it.
  execFileSync(tool("oxfmt"), [file, page]);
}
