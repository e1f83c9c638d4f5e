/** What a page of benchmarks says: the median is judged, what is missed stands first, and a step that is worse than linear is one. */
import { describe, expect, test } from "bun:test";
import { growthLines, growthTable, judgeGrowth, type Series } from "../../bench/page/growth-judge.ts";
import { drawPlot } from "../../bench/page/plot.ts";
import { type Findings, type Kept, missed, render } from "../../bench/page/render.ts";
import { atLeast, shown, times, under, unmeasured } from "../../bench/page/rows.ts";

describe("a row", () => {
  test("is met by its median, whatever the smallest and the largest are", () => {
    expect(atLeast("x", 100, "/s", [50, 100, 400])).toEqual({
      what: "x",
      wanted: "at least 100/s",
      measured: "100 (50.0 … 400)/s",
      met: true,
    });
    expect(atLeast("x", 101, "/s", [50, 100, 400]).met).toBe(false);
    expect(under("x", 1000, " ms", [1, 999, 5000])).toMatchObject({ wanted: "under 1,000 ms", met: true });
    expect(under("x", 1000, " ms", [1, 1000, 5000]).met).toBe(false);
    expect(shown("x", "", [1, 2])).toMatchObject({ measured: "1.50 (1.00 … 2.00)", met: undefined });
  });

  test("compares with a peer round by round", () => {
    expect(times("x", 3, [30, 30, 90], [10, 30, 15])).toMatchObject({
      measured: "3.00 (1.00 … 6.00) times",
      met: true,
    });
    expect(times("x", 3, [30, 30, 29], [10, 30, 10]).met).toBe(false);
  });

  test("of what could not be measured is missed", () => {
    expect(unmeasured("x", "at least 3", "no peer")).toMatchObject({ measured: "not measured: no peer", met: false });
  });
});

const kept = (met: boolean | undefined): Kept => ({
  rows: [{ what: "a rate", wanted: "at least 5", measured: "4", met }],
  lines: ["a line"],
  figures: {},
  date: "2026-01-02T03:04",
  tookMs: 1234,
  words: "--rounds=2",
  machine: "2 cores",
  load: "0 0 0",
  versions: "skein 1",
  commit: "abc",
});

describe("the page", () => {
  test("says first what is missed and what nobody has measured", () => {
    const found: Findings = { array: kept(true), cycle: kept(false) };
    const page = render("jobs", found);
    expect(missed("jobs", found)).toEqual(["`cycle`: a rate: wanted at least 5, measured 4"]);
    expect(page).toContain("**Missed**:\n\n- `cycle`: a rate: wanted at least 5, measured 4\n");
    expect(page).toContain("Not measured yet: `submit`, `queued`");
    expect(page.indexOf("## The whole way")).toBeLessThan(page.indexOf("## A large array"));
    expect(page).toContain("| a rate | at least 5 | 4 | **missed** |");
    expect(page).toContain("*`npm run bench -- cycle --rounds=2`, 2026-01-02T03:04, 1.23 s; skein 1; 2 cores;");
  });

  test("says that all is well where it is, and demands nothing of what is only shown", () => {
    const page = render("jobs", { array: kept(true), dispatch: kept(undefined) });
    expect(page).toContain("All that was measured is as wanted.");
    expect(page).not.toContain("missed");
  });
});

describe("growth", () => {
  const sizes = [1, 3, 10];
  const rate = (values: readonly (number | undefined)[]): Series => ({
    name: "rate",
    unit: "/s",
    isRate: true,
    values,
  });
  const ms: Series = { name: "wait", unit: " ms", isRate: false, values: [2, 5, 30] };

  test("a rate may fall as the size rises, and not faster", () => {
    expect(judgeGrowth("nodes", sizes, [rate([900, 300, 80])])).toEqual([
      {
        what: "rate: the cost of one, 3 to 10 nodes",
        wanted: "at most 3.33 times",
        measured: "3.75 times",
        met: true,
      },
    ]);
    expect(judgeGrowth("nodes", sizes, [rate([900, 200, 90])])[0]).toMatchObject({
      measured: "4.50 times",
      met: false,
    });
    expect(judgeGrowth("nodes", sizes, [ms])[0]).toMatchObject({ measured: "6.00 times", met: false });
  });

  test("a step over a size that was not measured is judged by what lies around it", () => {
    expect(judgeGrowth("jobs", sizes, [rate([900, undefined, 60])])[0]).toMatchObject({
      measured: "15.0 times",
      met: false,
    });
    expect(judgeGrowth("jobs", sizes, [rate([900, undefined, undefined])])).toEqual([]);
  });

  test("as a table and as lines of costs beside a linear one", () => {
    expect(growthTable("nodes", sizes, [rate([900, undefined, 90])])).toEqual([
      "| | 1 nodes | 3 nodes | 10 nodes |",
      "|---|---:|---:|---:|",
      "| rate | 900/s | – | 90.0/s |",
    ]);
    const [line, guide] = growthLines(sizes, [rate([900, undefined, 90])]);
    expect(line).toEqual({
      name: "rate",
      points: [
        [1, 1],
        [10, 10],
      ],
    });
    expect(guide).toMatchObject({
      isGuide: true,
      points: [
        [1, 1],
        [3, 3],
        [10, 10],
      ],
    });
  });

  test("drawn: a line, its points and its name each, inside the picture", () => {
    const svg = drawPlot({ title: "a < b", x: "nodes", y: "times", lines: growthLines(sizes, [ms, rate([9, 3, 1])]) });
    expect(svg.match(/<polyline /g)).toHaveLength(3);
    expect(svg).toContain("a &lt; b");
    expect(svg).toContain(">wait</text>");
    expect(svg).not.toContain("NaN");
    const [width, height] = [900, 460];
    for (const [, path] of svg.matchAll(/points="([^"]+)"/g))
      for (const [x, y] of path!.split(" ").map((place) => place.split(",").map(Number))) {
        expect(x! >= 0 && x! <= width).toBe(true);
        expect(y! >= 0 && y! <= height).toBe(true);
      }
    expect(() => drawPlot({ title: "nothing", x: "", y: "", lines: [] })).toThrow("has no point");
  });
});
