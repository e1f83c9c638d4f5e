/** A plot of lines over two logarithmic axes, as SVG that a page can show: a factor is the same distance everywhere. */
import { scaleLog } from "d3-scale";

export interface Line {
  readonly name: string;
  /** Both above 0. */
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Drawn thin and broken: what the others are compared with. */
  readonly isGuide?: boolean;
}

export interface Plot {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly lines: readonly Line[];
}

const size = { width: 900, height: 460 } as const;
/** The lines' names stand to the right. */
const frame = { left: 70, top: 46, right: 330, bottom: 54 } as const;
/** Told apart also by those who do not see all colours (Okabe and Ito), and by the form of their points. */
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999933", "#882255"];
const shapes = ["circle", "square", "diamond"] as const;

/** Throws when there is nothing to draw. */
export function drawPlot({ title, x, y, lines }: Plot): string {
  const points = lines.flatMap((line) => line.points);
  if (points.length === 0) throw new Error(`the plot "${title}" has no point`);
  const [right, bottom] = [size.width - frame.right, size.height - frame.bottom];
  const across = scaleLog()
    .domain(wide(points.map(([value]) => value)))
    .range([frame.left, right]);
  const up = scaleLog()
    .domain(wide(points.map(([, value]) => value)))
    .nice()
    .range([bottom, frame.top]);
  const values = [...new Set(points.map(([value]) => value))];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    text(frame.left, 24, title, `font-size="15"`),
    ...values.map((value) => text(across(value), bottom + 20, short(value), `text-anchor="middle"`)),
    ...values.map((value) => rule(across(value), frame.top, across(value), bottom)),
    ...up
      .ticks(6)
      .filter(isPlain)
      .flatMap((value) => [
        rule(frame.left, up(value), right, up(value)),
        text(frame.left - 8, up(value) + 4, short(value), `text-anchor="end"`),
      ]),
    text((frame.left + right) / 2, size.height - 12, x, `text-anchor="middle"`),
    text(
      18,
      (frame.top + bottom) / 2,
      y,
      `text-anchor="middle" transform="rotate(-90 18 ${(frame.top + bottom) / 2})"`,
    ),
    ...lines.flatMap((line, at) => {
      const places = line.points.map(([one, other]) => [across(one), up(other)] as const);
      const colour = line.isGuide === true ? "#777777" : colours[at % colours.length]!;
      const broken = line.isGuide === true ? ` stroke-dasharray="6 5"` : "";
      const path = places.map((place) => place.map(rounded).join(",")).join(" ");
      const height = frame.top + 10 + at * 22;
      return [
        `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="${line.isGuide === true ? 1.5 : 2}"${broken}/>`,
        ...(line.isGuide === true ? [] : places.map(([left, top]) => mark(at, left, top, colour))),
        `<line x1="${right + 16}" y1="${height}" x2="${right + 40}" y2="${height}" stroke="${colour}" stroke-width="2"${broken}/>`,
        ...(line.isGuide === true ? [] : [mark(at, right + 28, height, colour)]),
        text(right + 48, height + 4, line.name),
      ];
    }),
    "</svg>",
    "",
  ].join("\n");
}

/** From the smallest to the largest; one value alone gets room around it. */
function wide(values: readonly number[]): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low === high ? [low / 2, high * 2] : [low, high];
}

/** 1, 2 and 5 of each power of ten: more would be a grey page. */
function isPlain(value: number): boolean {
  const digits = value / 10 ** Math.floor(Math.log10(value) + 1e-9);
  return [1, 2, 5].some((one) => Math.abs(digits - one) < 1e-6);
}

function mark(at: number, left: number, top: number, colour: string): string {
  const place = `${rounded(left)} ${rounded(top)}`;
  const shape = shapes[at % shapes.length]!;
  if (shape === "circle") return `<circle cx="${rounded(left)}" cy="${rounded(top)}" r="4" fill="${colour}"/>`;
  const turned = shape === "diamond" ? " rotate(45)" : "";
  return `<rect x="-3.5" y="-3.5" width="7" height="7" fill="${colour}" transform="translate(${place})${turned}"/>`;
}

function rule(x1: number, y1: number, x2: number, y2: number): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map(rounded);
  return `<line x1="${a}" y1="${b}" x2="${c}" y2="${d}" stroke="#dddddd"/>`;
}

function text(left: number, top: number, words: string, more = ""): string {
  const safe = words.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${rounded(left)}" y="${rounded(top)}" fill="#222222" ${more}>${safe}</text>`;
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}

function short(value: number): string {
  return value >= 1 ? value.toLocaleString("en-US") : String(Number(value.toPrecision(2)));
}
