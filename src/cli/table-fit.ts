import type { Column } from "./table.ts";

/** What becomes of the columns of a table on a terminal that is too narrow for them. */

/** Between two columns. */
export const gap = "  ";
/** No column is cut below this. */
const columnMin = 6;

/** Columns that are cut before others of their table, or after them. */
const shrinkOrder = ["first", true, "last"] as const;

/** Those that are shown, each with its place and its width. `widths`: what each of them takes uncut; `isEmpty`: no row has anything in it. */
export function fitColumns(
  columns: readonly Column[],
  widths: readonly number[],
  isEmpty: (at: number) => boolean,
  width: number,
): { readonly at: number; readonly width: number }[] {
  let shown = columns.flatMap((column, at) => (column.mayBeEmpty === true && isEmpty(at) ? [] : [at]));
  const least = (at: number): number =>
    columns[at]!.shrinks === "first" ? Math.min(widths[at]!, columnMin) : widths[at]!;
  const leaving = shown.filter((at) => columns[at]!.leaves !== undefined);
  for (const one of leaving.toSorted((a, b) => columns[a]!.leaves! - columns[b]!.leaves!)) {
    if (totalOf(shown.map(least)) <= width) break;
    shown = shown.filter((at) => at !== one);
  }
  const fitted = shown.map((at) => widths[at]!);
  for (const order of shrinkOrder)
    shrink(
      shown.map((at) => columns[at]!.shrinks === order),
      fitted,
      width,
    );
  return shown.map((at, place) => ({ at, width: fitted[place]! }));
}

/** Of columns beside each other. */
export function totalOf(widths: readonly number[]): number {
  return widths.reduce((sum, one) => sum + one, gap.length * Math.max(0, widths.length - 1));
}

/** Takes what is too much from the widest of those that may shrink, again and again. */
function shrink(may: readonly boolean[], widths: number[], width: number): void {
  for (let over = totalOf(widths) - width; over > 0; over--) {
    let widest = -1;
    for (const [at, isOne] of may.entries()) {
      if (!isOne || widths[at]! <= columnMin) continue;
      if (widest === -1 || widths[at]! > widths[widest]!) widest = at;
    }
    if (widest === -1) return;
    widths[widest]! -= 1;
  }
}
