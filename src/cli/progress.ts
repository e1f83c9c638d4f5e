import type { TaskCounts } from "../state/types.ts";
import type { Sink } from "./io.ts";
import { cut, paint, printable, widthOf } from "./text.ts";

/** How far a job, or a list of jobs, is. */
export interface Advance {
  readonly done: number;
  readonly total: number;
  readonly failed: number;
  readonly running: number;
}

/** How far a job is: tasks that have ended, of all. */
export function advanceOf(counts: TaskCounts): Advance {
  const failed = counts.failed + counts.timeout + counts.lost;
  const done = counts.succeeded + failed + counts.cancelled + counts.skipped;
  return { done, total: done + counts.queued + counts.running, failed, running: counts.running };
}

const barCells = 30;
/** With less room than this no names are shown. */
const namesCellsMin = 8;

/**
 * Progress on standard error: a bar that is redrawn on a terminal, a line at every tenth elsewhere. Other output goes
 * between `hide` and the next `show`.
 */
export class Progress {
  readonly #sink: Sink;
  readonly #label: string;
  readonly #colours: boolean;
  #drawn = false;
  #tenths = -1;

  constructor(sink: Sink, label: string, colours: boolean) {
    this.#sink = sink;
    this.#label = label;
    this.#colours = colours && sink.isTty;
  }

  /** `running`: the names of those that run, of which as many are shown as the line has room for. */
  show(advance: Advance, running = ""): void {
    if (this.#sink.isTty) {
      this.#drawn = true;
      const bar = this.#bar(advance);
      const room = this.#sink.columns - widthOf(bar) - 3;
      const names = running === "" || room < namesCellsMin ? "" : `: ${cut(printable(running), room)}`;
      this.#sink.write(`\r\u001b[K${bar}${names}`);
      return;
    }
    const tenths = advance.total === 0 ? 0 : Math.floor((10 * advance.done) / advance.total);
    if (tenths === this.#tenths) return;
    this.#tenths = tenths;
    this.#sink.write(`${this.#label}: ${figures(advance)}\n`);
  }

  hide(): void {
    if (this.#drawn) this.#sink.write("\r\u001b[K");
    this.#drawn = false;
  }

  #bar(advance: Advance): string {
    const share = advance.total === 0 ? 0 : advance.done / advance.total;
    const cells = Math.max(0, Math.min(barCells, this.#sink.columns - this.#label.length - 40));
    const full = Math.floor(share * cells);
    const bar =
      paint("█".repeat(full), advance.failed > 0 ? "yellow" : "green", this.#colours) + "░".repeat(cells - full);
    return `${this.#label} ${bar} ${figures(advance)}`;
  }
}

function figures(advance: Advance): string {
  const failed = advance.failed === 0 ? "" : `, ${advance.failed} failed`;
  const running = advance.running === 0 ? "" : `, ${advance.running} running`;
  return `${advance.done}/${advance.total} done${failed}${running}`;
}
