/** Text of a terminal: colours, widths, and what a terminal must not be given. */

export type Colour = "red" | "green" | "yellow" | "cyan" | "dim" | "bold";

const codes = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2, bold: 1 } as const satisfies Record<Colour, number>;

/** Wraps in the colour's escape sequence when `on`. */
export function paint(text: string, colour: Colour | undefined, on: boolean): string {
  return on && colour !== undefined ? `\u001b[${codes[colour]}m${text}\u001b[0m` : text;
}

/** Control characters (escape sequences, newlines) from names and outputs must not reach the terminal through a table. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, " ");
}

/** Cells that the text takes on a terminal. */
export function widthOf(text: string): number {
  return Bun.stringWidth(text);
}

/** The text within `width` cells, with an ellipsis where it was cut. */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  if (width <= 1) return "…".slice(0, width);
  let kept = "";
  let taken = 0;
  for (const character of text) {
    const cells = widthOf(character);
    if (taken + cells > width - 1) break;
    kept += character;
    taken += cells;
  }
  return `${kept}…`;
}

const stateColours: Readonly<Record<string, Colour>> = {
  succeeded: "green",
  up: "green",
  leader: "green",
  running: "cyan",
  failed: "red",
  timeout: "red",
  lost: "red",
  refused: "red",
  silent: "red",
  quarantined: "red",
  cancelled: "yellow",
  draining: "yellow",
  skipped: "yellow",
  queued: "dim",
  active: "green",
  revoked: "red",
  expired: "dim",
  used: "dim",
  free: "green",
  full: "yellow",
  away: "yellow",
  never: "red",
};

/** The colour of a job's, task's or node's state. */
export function stateColour(state: string): Colour | undefined {
  return stateColours[state];
}
