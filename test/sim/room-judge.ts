import type { Start } from "../../src/executor/guard/frames.ts";
import type { AttemptName } from "../../src/executor/types.ts";
import type { NodeId } from "../../src/lib/ids.ts";
import type { SimGuard } from "./guard.ts";

/** What a host has, and a task takes of it. */
export interface Room {
  readonly slots: number;
  readonly licenses: number;
}

/** What the judge asks about a cluster. */
export interface RoomQuestions {
  /** What that host has. */
  roomOf(host: number): Room;
  /** What a task of that job takes, as that node's state has it. */
  taskOf(node: NodeId, job: number): Room;
  /** The state of some node has been wrong: who plans by one may give too much. */
  wasWrong(): boolean;
}

/** A node is given no more tasks at once than it has slots and declared resources for, whoever leads and whatever was under way when that changed. */
export class RoomJudge {
  readonly #questions: RoomQuestions;
  readonly #fail: (problem: string) => void;
  /** What lives on a guard, with the node that began it: one that is removed may leave work behind for its successor on the host. */
  readonly #live = new Map<SimGuard, Map<string, { readonly node: NodeId; readonly takes: Room }>>();
  /** Tasks that were begun and asked for a resource. */
  asking = 0;

  constructor(questions: RoomQuestions, fail: (problem: string) => void) {
    this.#questions = questions;
    this.#fail = fail;
  }

  started(guard: SimGuard, node: NodeId | undefined, start: Start): void {
    if (node === undefined) return;
    const takes = this.#questions.taskOf(node, start.job);
    if (takes.licenses > 0) this.asking += 1;
    const live = this.#live.get(guard) ?? new Map<string, { readonly node: NodeId; readonly takes: Room }>();
    this.#live.set(guard, live);
    live.set(keyOf(start), { node, takes });
    const has = this.#questions.roomOf(guard.host);
    for (const what of ["slots", "licenses"] as const) {
      let taken = 0;
      for (const one of live.values()) if (one.node === node) taken += one.takes[what];
      if (taken > has[what] && !this.#questions.wasWrong())
        this.#fail(`room: node ${node} runs tasks that take ${taken} ${what}, and has ${has[what]}`);
    }
  }

  ended(guard: SimGuard, name: AttemptName): void {
    this.#live.get(guard)?.delete(keyOf(name));
  }
}

function keyOf({ job, task, attempt }: AttemptName): string {
  return `${job}/${task}.${attempt}`;
}
