import { type PlanOptions, planOf } from "./plan.ts";
import type { SeedReport } from "./seeds.ts";

/**
 * Makes a failing run smaller while it goes on failing in the same way: first troubles are taken out (delta debugging), then hosts, then requests,
 * then time; and once more from the beginning, as long as anything becomes less. Each subject has its own stream of chance, so what is taken out leaves
 * the rest as it was.
 */
export interface ShrinkPorts {
  run(options: PlanOptions): Promise<SeedReport>;
  told(what: string): void;
}

/** A run that fails as the whole one did. */
export interface Shrunk {
  readonly options: PlanOptions;
  readonly report: SeedReport;
  readonly whole: SeedReport;
  /** How many were tried. */
  readonly runs: number;
}

/** What kind of problem it is, without the figures. */
export function kindOf(report: Pick<SeedReport, "problems">): string {
  return (report.problems[0] ?? "")
    .replaceAll(/[0-9]+/g, "#")
    .split(/[:;]/, 2)
    .join(":")
    .slice(0, 60);
}

/** After this many rounds what is left is left. */
const rounds = 3;
const fewer = [0, 5, 20, 50, 100, 150, 200, 350];
const shorter = [15, 20, 30, 40, 50, 60, 80, 110, 140, 170];

/** The smallest run that was found to fail as the seed does with the options `start`; undefined: that one does not fail. */
export async function shrink(seed: number, ports: ShrinkPorts, start: PlanOptions = {}): Promise<Shrunk | undefined> {
  const shrinking = new Shrinking(seed, ports, start);
  return await shrinking.run();
}

class Shrinking {
  readonly #seed: number;
  readonly #ports: ShrinkPorts;
  #best: PlanOptions;
  #report: SeedReport | undefined;
  #kind = "";
  #runs = 0;

  constructor(seed: number, ports: ShrinkPorts, start: PlanOptions) {
    this.#seed = seed;
    this.#ports = ports;
    this.#best = start;
  }

  async run(): Promise<Shrunk | undefined> {
    const seed = this.#seed;
    const whole = await this.#try(this.#best);
    if (whole.problems.length === 0) return undefined;
    this.#kind = kindOf(whole);
    this.#report = whole;
    this.#ports.told(`seed ${seed} fails after ${whole.events} events: ${whole.problems[0]}`);
    const { keep, ...rest } = this.#best;
    // Those that come after the end of the run were never there.
    const places = keep ?? planOf(seed).faults.map((_, place) => place);
    const { duration } = planOf(seed, rest);
    const there = places.filter((place) => planOf(seed).faults[place]!.at < duration);
    await this.#first([{ ...rest, keep: there }]);
    for (let round = 0; round < rounds; round++) {
      const before = this.#best;
      await this.#fewerTroubles();
      await this.#fewerHosts();
      const { operations = Infinity, seconds = Infinity } = this.#best;
      await this.#first(fewer.filter((count) => count < operations).map((count) => ({ operations: count })));
      await this.#first(shorter.filter((count) => count < seconds).map((count) => ({ seconds: count })));
      if (this.#best === before) break;
    }
    return { options: this.#best, report: this.#report, whole, runs: this.#runs };
  }

  async #try(options: PlanOptions): Promise<SeedReport> {
    this.#runs += 1;
    return await this.#ports.run(options);
  }

  /** Takes the first of these changes that leaves a run that fails alike. */
  async #first(changes: readonly PlanOptions[]): Promise<boolean> {
    for (const change of changes) {
      const options = { ...this.#best, ...change };
      const report = await this.#try(options);
      if (kindOf(report) !== this.#kind) continue;
      this.#best = options;
      this.#report = report;
      return true;
    }
    return false;
  }

  async #fewerTroubles(): Promise<void> {
    if (this.#best.keep !== undefined && this.#best.keep.length > 0 && (await this.#first([{ keep: [] }]))) return;
    for (let parts = 2; this.#best.keep !== undefined && this.#best.keep.length > 1;) {
      const { keep } = this.#best;
      const size = Math.ceil(keep.length / parts);
      const less: PlanOptions[] = [];
      for (let from = 0; from < keep.length; from += size)
        less.push({ keep: [...keep.slice(0, from), ...keep.slice(from + size)] });
      if (await this.#first(less)) {
        this.#ports.told(`${this.#best.keep.length} troubles are left`);
        parts = Math.max(2, parts - 1);
      } else if (size === 1) break;
      else parts = Math.min(keep.length, parts * 2);
    }
  }

  async #fewerHosts(): Promise<void> {
    const { hosts } = planOf(this.#seed, this.#best);
    if (await this.#first(Array.from({ length: hosts - 1 }, (_, less) => ({ hosts: less + 1 }))))
      this.#ports.told(`${this.#best.hosts} hosts are left`);
  }
}

/** As words of a command line. */
export function wordsOf({ keep, hosts, operations, seconds }: PlanOptions): string {
  const list: readonly (readonly [string, string | number | undefined])[] = [
    ["keep", keep?.join(",")],
    ["hosts", hosts],
    ["operations", operations],
    ["seconds", seconds],
  ];
  return list.map(([name, value]) => (value === undefined ? "" : ` --${name}=${value}`)).join("");
}

/** The options that these words stand for; a number that is none is left for the caller to refuse (NaN). */
export function optionsOf(word: (name: string) => string | undefined): PlanOptions {
  const keep = word("keep");
  const numbers = ["hosts", "operations", "seconds"].flatMap((name) => {
    const text = word(name);
    return text === undefined ? [] : [[name, Number(text === "" ? Number.NaN : text)] as const];
  });
  return {
    ...(keep === undefined ? {} : { keep: keep === "" ? [] : keep.split(",").map(Number) }),
    ...Object.fromEntries(numbers),
  };
}
