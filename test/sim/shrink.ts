import { type PlanOptions, planOf } from "./plan.ts";
import type { SeedReport } from "./seeds.ts";

/**
 * Makes a failing run smaller while it goes on failing in the same way: first troubles are taken out (delta debugging), then hosts, then requests,
 * then time. Each subject has its own stream of chance, so what is taken out leaves the rest as it was.
 */
export interface ShrinkPorts {
  /** Runs all of these, in any order. */
  run(options: readonly PlanOptions[]): Promise<readonly SeedReport[]>;
  told(what: string): void;
}

/** What kind of problem it is, without the figures. */
export function kindOf(report: Pick<SeedReport, "problems">): string {
  return (report.problems[0] ?? "")
    .replaceAll(/[0-9]+/g, "#")
    .split(/[:;]/, 2)
    .join(":")
    .slice(0, 60);
}

/** Options that fail as the seed does by itself; undefined: it does not fail. */
export async function shrink(seed: number, ports: ShrinkPorts): Promise<PlanOptions | undefined> {
  const [whole] = await ports.run([{}]);
  if (whole === undefined || whole.problems.length === 0) return undefined;
  const kind = kindOf(whole);
  ports.told(`seed ${seed} fails: ${whole.problems[0]}`);
  let best: PlanOptions = { keep: planOf(seed).faults.map((_, place) => place) };
  /** The first of these that fails alike. */
  const first = async (candidates: readonly PlanOptions[]): Promise<boolean> => {
    const reports = await ports.run(candidates);
    const at = reports.findIndex((report) => kindOf(report) === kind);
    if (at < 0) return false;
    best = candidates[at]!;
    return true;
  };
  if (!(await first([best]))) best = {};
  for (let parts = 2; best.keep !== undefined && best.keep.length > 0;) {
    const keep = best.keep;
    const size = Math.ceil(keep.length / parts);
    const candidates: PlanOptions[] = [];
    for (let from = 0; from < keep.length; from += size)
      candidates.push({ ...best, keep: [...keep.slice(0, from), ...keep.slice(from + size)] });
    if (await first(candidates)) {
      ports.told(`${best.keep.length} troubles are left`);
      parts = Math.max(2, parts - 1);
    } else if (size === 1) break;
    else parts = Math.min(keep.length, parts * 2);
  }
  const { hosts } = planOf(seed);
  await first(Array.from({ length: hosts - 1 }, (_, less) => ({ ...best, hosts: less + 1 })));
  const operations = [0, 5, 20, 50, 100, 200, 350];
  await first(operations.map((count) => ({ ...best, operations: count })));
  const seconds = [15, 30, 50, 80, 110, 140, 170];
  await first(seconds.map((count) => ({ ...best, seconds: count })));
  return best;
}
