/** How figures change from one size to the next: as a table, as a plot of what one operation costs, and judged step by step. */
import type { Row } from "../../scripts/reliability-judge.ts";
import { short } from "../harness.ts";
import type { Line } from "./plot.ts";

/** One figure at each size; undefined where it was not measured. */
export interface Series {
  readonly name: string;
  readonly unit: string;
  /** A rate: its cost is the time of one. Else the figure is the cost itself (ms, MiB). */
  readonly isRate: boolean;
  readonly values: readonly (number | undefined)[];
}

/** What one run of the same thing differs from the next is not growth. */
const noise = 1.25;

/** A row of headings and one for each figure. */
export function growthTable(what: string, sizes: readonly number[], series: readonly Series[]): string[] {
  const heads = sizes.map((size) => `${size.toLocaleString("en-US")} ${what}`);
  return [
    `| | ${heads.join(" | ")} |`,
    `|---|${sizes.map(() => "---:|").join("")}`,
    ...series.map(({ name, unit, values }) => {
      const cells = values.map((value) => (value === undefined ? "–" : `${short(value)}${unit}`));
      return `| ${name} | ${cells.join(" | ")} |`;
    }),
  ];
}

/** What one operation costs, as a multiple of what it costs at the first size that was measured. */
export function growthLines(sizes: readonly number[], series: readonly Series[]): Line[] {
  const lines = series.flatMap((one): Line[] => {
    const known = costsOf(sizes, one);
    const first = known[0];
    if (first === undefined) return [];
    return [{ name: one.name, points: known.map(([size, cost]) => [size, cost / first[1]]) }];
  });
  const guide: Line = { name: "linear", isGuide: true, points: sizes.map((size) => [size, size / sizes[0]!]) };
  return [...lines, guide];
}

/** For each figure its steepest step: how much more an operation costs where there is so many times more, with a quarter for noise. */
export function judgeGrowth(what: string, sizes: readonly number[], series: readonly Series[]): Row[] {
  return series.flatMap((one): Row[] => {
    const known = costsOf(sizes, one);
    const steps = known.slice(1).map(([size, cost], at) => {
      const [before, costBefore] = known[at]!;
      return { before, size, cost: cost / costBefore, most: size / before };
    });
    const steepest = steps.toSorted((a, b) => b.cost / b.most - a.cost / a.most)[0];
    if (steepest === undefined) return [];
    const { before, size, cost, most } = steepest;
    const span = `${before.toLocaleString("en-US")} to ${size.toLocaleString("en-US")} ${what}`;
    return [
      {
        what: `${one.name}: the cost of one, ${span}`,
        wanted: `at most ${short(most)} times`,
        measured: `${short(cost)} times`,
        met: cost <= most * noise,
      },
    ];
  });
}

function costsOf(sizes: readonly number[], { values, isRate }: Series): [size: number, cost: number][] {
  return sizes.flatMap((size, at): [number, number][] => {
    const value = values[at];
    // What is too short to be measured costs nothing that could grow.
    return value === undefined || value <= 0 ? [] : [[size, isRate ? 1 / value : value]];
  });
}
