import { foldNames } from "../lib/node-set-fold.ts";
import type { JobView, TaskView } from "../state/types.ts";
import type { Session } from "./cli.ts";
import { Folding } from "./fold.ts";
import { nameOf, outcomeOf, printFolded } from "./fold-print.ts";
import { advanceOf, Progress } from "./progress.ts";
import { TaskEnds } from "./task-ends.ts";

/** `lines`: each task as JSON on a line of its own, as it ends. `folded`, `diff`: all of them together, at the end. */
export type GatheredForm = "lines" | "folded" | "diff";

/** Names of those that run are told in the note of an interruption up to here. */
const namedMax = 1000;

/** The results of a job about many, gathered as its tasks end, with a live count of them and the names of those that still run. */
export class GatheredResults {
  readonly #session: Session;
  readonly #form: GatheredForm;
  readonly #ends: TaskEnds;
  readonly #folding = new Folding();
  readonly #progress: Progress;
  #running: readonly TaskView[] = [];
  #isOver = false;

  constructor(session: Session, id: number, form: GatheredForm) {
    this.#session = session;
    this.#form = form;
    this.#ends = new TaskEnds(session.client, id);
    this.#progress = new Progress(session.io.stderr, `job ${id}`, session.output.errorColours);
  }

  /** Until the job is over. May be called again after it was interrupted. */
  async toEnd(signal: AbortSignal): Promise<JobView> {
    try {
      const job = await this.#ends.watch({
        signal,
        onEnd: (task) => this.#add(task, signal),
        onLook: (job, running) => {
          this.#running = running;
          if (this.#session.io.stderr.isTty)
            this.#progress.show(advanceOf(job.counts), foldNames(running.slice(0, namedMax).map(nameOf)));
        },
      });
      this.#isOver = true;
      return job;
    } finally {
      this.#progress.hide();
    }
  }

  async #add(task: TaskView, signal: AbortSignal): Promise<void> {
    if (this.#form === "lines") {
      this.#progress.hide();
      this.#session.output.line(JSON.stringify(task));
      await this.#session.io.stdout.drained();
    } else this.#folding.add(await outcomeOf(this.#session.client, task, signal));
  }

  /** What there is, also when it was interrupted: then with the names of those that had not ended. */
  print(): void {
    const { output } = this.#session;
    if (this.#form !== "lines") printFolded(output, this.#folding, { diff: this.#form === "diff" });
    if (this.#isOver || this.#running.length === 0) return;
    output.note(`skein: still running: ${foldNames(this.#running.map(nameOf))}`, "yellow");
  }
}
