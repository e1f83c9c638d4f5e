import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { ownLevel } from "../state/levels.ts";

/** Lowers what this binary says that it understands: for rehearsing an upgrade and its way back with one binary. */
const levelVariable = "SKEIN_LEVEL_MAX";

/** The newest level that this node understands (S2). */
export function understoodLevel(environment: Readonly<Record<string, string | undefined>>): Outcome<number> {
  const text = environment[levelVariable];
  if (text === undefined || text === "") return accept(ownLevel);
  const level = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (level >= 1 && level <= ownLevel) return accept(level);
  return refuse("invalid", `${levelVariable} is "${text}": write a level from 1 to ${ownLevel}, or leave it out`);
}

/** Why data of a cluster at this level is not opened. */
export function tooNew(dataDir: string, level: number, understood: number): string {
  return `${dataDir} belongs to a cluster at level ${level}, this version of skein understands ${understood}: start a newer one; a level never falls, so an older version can go on only by 'skein restore' of a backup that was made before it rose`;
}
