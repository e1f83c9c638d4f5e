/** A page of benchmarks from what was measured: what is wanted beside what was found, what is missed first. */
import { missedIn, type Row } from "../../scripts/reliability-judge.ts";
import { formatMs } from "../../scripts/steps.ts";
import { type BookName, books, type Section, sectionNames, type SectionName } from "./books.ts";

/** What one benchmark found. */
export interface Found {
  readonly rows: readonly Row[];
  /** Markdown below the rows. */
  readonly lines?: readonly string[];
  readonly figures: unknown;
}

/** With where and when. */
export interface Kept extends Found {
  readonly date: string;
  readonly tookMs: number;
  readonly words: string;
  readonly machine: string;
  readonly load: string;
  readonly versions: string;
  readonly commit: string;
  readonly peers?: string;
}

/** What was measured of a book's sections. */
export type Findings = Readonly<Partial<Record<SectionName, Kept>>>;

/** All that is not as it is wanted, in words for people. */
export function missed(book: BookName, found: Findings): string[] {
  return sectionNames(book).flatMap((name) => missedIn(name, found[name]?.rows ?? [], 0));
}

/** The page as Markdown. */
export function render(book: BookName, found: Findings): string {
  const names = sectionNames(book);
  const measured = names.filter((name) => found[name] !== undefined);
  const absent = names.filter((name) => found[name] === undefined);
  const wrong = missed(book, found);
  const sections: Readonly<Record<string, Section>> = books[book].sections;
  const lines = [
    `# ${books[book].title}`,
    "",
    `Measured by \`npm run bench -- ${book}\`, which writes this page from \`docs/benchmarks-${book}.json\`; \`npm run bench -- NAME --write\` measures one section again. Every section says`,
    "when and where. All nodes, clients and peers of a run share one machine; figures of one run compare, figures of different runs or machines do not. Each figure is the median",
    "of its rounds, with the smallest and the largest in parentheses, taken in turns after a round that does not count; how many is said below each section (`--rounds`), and is one where a round takes minutes. The median is what is judged.",
    "",
  ];
  if (measured.length > 0)
    lines.push(
      ...(wrong.length === 0
        ? ["All that was measured is as wanted."]
        : ["**Missed**:", "", ...wrong.map((one) => `- ${one}`)]),
      "",
    );
  if (absent.length > 0) lines.push(`Not measured yet: ${absent.map((name) => `\`${name}\``).join(", ")}.`, "");
  for (const name of measured) lines.push(...sectionLines(name, sections[name]!, found[name]!));
  return `${lines.join("\n").trimEnd()}\n`;
}

function sectionLines(name: SectionName, { title, text }: Section, found: Kept): string[] {
  const { rows, lines = [], words, peers, date, tookMs, versions, machine, load } = found;
  const verdict = ({ met }: Row): string => (met === undefined ? "" : met ? "met" : "**missed**");
  const table = rows.map((row) => `| ${row.what} | ${row.wanted} | ${row.measured} | ${verdict(row)} |`);
  return [
    `## ${title}`,
    "",
    text,
    "",
    ...(rows.length === 0 ? [] : ["| | wanted | measured | |", "|---|---|---|---|", ...table, ""]),
    ...(lines.length === 0 ? [] : [...lines, ""]),
    ...(peers === undefined ? [] : [`Peers: ${peers}.`, ""]),
    `*\`npm run bench -- ${[name, words].join(" ").trim()}\`, ${date}, ${formatMs(tookMs)}; ${versions}; ${machine}; load before ${load}.*`,
    "",
  ];
}
