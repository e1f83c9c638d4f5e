/**
 * All that schedules are measured by, one benchmark after the other, each in a process of its own: docs/benchmarks-cron.md, with its figures in
 * docs/benchmarks-cron.json.
 *
 * `npm run bench -- cron [--only=NAME,NAME] [--render] [--rounds=3 …]`; what else is said is said to each of them. `--render` only writes the page
 * again. Exit code 1 when something is not as wanted, or could not be measured.
 */
import { measureBook } from "./page/measure-book.ts";

await measureBook("cron");
