import type { SkeinClient } from "../client/client.ts";
import { sleep } from "../client/transport.ts";
import { isTerminal } from "../lib/states.ts";
import type { JobView, TaskView } from "../state/types.ts";

/** Asked again after so long at most: how late the end of a task is told. */
const pollMs = 1000;
/** A look at the tasks may take this share of the time at most, so that a hundred thousand of them do not keep a node busy. */
const lookShare = 0.2;
const pageTasks = 1000;
/** Whose output may be read at the same time. */
const endsAtOnce = 8;

/** What is told of a job while it goes on. */
export interface TaskEndsOptions {
  /** Each task once, as it ends; of several that have, some at once. */
  onEnd(task: TaskView): Promise<void> | void;
  /** Each time that the job was asked about, and after each look at its tasks: the job, and the first of those that ran at the last look (at most 1,000). */
  onSeen?(job: JobView, running: readonly TaskView[]): void;
  readonly signal: AbortSignal;
}

/**
 * The ends of a job's tasks, each told exactly once, whatever was asked of whom meanwhile: what is read is the state of the tasks and not what changed. Tasks are given out in
 * their order, so a look begins with the first page that has one that goes on.
 */
export class TaskEnds {
  readonly #client: SkeinClient;
  readonly #id: number;
  readonly #told = new Set<number>();
  /** Where the first page begins that was not wholly told. */
  #from: string | undefined;

  constructor(client: SkeinClient, id: number) {
    this.#client = client;
    this.#id = id;
  }

  /** Until the job is terminal, which it is then given as. May be called again after the signal has ended it: what was told is not told again. */
  async watch(options: TaskEndsOptions): Promise<JobView> {
    let counts = "";
    let running: readonly TaskView[] = [];
    for (;;) {
      const job = await this.#client.job(this.#id, { waitMs: pollMs, signal: options.signal });
      const began = performance.now();
      options.onSeen?.(job, running);
      // Not only when more have ended: who runs changes when a batch begins, and when somebody is tried again.
      const now = JSON.stringify(job.counts);
      if (isTerminal(job.state) || now !== counts) {
        counts = now;
        running = await this.#look(options);
        options.onSeen?.(job, running);
      }
      if (isTerminal(job.state)) return job;
      await sleep(Math.max(0, (performance.now() - began) * (1 / lookShare - 1) - pollMs), options.signal);
    }
  }

  /** Gives the first of those that run. */
  async #look(options: TaskEndsOptions): Promise<readonly TaskView[]> {
    const running: TaskView[] = [];
    let isWhole = true;
    let next = this.#from;
    do {
      const page = await this.#client.tasks(this.#id, { limit: pageTasks, next }, { signal: options.signal });
      const ends = page.tasks.filter((task) => isTerminal(task.state) && !this.#told.has(task.task));
      for (let at = 0; at < ends.length; at += endsAtOnce) {
        options.signal.throwIfAborted();
        await Promise.all(ends.slice(at, at + endsAtOnce).map((task) => this.#tell(task, options)));
      }
      isWhole &&= page.tasks.every((task) => isTerminal(task.state));
      for (const task of page.tasks) if (task.state === "running" && running.length < pageTasks) running.push(task);
      next = page.next;
      if (isWhole && next !== undefined) this.#from = next;
    } while (next !== undefined);
    return running;
  }

  async #tell(task: TaskView, options: TaskEndsOptions): Promise<void> {
    await options.onEnd(task);
    this.#told.add(task.task);
  }
}
