import { Database } from "bun:sqlite";
import { commandByTag, type AnyCommand } from "../../src/state/commands/index.ts";
import type { OddKind } from "./odd-kinds.ts";

/** What is wrong with the state of one host, until a right one takes its place. */
export interface Odd {
  readonly kind: OddKind;
  /** States of this entry or a later one are wrong. */
  readonly since: number;
  /** Its hash was found to be another one than that of right states. */
  isSeen: boolean;
}

const edits: Readonly<Record<Exclude<OddKind, "bug">, readonly string[]>> = {
  hash: [
    "update meta set hash = (case substr(hash, 1, 1) when '0' then '1' else '0' end) || substr(hash, 2) where hash <> ''",
  ],
  ids: ["update counter set next_job = next_job + 7"],
  attempt: [
    // The first attempt of an only task is not in a row of its own: another one is.
    `insert into task (job, task, state, attempt, node, fence)
     select id, 0, 'running', 1, only_node, only_fence from job where running = 1 and only_node is not null order by id desc limit 1`,
    "update job set only_node = null where only_node is not null and id in (select job from task where state = 'running')",
    "update task set attempt = attempt + 1 where (job, task) = (select job, task from task where state = 'running' order by job desc, task limit 1)",
  ],
};

/** Changes a row; false: there is none of that kind. */
function edit(database: Database, kind: Exclude<OddKind, "bug">): boolean {
  return edits[kind].map((text) => database.run(text).changes).at(-1) === 1;
}

/** The bytes of a state file with a changed row in it; undefined: there is none of that kind. */
export function editImage(image: Uint8Array, kind: Exclude<OddKind, "bug">): Uint8Array | undefined {
  const database = Database.deserialize(image);
  try {
    return edit(database, kind) ? database.serialize() : undefined;
  } finally {
    database.close();
  }
}

/** The same in a file that nobody has open. */
export function editFile(path: string, kind: Exclude<OddKind, "bug">): boolean {
  const database = new Database(path, { readwrite: true });
  try {
    return edit(database, kind);
  } finally {
    database.close();
  }
}

/** Commands that clients and guards wait for; the members' own are left alone, or the node would not know whom to ask for a right state. */
const fragile: ReadonlySet<string> = new Set(["job.submit", "task.finish"]);

/** Commands of which the first entry with one of {@link fragile} fails, as often as that entry is applied. */
export class FailingCommands {
  #entry: number | undefined;

  /** The entry that failed; undefined: none has yet. */
  get entry(): number | undefined {
    return this.#entry;
  }

  readonly byTag = (tag: number): AnyCommand | undefined => {
    const command = commandByTag(tag);
    if (command === undefined || !fragile.has(command.name)) return command;
    return {
      ...command,
      apply: (tx, payload, context) => {
        this.#entry ??= context.index;
        if (context.index === this.#entry) throw new Error("a bug of this node alone");
        return command.apply(tx, payload, context);
      },
    };
  };
}
