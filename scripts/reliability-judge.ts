/** What the figures of docs/reliability.md must be, for sections that are the output of another program: judged by the lines that it printed, measured now or recorded before. */

/** One line of a section's table. */
export interface Row {
  readonly what: string;
  readonly wanted: string;
  readonly measured: string;
  /** undefined: nothing is demanded. */
  readonly met: boolean | undefined;
}

/** None of these may be. */
export const none = (what: string, count: number): Row => ({
  what,
  wanted: "0",
  measured: String(count),
  met: count === 0,
});

/** What of a section is not as it is wanted, in words for people; empty: all of it is. */
export function missedIn(section: string, rows: readonly Row[], problems: number): string[] {
  const missed = rows.flatMap(({ what, wanted, measured, met }) =>
    met === false ? [`\`${section}\`: ${what}: wanted ${wanted}, measured ${measured}`] : [],
  );
  return problems === 0
    ? missed
    : [...missed, `\`${section}\`: ${problems === 1 ? "a complaint" : `${problems} complaints`}`];
}

const untold = "not told";

/** A demand on what may not have been told. */
function demand<Value>(
  what: string,
  wanted: string,
  value: Value | undefined,
  isMet: (value: Value) => boolean,
  told: (value: Value) => string = String,
): Row {
  return value === undefined
    ? { what, wanted, measured: untold, met: false }
    : { what, wanted, measured: told(value), met: isMet(value) };
}

/** Milliseconds of "1 min 38 s", "13.7 s" or "250 ms"; undefined for anything else. */
export function parseMs(text: string): number | undefined {
  const [, minutes, number, unit] = /^(?:(\d+) min )?([\d.]+) (s|ms)$/.exec(text.trim()) ?? [];
  if (number === undefined) return undefined;
  return Number(minutes ?? 0) * 60_000 + Number(number) * (unit === "s" ? 1000 : 1);
}

interface Seeds {
  readonly seeds: number;
  readonly failed: number;
  readonly tookMs: number;
  readonly took: string;
  readonly hours: string;
  readonly calls: string;
  readonly faults: string;
}

function seedsIn(lines: readonly string[]): Seeds | undefined {
  const pattern =
    /^(\d+) seeds in (.+?): ([\d.]+) hours simulated, (\d+) calls, \d+ events, (\d+) faults; (\d+) failed$/;
  for (const line of lines) {
    const [, seeds, took = "", hours = "", calls = "", faults = "", failed] = pattern.exec(line) ?? [];
    const tookMs = parseMs(took);
    if (tookMs !== undefined)
      return { seeds: Number(seeds), failed: Number(failed), took, tookMs, hours, calls, faults };
  }
  return undefined;
}

const failing = (found: Seeds | undefined): Row =>
  demand(
    "failing seeds",
    "0",
    found,
    ({ failed, seeds }) => failed === 0 && seeds > 0,
    ({ failed, seeds }) => `${failed} of ${seeds}`,
  );

const simulated = ({ hours, calls, faults }: Seeds): Row => ({
  what: "simulated",
  wanted: "",
  measured: `${hours} hours, ${calls} calls, ${faults} faults`,
  met: undefined,
});

/** The seeds of every run of CI. */
export function judgeSeeds(lines: readonly string[]): Row[] {
  const found = seedsIn(lines);
  return [
    demand(
      "seeds",
      "at least 300",
      found,
      ({ seeds }) => seeds >= 300,
      ({ seeds }) => String(seeds),
    ),
    failing(found),
    demand(
      "time for all of them",
      "under 4 min",
      found,
      ({ tookMs }) => tookMs < 4 * 60_000,
      ({ took }) => took,
    ),
    ...(found === undefined ? [] : [simulated(found)]),
  ];
}

/** A hunt over new seeds. */
export function judgeHunt(lines: readonly string[]): Row[] {
  const found = seedsIn(lines);
  const hours = lines.map((line) => /^processor time of the seeds: ([\d.]+) h$/.exec(line)?.[1]).find(Boolean);
  const paths = (begin: string): string[] | undefined =>
    lines
      .find((line) => line.startsWith(begin))
      ?.slice(begin.length)
      .split(", ");
  const [walked, missing = [], mended] = [paths("met: "), paths("not met: "), paths("failed once and mended since: ")];
  return [
    failing(found),
    ...(mended === undefined
      ? []
      : [
          {
            what: "seeds that failed once, and keep every promise since what they found was mended",
            wanted: "",
            measured: `${mended.length}: ${mended.join(", ")}`,
            met: undefined,
          },
        ]),
    demand(
      "hours of processor time",
      "at least 2",
      hours,
      (value) => Number(value) >= 2,
      (value) => `${value} (in ${found?.took} by the clock)`,
    ),
    demand(
      "rare paths never walked",
      "0",
      walked,
      () => missing.length === 0,
      (all) => (missing.length === 0 ? `0 (${all.length} counters)` : `${missing.length}: ${missing.join(", ")}`),
    ),
    ...(found === undefined ? [] : [simulated(found)]),
  ];
}

