/** What docs/benchmarks-fanout.md is made of, in this order: a benchmark each, with what it does. */
import type { Section } from "./books.ts";

/** By the name that `npm run bench -- NAME` has. */
export const fanoutSections = {
  targets: {
    title: "Ten thousand targets",
    text: "A job of 10,000 `noop` targets that nobody has named before, each with 1 KiB of output, on three nodes: until it is acknowledged; from the same moment until every node has the last result in its state; all results read by pages of 1,000 from a node that does not lead, each looked at. Then the same fleet once more, and results of single targets, one request at a time, from a state that has all jobs before (which is what is asked: newest first, output included).",
  },
} as const satisfies Readonly<Record<string, Section>>;
