/** Finding processes that a test or a mesh left behind, and ending them: only those that carry our own mark. */
import { readdirSync, readFileSync } from "node:fs";

export interface Marked {
  readonly pid: number;
  readonly command: string;
}

/**
 * Live processes whose environment or command line contains `mark` (a random text that the caller gave to its children), this one
 * left out. Reads /proc: on systems without it the answer is empty, and leftovers go unseen there.
 */
export function markedProcesses(mark: string): Marked[] {
  let names: string[];
  try {
    names = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
  const found: Marked[] = [];
  for (const name of names) {
    const pid = Number(name);
    if (pid === process.pid) continue;
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, "latin1");
      // A zombie has no command line: it has ended and waits for its parent only.
      if (command === "") continue;
      if (command.includes(mark) || readFileSync(`/proc/${name}/environ`, "latin1").includes(mark)) {
        found.push({ pid, command: command.replaceAll("\0", " ").trim() });
      }
    } catch {
      // It ended meanwhile, or belongs to someone else.
    }
  }
  return found;
}

/** Some processes and all that are below them, as Linux tells it. */
export function treeBelow(pids: readonly number[]): ReadonlySet<number> {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "latin1");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // It has ended meanwhile.
    }
  }
  const tree = new Set(pids);
  // What is added meanwhile is visited too.
  for (const pid of tree) for (const child of children.get(pid) ?? []) tree.add(child);
  return tree;
}

/** Waits until nothing carries `mark`, at most `graceMs`; kills what is left and gives it. */
export async function endMarked(mark: string, graceMs: number): Promise<Marked[]> {
  const until = performance.now() + graceMs;
  let left = markedProcesses(mark);
  while (left.length > 0 && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    left = markedProcesses(mark);
  }
  for (const { pid } of left) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended meanwhile.
    }
  }
  return left;
}

/** Kills all of them in one go and waits until they have ended. */
export async function killAtOnce(pids: readonly number[]): Promise<void> {
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // it had ended
    }
  }
  while (pids.some(isAlive)) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** A zombie has ended: its parent is gone or will see it. */
function isAlive(pid: number): boolean {
  try {
    return !/\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
