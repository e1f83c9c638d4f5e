import { formatSize } from "../lib/units.ts";
import type { Sink } from "./io.ts";
import { paint } from "./text.ts";

const barCells = 30;

/** How far a file is, redrawn on a terminal; elsewhere silent. Other output goes after `hide`. */
export class ByteProgress {
  readonly #sink: Sink;
  readonly #label: string;
  readonly #colours: boolean;
  #shown = -1;

  constructor(sink: Sink, label: string, colours: boolean) {
    this.#sink = sink;
    this.#label = label;
    this.#colours = colours;
  }

  show(done: number, total: number): void {
    const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
    if (!this.#sink.isTty || percent === this.#shown) return;
    this.#shown = percent;
    const full = Math.floor((percent * barCells) / 100);
    const bar = paint("█".repeat(full), "green", this.#colours) + "░".repeat(barCells - full);
    this.#sink.write(`\r\u001b[K${this.#label} ${bar} ${percent} % of ${formatSize(total)}`);
  }

  hide(): void {
    if (this.#shown >= 0) this.#sink.write("\r\u001b[K");
    this.#shown = -1;
  }
}
