import type { Mutant } from "./mutant.ts";

const database = "src/storage/log-database.ts";
const writer = "src/storage/log-writer.ts";
const state = "src/storage/state-db.ts";

/** Bugs of what is on disk: looked for with the production log and state on real files. */
export const storageMutants: readonly Mutant[] = [
  {
    name: "7",
    title: "a write is reported durable before it is written",
    source: "etcd#14370, nats-server#7564",
    bug: "The report goes out first and the transaction follows: a cluster of one has answered, and a crash in between takes the entry.",
    patches: [
      {
        file: writer,
        old: "        database.write(this.#inbox);",
        new: '        this.#ports.post({ kind: "durable", token: last.token });\n        database.write(this.#inbox);',
      },
      {
        file: writer,
        old: '      this.#inbox = [];\n      this.#ports.post({ kind: "durable", token: last.token });',
        new: "      this.#inbox = [];",
      },
    ],
    simulation: "disk",
    checkers: ["storage-model", "leader-completeness", "starts-again"],
  },
  {
    name: "8",
    title: "the applied index is written apart from the rows",
    source: "etcd#13766 and its postmortem",
    bug: "The index is ahead of the data for a moment: after a crash in it entries are skipped for good.",
    patches: [
      {
        file: state,
        old: '      this.#execute("begin immediate");\n      const value = apply();',
        new: '      this.#advance.run(newApplied, newest.term ?? this.#term, newest.configuration ?? this.#configuration ?? null, before, expectedApplied);\n      this.#execute("begin immediate");\n      const value = apply();',
      },
      {
        file: state,
        old: "this.#advance.run(newApplied, term, configuration ?? null, this.#hash.digest(), expectedApplied),",
        new: "this.#advance.run(newApplied, term, configuration ?? null, this.#hash.digest(), newApplied),",
      },
    ],
    simulation: "disk",
    checkers: ["state-effects"],
  },
  {
    name: "10",
    title: "a commit of the log does not wait for the disk",
    source: "etcd#14143, #14098, #14140",
    bug: "The log's transactions are synced at checkpoints only: power loss takes what was acknowledged.",
    patches: [{ file: database, old: "pragma synchronous = full", new: "pragma synchronous = normal" }],
    simulation: "disk",
    checkers: ["storage-model", "leader-completeness", "starts-again"],
  },
  {
    name: "13",
    title: "a failed sync is tried again",
    source: "rostam#94 and the research on failed syncs",
    bug: "The second sync reports success, and what the first one should have written is gone.",
    patches: [
      {
        file: writer,
        old: '    if (fault instanceof Fault && fault.code === "disk-full") {\n      if (!this.#full)',
        new: '    if (!(fault instanceof Fault) || fault.code === "disk") {\n      this.#scheduled = true;\n      this.#ports.after(fullRetryMs, () => this.#drain());\n      return;\n    }\n    if (fault instanceof Fault && fault.code === "disk-full") {\n      if (!this.#full)',
      },
    ],
    simulation: "disk",
    checkers: ["storage-model", "leader-completeness", "starts-again"],
  },
  {
    name: "14",
    title: "a damaged entry is taken for the end of the log",
    source: "camunda#6098, rabbitmq/ra#299, nats-server#7549",
    bug: "What follows it is dropped and nobody remembers that it was acknowledged: the node votes as if it had never been there.",
    patches: [
      {
        file: database,
        old: "      this.#truncate.run(first);\n      this.#writeRepair(repair);",
        new: "      this.#truncate.run(first);",
      },
      {
        file: database,
        old: "    this.#repair = repair;\n    this.#lastIndex = Math.max",
        new: "    this.#lastIndex = Math.max",
      },
    ],
    simulation: "disk",
    checkers: ["storage-model", "leader-completeness"],
  },
  {
    name: "34",
    title: "a new state and an old log, after a crash between the two",
    source: "redisraft#17, #28, #43, #44",
    bug: "The log is not begun anew after the state that a snapshot brought: there is a gap, and the node does not start.",
    patches: [
      {
        file: database,
        old: "if (installing === applied && meta !== undefined && this.#termAt(applied) !== meta.term)",
        new: "if (installing === applied && meta !== undefined && meta.term === 0)",
      },
    ],
    simulation: "disk",
    checkers: ["starts-again", "storage-model"],
  },
];
