import { fitColumns, gap, totalOf } from "./table-fit.ts";
import { type Colour, cut, paint, printable, widthOf } from "./text.ts";

export interface Column {
  readonly title: string;
  readonly align?: "right";
  /** May be cut when the terminal is narrow; `first`: before all others, `last`: after them. */
  readonly shrinks?: true | "first" | "last";
  /** Left out on a terminal where no row has anything in it. */
  readonly mayBeEmpty?: true;
  /** Left out where the terminal is so narrow that more than those that shrink `first` would have to be cut; the lowest number at first. */
  readonly leaves?: number;
  /** Of the last column: where it does not fit, what is in it stands whole below its row. */
  readonly below?: true;
  readonly colour?: (cell: string) => Colour | undefined;
}

type Rows = readonly (readonly string[])[];

/**
 * Lines of a table, header first. `width` 0: no terminal, nothing is cut or left out. Cells are made printable.
 */
export function renderTable(columns: readonly Column[], rows: Rows, width: number, colours: boolean): string[] {
  const cells = rows.map((row) => columns.map((_, at) => printable(row[at] ?? "")));
  const widths = columns.map((column, at) => Math.max(widthOf(column.title), ...cells.map((row) => widthOf(row[at]!))));
  const last = columns.length - 1;
  const isBelow = width > 0 && columns[last]?.below === true && totalOf(widths) > width;
  const beside = isBelow ? columns.slice(0, last) : columns;
  const isEmpty = (at: number): boolean => cells.length > 0 && cells.every((row) => row[at] === "");
  const shown =
    width === 0 ? widths.map((one, at) => ({ at, width: one })) : fitColumns(beside, widths, isEmpty, width);
  const line = (row: readonly string[], style: (at: number, text: string) => Colour | undefined): string =>
    shown
      .map(({ at, width: most }, place) => {
        const text = cut(row[at]!, most);
        const pad = " ".repeat(most - widthOf(text));
        const painted = paint(text, style(at, row[at]!), colours);
        if (columns[at]!.align === "right") return pad + painted;
        return place === shown.length - 1 ? painted : painted + pad;
      })
      .join(gap)
      .trimEnd();
  const header = line(
    columns.map((column) => column.title),
    () => "dim",
  );
  const body = cells.flatMap((row) => [
    line(row, (at, text) => columns[at]!.colour?.(text)),
    ...(isBelow && row[last] !== "" ? [`${gap}${row[last]!}`] : []),
  ]);
  return [header, ...body];
}
