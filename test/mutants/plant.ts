import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Planted } from "./mutant.ts";

const top = dirname(dirname(import.meta.dirname));

/** Why this mutant is not one any more: its texts are not in the sources as they are now. Undefined: all of them are, once each. */
export function outdated(mutant: Planted): string | undefined {
  for (const { file, old } of mutant.patches) {
    const times = readFileSync(join(top, file), "utf8").split(old).length - 1;
    if (times !== 1)
      return `mutant ${mutant.name} (${mutant.title}) must be kept in step: in ${file} this text is there ${times} times instead of once:\n${old}`;
  }
  return undefined;
}

/** What simulations are made of. */
const simulations = ["test/raft", "test/sim", "test/mutants"];

/** A copy of sources and tests in a directory of its own, with the mutant in it; the sources themselves are never touched. */
export class Plantation {
  readonly path: string;

  /** `tests`: folders beside the sources. */
  constructor(mutant: Planted | undefined, tests: readonly string[] = simulations) {
    const why = mutant === undefined ? undefined : outdated(mutant);
    if (why !== undefined) throw new Error(why);
    this.path = mkdtempSync(join(tmpdir(), "skein-mutant-"));
    for (const folder of ["src", ...tests]) {
      mkdirSync(dirname(join(this.path, folder)), { recursive: true });
      cpSync(join(top, folder), join(this.path, folder), { recursive: true });
    }
    for (const name of ["package.json", "tsconfig.json"]) cpSync(join(top, name), join(this.path, name));
    symlinkSync(join(top, "node_modules"), join(this.path, "node_modules"));
    for (const { file, old, new: text } of mutant?.patches ?? []) {
      const path = join(this.path, file);
      // A function: "$" in the text is no pattern.
      writeFileSync(
        path,
        readFileSync(path, "utf8").replace(old, () => text),
      );
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
