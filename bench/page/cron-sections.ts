/** What docs/benchmarks-cron.md is made of, in this order: a benchmark each, with what it does. */
import type { Section } from "./books.ts";

/** By the name that `npm run bench -- NAME` has. */
export const cronSections = {
  "cron-fires": {
    title: "Eight hundred fires a second",
    text: "4,000 schedules every 5 s on three nodes, by `skein bench cron`: once all at one instant, once spread over the interval by jitter. *Late* is from the instant, its jitter added, to the leader's stamp on the log's entry that makes the job; *started* is when the job's task begins on the node that it was given to, of 500 jobs evenly chosen. Every instant of every schedule is looked up in its history afterwards. Beside it, in turns, the same schedules by croner in one process, all at one instant, which keeps nothing, tells nobody and starts nothing: to the call of its function.",
  },
  "cron-idle": {
    title: "What schedules cost that are not due",
    text: "Three nodes at rest without schedules; then with 10,000, 100,000 and 1,000,000 daily ones, each at a second of its own and 99 others, so that 100 are due each second throughout. Memory is that of a node's process, the one with the most; processor time that of all three, in parts of one core. Lateness is that of all that came due meanwhile, each of which must have one fire in its history, and none before its time.",
  },
  "cron-failover": {
    title: "A leader killed in the middle",
    text: "1,000 schedules every second on three nodes, all at one instant, by `skein bench cron`: once undisturbed, once while the leader is killed with SIGKILL 20 ms before an instant in the middle, which is started again 5 s later. The latest fire of the one and of the other tell what a failover adds. Next to that the time from the kill until another node takes a write, as a client of the two others sees it.",
  },
  instants: {
    title: "When is it due next",
    text: "Instants that one core works out in a second of processor time, in the runtime that skein has, nothing else being done there: the next one after another, as of a schedule that fires; the newest up to a moment, as of one that was down; the first one of an expression that nobody has asked about before. And by plain croner, which is under ours: what ours does more are the rules of changed clocks that docs/cron.md tells.",
  },
} as const satisfies Readonly<Record<string, Section>>;
