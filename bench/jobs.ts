/**
 * All that the job engine is measured by, one benchmark after the other, each in a process of its own: docs/benchmarks-jobs.md, with its figures in
 * docs/benchmarks-jobs.json.
 *
 * `npm run bench -- jobs [--only=NAME,NAME] [--render] [--rounds=5 …]`; what else is said is said to each of them. `--render` only writes the page
 * again. Exit code 1 when something is not as wanted, or could not be measured.
 */
import { measureBook } from "./page/measure-book.ts";

await measureBook("jobs");
