/** The checks that `npm run check` and `npm test` share: each is one program, and counts as one test. */
import { run, tool, type Ended } from "./steps.ts";

export interface Check {
  readonly name: string;
  run(): Promise<Ended>;
}

const timeoutMs = 5 * 60_000;

export const checks: readonly Check[] = [
  { name: "types (tsc)", run: () => run(tool("tsc"), ["-p", "."], { timeoutMs }) },
  { name: "lint (oxlint, type-aware)", run: () => run(tool("oxlint"), ["-f", "unix"], { timeoutMs }) },
  { name: "format (oxfmt)", run: () => run(tool("oxfmt"), ["--check", "."], { timeoutMs }) },
  { name: "dead code (knip)", run: () => run(tool("knip"), ["--no-progress"], { timeoutMs }) },
];
