/** The pages that benchmarks write, each with its figures beside it as JSON. */
import { cronSections } from "./cron-sections.ts";
import { fanoutSections } from "./fanout-sections.ts";
import { jobsSections } from "./jobs-sections.ts";

/** A benchmark: what it is about, and what it does. */
export interface Section {
  readonly title: string;
  readonly text: string;
}

/** A page: docs/benchmarks-NAME.md. */
export interface Book {
  readonly title: string;
  /** By the name that `npm run bench -- NAME` has, in the order of the page. */
  readonly sections: Readonly<Record<string, Section>>;
}

/** By name; `npm run bench -- NAME` measures all of one. */
export const books = {
  jobs: { title: "Benchmarks of the job engine", sections: jobsSections },
  fanout: { title: "Benchmarks of commands on many hosts", sections: fanoutSections },
  cron: { title: "Benchmarks of schedules", sections: cronSections },
} as const satisfies Readonly<Record<string, Book>>;

export type BookName = keyof typeof books;
export type SectionName = { [Name in BookName]: keyof (typeof books)[Name]["sections"] }[BookName];

/** The book that has that section. */
export function bookOf(section: SectionName): BookName {
  return (Object.keys(books) as BookName[]).find((name) => section in books[name].sections)!;
}

/** The names of a book's sections in the order of its page. */
export function sectionNames(book: BookName): readonly SectionName[] {
  return Object.keys(books[book].sections) as SectionName[];
}
