import { stringify } from "yaml";
import type { CliIo } from "./io.ts";
import { type Column, renderTable } from "./table.ts";
import { type Colour, paint, printable } from "./text.ts";

export const outputFormats = ["table", "json", "yaml", "quiet"] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** The forms of a verb's one result. */
export interface Forms {
  /** For json and yaml: exactly one value. */
  readonly value: unknown;
  /** For quiet: one a line. */
  readonly ids: readonly (number | string)[];
  /** For people. */
  table(out: Output): void;
}

/** Standard output in the form asked for. People's text goes to standard error (`note`), so that stdout can be piped. */
export class Output {
  readonly #io: CliIo;
  readonly format: OutputFormat;
  /** Colours on standard output. */
  readonly colours: boolean;
  /** Colours on standard error. */
  readonly errorColours: boolean;

  constructor(io: CliIo, format: OutputFormat, colours: boolean) {
    this.#io = io;
    this.format = format;
    this.colours = colours && io.stdout.isTty;
    this.errorColours = colours && io.stderr.isTty;
  }

  /** Standard output belongs to a program: people's text, a job's output included, goes to standard error. */
  get forMachines(): boolean {
    return this.format !== "table";
  }

  result(forms: Forms): void {
    switch (this.format) {
      case "json":
        return this.line(JSON.stringify(forms.value));
      case "yaml":
        return this.#io.stdout.write(stringify(forms.value));
      case "quiet":
        for (const id of forms.ids) this.line(String(id));
        return;
      default:
        forms.table(this);
    }
  }

  line(text: string): void {
    this.#io.stdout.write(`${text}\n`);
  }

  /** As it is. */
  text(text: string): void {
    this.#io.stdout.write(text);
  }

  rows(columns: readonly Column[], rows: readonly (readonly string[])[]): void {
    for (const line of renderTable(columns, rows, this.#io.stdout.columns, this.colours)) this.line(line);
  }

  /** Names and values in two columns; values that are undefined are left out. */
  fields(fields: readonly (readonly [name: string, value: string | undefined, colour?: Colour | undefined])[]): void {
    const shown = fields.filter(([, value]) => value !== undefined);
    const width = Math.max(0, ...shown.map(([name]) => name.length));
    for (const [name, value, colour] of shown) {
      this.line(`${paint(name.padEnd(width), "dim", this.colours)}  ${paint(printable(value!), colour, this.colours)}`);
    }
  }

  /** A line for people, on standard error. */
  note(text: string, colour?: Colour): void {
    this.#io.stderr.write(`${paint(text, colour, this.errorColours)}\n`);
  }
}
