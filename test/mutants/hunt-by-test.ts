import { readFileSync } from "node:fs";
import { join } from "node:path";
import { run, tool } from "../../scripts/steps.ts";
import type { Hunted } from "./hunt.ts";
import type { Mutant } from "./mutant.ts";

const mostMs = 120_000;

/**
 * Runs the test's file inside of a plantation. The mutant is found when that test fails, and others of the file, which have nothing to do with it, pass: what breaks them all is
 * no bug that anybody has to look for.
 */
export async function huntByTest(place: string, { file, name }: NonNullable<Mutant["test"]>): Promise<Hunted> {
  const report = join(place, "report.xml");
  const args = ["test", `./${file}`, `--timeout=${mostMs}`, "--reporter=junit", `--reporter-outfile=${report}`];
  const { output, timedOut } = await run(tool("bun"), args, { timeoutMs: mostMs, cwd: place });
  if (timedOut) throw new Error(`${file} took longer than ${mostMs} ms: ${output}`);
  const cases = readCases(readFileSync(report, "utf8"));
  const looked = cases.find((one) => one.name === name);
  if (looked === undefined) throw new Error(`${file} has no test "${name}": ${output}`);
  const failed = cases.filter((one) => one.failed);
  const isFound = looked.failed && failed.length < cases.length;
  const others = Object.fromEntries(failed.filter((one) => one !== looked).map((one) => [one.name, 1]));
  return { seed: isFound ? 1 : undefined, by: isFound ? "test" : "", message: isFound ? name : "", others };
}

interface Case {
  readonly name: string;
  readonly failed: boolean;
}

/** Of a report in the form of JUnit. */
function readCases(xml: string): Case[] {
  return [...xml.matchAll(/<testcase name="([^"]*)"[^>]*?(?:\/>|>(.*?)<\/testcase>)/gs)].map(
    ([, name = "", inner]) => ({
      name: unescape(name),
      failed: inner?.includes("<failure") === true,
    }),
  );
}

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'", "#39": "'" };

function unescape(text: string): string {
  return text.replaceAll(/&([a-z]+|#39);/g, (whole, name: string) => entities[name] ?? whole);
}
