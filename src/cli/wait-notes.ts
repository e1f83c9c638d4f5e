import type { JobView } from "../state/types.ts";
import type { Output } from "./output.ts";
import { waitsText } from "./views.ts";

/** A job of which nothing runs for this long says so. */
const queuedNoteMs = 3000;

/** Why a job does not go on, told on standard error to whoever waits for it, in whichever form its results are: each reason once. */
export class WaitNotes {
  readonly #output: Output;
  /** Before a note: a progress bar makes room. */
  readonly #before: () => void;
  readonly #told = new Set<string>();
  #stillSince: number | undefined;

  constructor(output: Output, before: () => void) {
    this.#output = output;
    this.#before = before;
  }

  /** To be called with each look at the job. */
  see(job: JobView): void {
    const { id, counts, waits } = job;
    if (counts.running > 0 || counts.queued === 0) {
      this.#stillSince = undefined;
      return;
    }
    this.#stillSince ??= performance.now();
    if (waits?.approval !== undefined) {
      this.#tell(
        `skein: batch ${waits.approval} of job ${id} waits for approval: \`skein jobs release ${id}\` lets it begin`,
      );
      return;
    }
    const gates = waitsText(job);
    // A pause that was asked for has a known end; what ends by itself at once is not worth a line.
    if (waits?.pause === undefined && performance.now() - this.#stillSince < queuedNoteMs) return;
    const why = `\`skein jobs explain ${id}\` says why`;
    if (job.state !== "queued" || waits?.pause !== undefined)
      this.#tell(`skein: nothing of job ${id} runs: ${gates === "" ? why : `it waits for ${gates}`}`, "dim");
    else
      this.#tell(
        `skein: job ${id} is queued: ${gates === "" ? `no matching node has room yet (${why})` : `it waits for ${gates}`}`,
        "dim",
      );
  }

  #tell(text: string, colour?: "dim"): void {
    if (this.#told.has(text)) return;
    this.#told.add(text);
    this.#before();
    this.#output.note(text, colour);
  }
}
