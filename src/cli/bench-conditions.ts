import { arch, cpus, loadavg, platform, release, totalmem } from "node:os";
import { formatSize } from "../lib/units.ts";
import type { Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";

/** What a figure is worth nothing without. */
export interface Conditions {
  readonly client: { readonly cpu: string; readonly cores: number; readonly memory: string; readonly os: string };
  readonly load: number;
  readonly skein: string;
  readonly bun: string;
  readonly nodes: number;
  readonly node_versions: readonly string[];
}

/** Asks this host and the mesh. */
export async function conditionsOf(session: Session): Promise<Conditions> {
  const nodes = await session.client.nodes();
  const cores = cpus();
  return {
    client: {
      cpu: cores[0]?.model ?? "unknown",
      cores: cores.length,
      memory: formatSize(totalmem()),
      os: `${platform()} ${release()} ${arch()}`,
    },
    load: Math.round(loadavg()[0]! * 100) / 100,
    skein: session.cli.actions.version,
    bun: Bun.version,
    nodes: nodes.length,
    node_versions: [...new Set(nodes.map((node) => node.version))],
  };
}

/** The conditions as lines for people. */
export function conditionFields(given: Conditions): [string, string][] {
  const { client } = given;
  return [
    ["machine", `${client.cores} x ${client.cpu}, ${client.memory}, ${client.os}, load ${given.load} at the start`],
    ["versions", `skein ${given.skein}, bun ${given.bun}; ${given.nodes} nodes of ${given.node_versions.join(", ")}`],
  ];
}

/** A whole number of a flag, with its default. Throws CliError. */
export function wholeFlag(flag: string, text: string | undefined, fallback: number, low: number, high: number): number {
  if (text === undefined) return fallback;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= low && value <= high) return value;
  throw new CliError(exit.usage, `${flag} "${text}" is not a whole number from ${low} to ${high}`);
}
