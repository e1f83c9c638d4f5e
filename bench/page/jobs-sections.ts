/** What docs/benchmarks-jobs.md is made of, in this order: a benchmark each, with what it does. */
import type { Section } from "./books.ts";

/** By the name that `npm run bench -- NAME` has. */
export const jobsSections = {
  submit: {
    title: "Submitting",
    text: "Three nodes, fsync on, peers by mutual TLS, HTTP with keep-alive; each measurement on a mesh of its own that bore the same load before. Jobs that *run* do so at once, which takes its part of the same cores; jobs that *wait* for an instant are accepted and not run, as what the peers store is not (for the instant that they wait for each has a row and an update more than one that runs). Beside it, under the same number of requests at once: puts of 200 bytes to the leader of three etcd members, and BullMQ's `add` (batches: `addBulk`) on one Redis that is not replicated, whose file is synced each second (`everysec`) or before it answers (`always`). Processor time is that of the nodes' processes, by thread: the loop, the two writers of log and state, the compiler, the rest.",
  },
  cycle: {
    title: "The whole way",
    text: "`noop` tasks submitted, placed, started and ended by the executor of their node, reported, all of it replicated: single jobs in batches of 200, no two of the same spec, and arrays. Tasks that take no time and leave nothing (`arrays`) a node runs in a loop, a whole unit at once; those with a timeout go the way of every other task. A start of a task's own is one between the acceptance of its job and its end, told by the node that the task was given to, and not the same for all of a node. The time is from the first request to the last end that the client sees. Beside it BullMQ on one Redis: jobs that were added before, which is not counted, run by one worker that does nothing with 100 of them at once. Processor time is that of the nodes' processes until the last end, by thread: the loop, the two writers of log and state, the compiler, the rest.",
  },
  array: {
    title: "A large array",
    text: "One request for an array of 1,000,000 `noop` tasks, from sending it to its acknowledgement. Once it may run at once, and is cancelled as soon as it is acknowledged; once it waits for an instant (`start_at`).",
  },
  queued: {
    title: "A long queue",
    text: "1,000,000 single jobs are queued, no two of the same spec, and none of them can start: once because every node runs as many tasks as it takes (`busy`: they are in the leader's view), once because they wait for an instant (`gated`). Single submits with 256 connections before and after; memory of the leader's process; then the leader is killed and started again, and at last all nodes.",
  },
  dispatch: {
    title: "From accepted to started",
    text: "Single jobs, one at a time, on a mesh that does nothing else and on one that runs 5,000 `noop` tasks a second. *Accepted* is `submitted_at` of the job, stamped by the leader's wall clock when it takes the write into its log, before that is replicated; *started* is `started_at` of the task, from the wall clock of the node that runs it. A `shell` task runs `date` as its program, which tells when it was there itself. All clocks are one machine's; the state keeps whole milliseconds.",
  },
  spawn: {
    title: "Processes",
    text: "`shell` tasks of `/bin/true`, one array of them, beside a loop in the same runtime that spawns and reaps them with the same options (a session of their own, both outputs as pipes that are read to their end, no standard input), as many at once as the mesh runs. In turns.",
  },
  growth: {
    title: "How it grows",
    text: "The same figures with more nodes, all on this machine, and with more jobs in the state of three nodes. A step is worse than linear when what one operation costs (time, or memory) grows by more than the number of nodes or jobs does, and a quarter for noise; of each figure the steepest step is told. With more nodes these share the same cores, so that work which every node does is divided by more. Jobs that wait do so for a node that nobody is (`nowhere`: the planner has to pass over them) or for an instant (`gated`); what a measurement adds itself comes on top. What is known of the steps that are steeper: [performance](performance.md#with-more-nodes).",
  },
} as const satisfies Readonly<Record<string, Section>>;