/** Bugs that were planted: those that simulations must find, and apart from them those that a test of their own must find, whose "seed" says nothing. */
export function judgeMutants(lines: readonly string[]): Row[] {
  const [, allFound, all, allSoon] =
    lines
      .map((line) => /^(\d+) of (\d+) found, (\d+) within 300 seeds/.exec(line))
      .find((match) => match !== null)
      ?.map(Number) ?? [];
  const tested = lines.filter((line) => /: (?:seed 1, test \(|not found by its test)/.test(line));
  const testedFound = tested.filter((line) => line.startsWith("found "));
  const names = testedFound.map((line) => /^found +(\S+)/.exec(line)?.[1]);
  const seeds = lines.flatMap((line) => {
    const seed = /^found .*: seed (\d+),/.exec(line)?.[1];
    return seed === undefined || tested.includes(line) ? [] : [Number(seed)];
  });
  const less = (count: number | undefined, by: number): number | undefined =>
    count === undefined ? undefined : count - by;
  const [found, wanted] = [less(allFound, testedFound.length), less(all, tested.length)];
  return [
    demand(
      "bugs found by simulations",
      "every one, and at least 25",
      found,
      (count) => count === wanted && count >= 25,
      (count) => `${count} of ${wanted}`,
    ),
    demand(
      "found by simulations within 300 seeds",
      "20 of 25",
      less(allSoon, testedFound.length),
      (count) => wanted !== undefined && count >= 0.8 * wanted,
      (count) => `${count} of ${wanted}`,
    ),
    demand(
      "most seeds that one took",
      "5000",
      seeds.length === 0 ? undefined : Math.max(...seeds),
      (most) => most <= 5000,
    ),
    demand(
      "bugs found by a unit test that is named with them, and by no simulation",
      "every one",
      tested.length === 0 ? undefined : testedFound,
      (all) => all.length === tested.length,
      (all) => `${all.length} of ${tested.length}: ${names.join(", ")}`,
    ),
  ];
}

/** What a soak with jobs found. */
export interface JobsFigures {
  readonly submitted: number;
  readonly refused: number;
  readonly ends: Readonly<Record<string, number>>;
  readonly tasks: number;
  readonly attempts: number;
  readonly retries: number;
  readonly lost: number;
  readonly troubles: Readonly<Record<string, number>>;
  readonly logs: number;
}

/** Jobs of all shapes through trouble: nothing that is not as it must be, and enough of everything that this says something. */
export function judgeJobs(figures: JobsFigures, wantedJobs: number, complaints: number): Row[] {
  const { submitted, refused, ends, tasks, attempts, retries, lost, troubles, logs } = figures;
  const counts = (of: Readonly<Record<string, number>>): string =>
    Object.entries(of)
      .map(([name, count]) => `${name} ${count}`)
      .join(", ");
  const states = ["succeeded", "failed", "cancelled", "skipped"];
  const some = (what: string, count: number): Row => ({
    what,
    wanted: "some",
    measured: String(count),
    met: count > 0,
  });
  return [
    none("complaints of the judges", complaints),
    {
      what: "jobs",
      wanted: `${wantedJobs}`,
      measured: `${submitted}, and ${refused} that were refused for their key`,
      met: submitted + refused >= wantedJobs,
    },
    {
      what: "how they ended",
      wanted: "some in every way",
      measured: counts(ends),
      met: states.every((state) => (ends[state] ?? 0) > 0),
    },
    { what: "tasks", wanted: "", measured: `${tasks}, and ${attempts} attempts that were processes`, met: undefined },
    some("attempts that were not a task's first", retries),
    some("attempts that were lost with their nodes", lost),
    some("logs of the destroyed node that had to be there, and were read", logs),
    { what: "troubles", wanted: "", measured: counts(troubles), met: undefined },
  ];
}

/** Rows of a Markdown table by their first cell; the head is that of "". */
function tableIn(lines: readonly string[]): Map<string, readonly string[]> {
  const rows = lines.map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  return new Map(rows.map(([first = "", ...rest]) => [first, rest]));
}

function numbers(cells: readonly string[] | undefined): number[] | undefined {
  const found = cells?.map((cell) => Number(/^[\d.]+/.exec(cell)?.[0]));
  return found === undefined || found.length === 0 || found.some(Number.isNaN) ? undefined : found;
}

/** A follower that comes back: by the log, by a snapshot and the log, by a large state. */
export function judgeCatchup(lines: readonly string[]): Row[] {
  const table = tableIn(lines);
  // The first cell is what the program itself wanted.
  const cells = (what: string): string[] | undefined => table.get(what)?.slice(1);
  const back = cells("back in step after");
  const shares = cells("at half of it, while it came back")?.map((cell) => Number(/\((\d+) %\)/.exec(cell)?.[1]));
  const grown = cells("leader's memory before and at most, MiB")?.map((cell) => cell.split(", ").map(Number));
  const growth = grown?.map(([before = NaN, most = NaN]) => most - before);
  const list = (values: readonly (number | string)[], unit = ""): string =>
    values.map((value) => `${value}${unit}`).join(", ");
  const jobs = numbers(cells("jobs in the state"))?.at(-1);
  const entries = numbers(cells("in so many entries of the log")?.slice(0, 2));
  return [
    // Writes are not entries: an entry holds those of a turn of the leader's loop. Both are told, and a million of each is wanted.
    demand(
      "writes that were missed, in so many entries of the log",
      "1000000 writes",
      numbers(cells("writes missed")?.slice(0, 2)),
      (all) => all.every((count) => count >= 1_000_000),
      (all) => list(all.map((count, at) => `${count} in ${entries?.[at] ?? untold}`)),
    ),
    demand(
      "entries of the log that were missed",
      "1000000",
      entries,
      (all) => all.every((count) => count >= 1_000_000),
      list,
    ),
    demand("jobs in the large state", "1000000", jobs, (count) => count >= 1_000_000),
    demand(
      "back in step after",
      "under 60 s",
      back,
      (all) => all.every((text) => (parseMs(text) ?? Infinity) < 60_000),
      list,
    ),
    demand(
      "what the leader keeps of its load meanwhile",
      "over 80 %",
      shares,
      (all) => all.every((share) => share > 80),
      (all) => list(all, " %"),
    ),
    demand(
      "what the leader's memory grows by meanwhile",
      "at most 256 MiB",
      growth,
      (all) => all.every((mib) => mib <= 256),
      (all) => list(all, " MiB"),
    ),
  ];
}

/** Meshes of up to a hundred nodes. */
export function judgeScale(lines: readonly string[]): Row[] {
  const table = tableIn(lines);
  const sizes = numbers(table.get("")) ?? [];
  const last = (what: string): string | undefined => table.get(what)?.at(-1);
  const given = (what: string, title = what): Row =>
    demand(
      title,
      "given for each",
      table.get(what),
      // What is lost in the noise of rest has no number in front; "no more than rest" are the words of before that noise was measured.
      (cells) => numbers(cells)?.length === sizes.length,
      (cells) => cells.map((cell) => (cell === "no more than rest" ? "not told from noise" : cell)).join(", "),
    );
  const time = (what: string, title: string): Row =>
    demand(
      title,
      "every node",
      last(what),
      (text) => parseMs(text) !== undefined,
      (text) => `after ${text}`,
    );
  return [
    demand(
      "nodes",
      "3, 10, 30, 100",
      sizes,
      (found) => [3, 10, 30, 100].every((size) => found.includes(size)),
      (found) => found.join(", "),
    ),
    time("start to all in step", "the largest in step after its start"),
    time("SIGKILL of the leader to all in step", "the largest in step after SIGKILL of the leader"),
    demand(
      "elections that nobody asked for",
      "0",
      numbers(table.get("elections that nobody asked for, at rest and under load")),
      (all) => all.every((count) => count === 0),
      (all) => all.join(", "),
    ),
    given("at rest, all nodes", "CPU at rest, all nodes, % of a core"),
    given("CPU per 1,000 entries, leader, ms"),
    given("CPU per 1,000 entries, all nodes, ms"),
  ];
}

/** What {@link judgeThroughput} gives where no older build stood beside the present one in the run that is kept. */
const olderBuild: Row = {
  what: "single jobs that run, 256 connections, to a build of before mutual TLS in turns",
  wanted: "not lower",
  measured:
    "0.87 times (9,429/s and 8,181/s, 5 rounds, 2026-11-26), later that day 0.94 (0.92 … 1.08, 5 rounds); on a slower host with work beside it 0.77 (2,757/s and 2,126/s, 0.77 … 1.03, 5 rounds, 2026-11-27)",
  met: false,
};

/**
 * Submits beside etcd's puts and beside an older build, from the rows of docs/benchmarks-jobs.json: that page demands less of some of them. The first number of
 * what was measured is the median, and is what is judged.
 */
export function judgeThroughput(rows: readonly Row[]): Row[] {
  const beside = (end: string, wanted: string, least: number): Row[] =>
    rows
      .filter(({ what }) => what.endsWith(end))
      .map((row) => ({ ...row, wanted, met: Number.parseFloat(row.measured) >= least }));
  const etcd = [64, 256].flatMap((connections) => {
    const found = beside(`, ${connections} connections, to etcd's puts`, "at least 3 times", 3);
    const what = `single jobs, ${connections} connections, to etcd's puts`;
    return found.length > 0 ? found : [{ what, wanted: "at least 3 times", measured: untold, met: false }];
  });
  const older = beside(", to the older build", "not lower", 1);
  return [...etcd, ...(older.length > 0 ? older : [olderBuild])];
}
