import { foldNames } from "../lib/node-set-fold.ts";
import { isTerminal } from "../lib/states.ts";
import type { JobView, TaskView } from "../state/types.ts";
import type { Session } from "./cli.ts";
import { Folding } from "./fold.ts";
import { nameOf, outcomeOf, outputOf, printFolded } from "./fold-print.ts";
import { advanceOf, Progress } from "./progress.ts";
import { TaskEnds } from "./task-ends.ts";
import { WaitNotes } from "./wait-notes.ts";

/** `lines`: each task as JSON on a line of its own, as it ends. `folded`, `diff`: all of them together, at the end. */
export type GatheredForm = "lines" | "folded" | "diff";

/** The results of a job about many, gathered as its tasks end, with a live count of them and the names of those that still run. */
export class GatheredResults {
  readonly #session: Session;
  readonly #id: number;
  readonly #form: GatheredForm;
  readonly #ends: TaskEnds;
  readonly #folding = new Folding();
  readonly #progress: Progress;
  readonly #notes: WaitNotes;
  #running: readonly TaskView[] = [];
  /** Who ran when the mesh was last heard of, as a node set. */
  running = "";

  constructor(session: Session, id: number, form: GatheredForm) {
    this.#session = session;
    this.#id = id;
    this.#form = form;
    this.#ends = new TaskEnds(session.client, id);
    this.#progress = new Progress(session.io.stderr, `job ${id}`, session.output.errorColours);
    this.#notes = new WaitNotes(session.output, () => this.#progress.hide());
  }

  /** Until the job is over. May be called again after it was interrupted. */
  async toEnd(signal: AbortSignal): Promise<JobView> {
    try {
      return await this.#ends.watch({
        signal,
        onEnd: (task) => this.#add(task, signal),
        onSeen: (job, running) => this.#onSeen(job, running),
      });
    } finally {
      this.#progress.hide();
    }
  }

  #onSeen(job: JobView, running: readonly TaskView[]): void {
    if (running !== this.#running) {
      this.#running = running;
      this.running = foldNames(running.map(nameOf));
    }
    if (isTerminal(job.state)) return;
    this.#notes.see(job);
    if (this.#session.io.stderr.isTty) this.#progress.show(advanceOf(job.counts), this.running);
  }

  async #add(task: TaskView, signal: AbortSignal): Promise<void> {
    if (this.#form === "lines") {
      const { text, isCut, problems } = await outputOf(this.#session.client, task, signal);
      const more = {
        output: text,
        ...(isCut ? { output_cut: true } : {}),
        ...(problems.length === 0 ? {} : { output_missing: problems }),
      };
      this.#progress.hide();
      this.#session.output.line(JSON.stringify({ ...task, ...more }));
      await this.#session.io.stdout.drained();
    } else this.#folding.add(await outcomeOf(this.#session.client, task, signal));
  }

  /** What there is, also when it was interrupted. Another interruption ends it. */
  async print(): Promise<void> {
    if (this.#form === "lines") return;
    const diff = this.#form === "diff";
    await this.#session.interruptible((signal) =>
      printFolded(this.#session.output, this.#folding, { job: this.#id, diff, signal }),
    );
  }
}
