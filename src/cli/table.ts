import { type Colour, cut, paint, printable, widthOf } from "./text.ts";

export interface Column {
  readonly title: string;
  readonly align?: "right";
  /** May be cut when the terminal is narrow. */
  readonly shrinks?: true;
  readonly colour?: (cell: string) => Colour | undefined;
}

const gap = "  ";
/** No column is cut below this. */
const columnMin = 6;

/**
 * Lines of a table, header first. `width` 0: no terminal, nothing is cut. Cells are made printable.
 */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
  colours: boolean,
): string[] {
  const cells = rows.map((row) => columns.map((_, at) => printable(row[at] ?? "")));
  const widths = columns.map((column, at) => Math.max(widthOf(column.title), ...cells.map((row) => widthOf(row[at]!))));
  if (width > 0) shrink(columns, widths, width);
  const line = (row: readonly string[], style: (at: number, text: string) => Colour | undefined): string =>
    columns
      .map((column, at) => {
        const text = cut(row[at]!, widths[at]!);
        const pad = " ".repeat(widths[at]! - widthOf(text));
        const shown = paint(text, style(at, row[at]!), colours);
        if (column.align === "right") return pad + shown;
        return at === columns.length - 1 ? shown : shown + pad;
      })
      .join(gap)
      .trimEnd();
  const header = line(
    columns.map((column) => column.title),
    () => "dim",
  );
  return [header, ...cells.map((row) => line(row, (at, text) => columns[at]!.colour?.(text)))];
}

/** Takes what is too much from the widest of the columns that may shrink, again and again. */
function shrink(columns: readonly Column[], widths: number[], width: number): void {
  let over = widths.reduce((sum, one) => sum + one, gap.length * (columns.length - 1)) - width;
  while (over > 0) {
    let widest = -1;
    for (const [at, column] of columns.entries()) {
      if (column.shrinks !== true || widths[at]! <= columnMin) continue;
      if (widest === -1 || widths[at]! > widths[widest]!) widest = at;
    }
    if (widest === -1) return;
    widths[widest]! -= 1;
    over -= 1;
  }
}
