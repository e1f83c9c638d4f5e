import type { LogPiece } from "../client/follow.ts";
import type { TaskView } from "../state/types.ts";
import type { Session } from "./cli.ts";
import type { Sink } from "./io.ts";
import { PrefixedLines } from "./lines.ts";
import { printable } from "./text.ts";

/** So many tasks are followed at the same time, each as it runs; of more, one after the other. */
const followedMax = 16;

/** Which output, and how it is shown. */
export interface StreamOptions {
  /** Default: all tasks. */
  readonly task: number | undefined;
  /** Of that task; default: the present or last one. */
  readonly attempt?: number | undefined;
  readonly follow: boolean;
  readonly stream?: "stdout" | "stderr" | undefined;
  readonly tail?: number | undefined;
  /** Called before every write, so that a progress bar can make room. */
  readonly before?: () => void;
  /** Called when what was written has been taken: a slow reader may need any time for it. */
  readonly after?: () => void;
  readonly signal: AbortSignal;
}

/**
 * Writes a job's output: stdout to stdout and stderr to stderr (both to stderr when stdout is for machines). Output of several tasks
 * comes in whole lines, each after its task's number or target. Output that cannot be had is noted, and the rest goes on: false then.
 * Rejects with the signal's reason.
 */
export async function streamOutput(session: Session, job: number, options: StreamOptions): Promise<boolean> {
  if (options.task !== undefined) return new OutputWriter(session, options, undefined).all(job, options.task);
  const page = await session.client.tasks(job, { limit: followedMax + 1 });
  const [only] = page.tasks;
  if (page.tasks.length === 1) return new OutputWriter(session, options, undefined).all(job, only!.task);
  const writer = new OutputWriter(session, options, new TaskNames(session, job, page.tasks));
  if (!options.follow || page.tasks.length > followedMax) return writer.all(job, undefined);
  const complete = await Promise.all(page.tasks.map((task) => writer.all(job, task.task)));
  return complete.every((each) => each);
}

/** Names of tasks that are about a target; others are called by their number. Of many they are read as the output gets to them: it comes in the order of the tasks. */
class TaskNames {
  readonly #known = new Map<number, string>();
  #others: AsyncGenerator<TaskView, void, undefined> | undefined;

  constructor(session: Session, job: number, first: readonly TaskView[]) {
    for (const task of first) this.#add(task);
    if (this.#known.size > followedMax) this.#others = session.client.everyTask(job);
  }

  #add({ task, target }: TaskView): void {
    if (target !== undefined) this.#known.set(task, printable(target));
  }

  async reach(task: number): Promise<void> {
    while (this.#others !== undefined && !this.#known.has(task)) {
      const { value } = await this.#others.next();
      if (value === undefined) this.#others = undefined;
      else this.#add(value);
    }
  }

  of(task: number): string {
    return this.#known.get(task) ?? String(task);
  }
}

class OutputWriter {
  readonly #session: Session;
  readonly #options: StreamOptions;
  /** undefined: a single task, whose bytes pass as they are. */
  readonly #names: TaskNames | undefined;
  readonly #lines = new Map<string, PrefixedLines>();

  constructor(session: Session, options: StreamOptions, names: TaskNames | undefined) {
    this.#session = session;
    this.#options = options;
    this.#names = names;
  }

  /** False when a part of it cannot be had. */
  async all(job: number, task: number | undefined): Promise<boolean> {
    let complete = true;
    const { attempt, follow, stream, tail, signal } = this.#options;
    for await (const piece of this.#session.client.logs(job, { task, attempt, follow, stream, tail, signal })) {
      if (piece.kind === "problem") complete = false;
      else await this.#names?.reach(piece.task);
      this.#options.before?.();
      this.#write(piece);
      await this.#session.io.stdout.drained();
      this.#options.after?.();
    }
    for (const [key, lines] of this.#lines) if (task === undefined || key.startsWith(`${task} `)) lines.end();
    return complete;
  }

  #write(piece: LogPiece): void {
    const { io, output } = this.#session;
    if (piece.kind === "problem") {
      output.note(`skein: output of task ${piece.task} is missing: ${piece.message}`, "yellow");
      return;
    }
    const sink = piece.stream === "stdout" && !output.forMachines ? io.stdout : io.stderr;
    if (this.#names === undefined) sink.write(piece.bytes);
    else this.#linesOf(piece.task, piece.stream, sink).write(piece.bytes);
  }

  #linesOf(task: number, stream: string, sink: Sink): PrefixedLines {
    const key = `${task} ${stream}`;
    let lines = this.#lines.get(key);
    if (lines === undefined) {
      lines = new PrefixedLines(sink, this.#names?.of(task) ?? String(task));
      this.#lines.set(key, lines);
    }
    return lines;
  }
}
