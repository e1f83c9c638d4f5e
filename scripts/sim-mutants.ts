/**
 * `npm run sim -- --mutants [--seeds=5000] [--at-once=N] [--only=1,5,27b] [--write]`: every historical bug of test/mutants is planted in a copy
 * of the sources, and must be found by its own checkers. Exit code 1 when one is not, when fewer than 80 % of those that simulations look for are
 * within 300 seeds, or when a mutant's texts are not in the sources any more. `--write` puts the table into docs/mutants.md.
 */
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { isFound, judgeAll, type Judged, worksCalmly } from "../test/mutants/gate.ts";
import { mutants } from "../test/mutants/mutants.ts";
import { outdated } from "../test/mutants/plant.ts";
import { formatMs, root } from "./steps.ts";

const soonSeeds = 300;
/** Of all mutants that simulations look for so many are found within {@link soonSeeds}. */
const soonShare = 0.8;

/** Judges all of them (or those asked for) and tells how that went; the exit code. */
export async function runMutants(args: readonly string[]): Promise<number> {
  const option = (name: string): string | undefined =>
    args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
  const only = option("only")?.split(",");
  const chosen = mutants.filter(({ name }) => only?.includes(name) ?? true);
  const old = chosen.map(outdated).filter((why) => why !== undefined);
  if (old.length > 0 || chosen.length === 0) {
    console.error(old.length > 0 ? old.join("\n\n") : "no mutant has such a name");
    return 1;
  }
  const began = performance.now();
  const judged = await judgeAll(chosen, {
    seeds: Number(option("seeds") ?? 5000),
    atOnce: Number(option("at-once") ?? Math.max(1, availableParallelism() - 1)),
    tell: (one) => console.log(line(one)),
  });
  const found = judged.filter(isFound);
  const soon = found.filter(isSoon);
  console.log(
    `\n${found.length} of ${judged.length} found, ${soon.length} within ${soonSeeds} seeds, in ${formatMs(performance.now() - began)}`,
  );
  const simulated = judged.filter(isSimulated);
  const isGood = found.length === judged.length && soon.filter(isSimulated).length >= simulated.length * soonShare;
  if (args.includes("--write") && only === undefined) {
    const file = path.join(root, "docs/mutants.md");
    writeFileSync(file, table(judged));
    console.log(`written: ${path.relative(root, file)}`);
  }
  return isGood ? 0 : 1;
}

const isSoon = ({ storm }: Judged): boolean => storm.seed !== undefined && storm.seed <= soonSeeds;

/** And not looked for by a test of its own, which has no seeds. */
const isSimulated = ({ mutant }: Judged): boolean => mutant.test === undefined;

function line(judged: Judged): string {
  const { mutant, calm, storm, ms } = judged;
  const others = Object.entries(storm.others).map(([kind, count]) => `\n       ${count} × ${kind}`);
  const what = !worksCalmly(calm)
    ? `broken without faults: ${JSON.stringify(calm)}`
    : storm.seed === undefined
      ? `not found${isSimulated(judged) ? "" : " by its test"}${others.join("")}`
      : `seed ${storm.seed}, ${storm.by}`;
  return `${isFound(judged) ? "found " : "MISSED"} ${mutant.name.padStart(4)} ${mutant.title}: ${what} (${formatMs(ms)})`;
}

/** The table for people. */
export function table(judged: readonly Judged[]): string {
  const rows = judged.map((one) => {
    const { mutant, storm } = one;
    const result = isFound(one) ? `${storm.seed} | ${storm.by}` : "**not found** | ";
    return `| ${mutant.name} | ${mutant.title} (${mutant.source}) | ${mutant.bug} | ${mutant.simulation} | ${result} |`;
  });
  const simulated = judged.filter(isSimulated);
  const found = simulated.filter(isFound);
  const tested = judged.filter((one) => !isSimulated(one));
  return `# Mutants

Bugs that other systems had, planted one at a time in a copy of these sources, and looked for by the simulations. Written by
\`npm run sim -- --mutants --write\` on ${new Date().toISOString().slice(0, 10)}: ${found.length} of ${simulated.length} found by simulations, ${found.filter(isSoon).length} of them within ${soonSeeds} seeds,
and ${tested.filter(isFound).length} of ${tested.length} others by a unit test that is named with them.

A mutant is a patch of named source files ([test/mutants](../test/mutants/mutant.ts)); the sources themselves have no switch. It must work without
faults (but for those of gates and room, 50 and on, which clients run into by themselves), and be caught by the checkers it names, with them; anything else that it dies of does not count. Its texts must be in the sources exactly once,
so that it is kept in step with them. \`npm test\` plants a sample; seeds are counted from 1; one of "cron" is an hour of schedules. What is looked for by "test" is found by the test that the mutant names, which \`npm test\` runs with each of them.

| # | bug | what the mutant does | looked for by | seeds | caught by |
|---|---|---|---|---|---|
${rows.join("\n")}
`;
}

if (import.meta.main) process.exit(await runMutants(process.argv.slice(2)));
