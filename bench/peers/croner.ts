/** croner alone, in a process of its own in the runtime that skein has: what is under our instants, and the floor of what a timer can do. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { root, run, tool } from "../../scripts/steps.ts";

/** What is measured beside us, in words. */
export function cronerVersion(): string {
  const file = path.join(root, "node_modules", "croner", "package.json");
  const { version } = JSON.parse(readFileSync(file, "utf8")) as { version: string };
  return `croner ${version}, bun, one process`;
}

/** Lateness in ms of so many schedules of one process, all at one instant. */
export async function cronerFires(load: {
  readonly schedules: number;
  readonly everySeconds: number;
  readonly seconds: number;
}): Promise<Record<string, number>> {
  return await figuresOf("croner-load", load, load.seconds + 3 * load.everySeconds);
}

/** Instants a second, ours and croner's, by expression. */
export async function instantsPerSecond(
  cases: readonly (readonly [cron: string, tz: string])[],
): Promise<Record<string, number>> {
  return await figuresOf("next-loop", { cases }, 10 * cases.length);
}

async function figuresOf(program: string, wanted: object, seconds: number): Promise<Record<string, number>> {
  const said = await run(tool("bun"), [`bench/peers/${program}.ts`, JSON.stringify(wanted)], {
    timeoutMs: (seconds + 60) * 1_000,
  });
  if (said.code !== 0) throw new Error(`${program} failed: ${said.output}`);
  return JSON.parse(said.output) as Record<string, number>;
}
