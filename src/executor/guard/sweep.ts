import { limits } from "../../lib/limits.ts";
import { monotonicMs } from "../../lib/clock.ts";
import { environmentValue, processIds, type ProcessName, processStartTime, waitOver } from "./processes.ts";

/** In the environment of every process of an attempt: `<marker of the data directory>:<attempt>`. */
export const markerVariable = "SKEIN_GUARD";

/**
 * Finds processes that left their group (setsid, daemons) by the marker in their environment, and kills them. Reading /proc is
 * not free, so that all attempts that end within sweepEveryMs share one look. A process that also threw away its
 * environment is not found (that takes a cgroup).
 */
export class Sweeper {
  readonly #marker: string;
  #ended = new Set<string>();
  #next: Promise<void> | undefined;
  #running: Promise<void> = Promise.resolve();
  #lastAt = -Infinity;

  constructor(marker: string) {
    this.#marker = marker;
  }

  /** Resolves when a sweep that began after this call has ended: nothing that carries the attempt's marker is left. */
  sweep(attempt: string): Promise<void> {
    this.#ended.add(attempt);
    this.#next ??= this.#begin();
    return this.#next;
  }

  /** Resolves when no sweep is under way or due. */
  async idle(): Promise<void> {
    await (this.#next ?? this.#running);
  }

  async #begin(): Promise<void> {
    await this.#running;
    const waitMs = this.#lastAt + limits.sweepEveryMs - monotonicMs();
    if (waitMs > 0) await Bun.sleep(waitMs);
    const ended = this.#ended;
    this.#ended = new Set();
    this.#next = undefined;
    this.#running = killMarked(this.#marker, (attempt) => ended.has(attempt));
    await this.#running;
    this.#lastAt = monotonicMs();
  }
}

/**
 * Kills every process that carries the marker and an attempt of the kind asked for. Repeated until a look finds none, because a
 * process may have forked between two reads. Yields between pieces of the list: the guard has output to read.
 */
export async function killMarked(marker: string, isWanted: (attempt: string) => boolean): Promise<void> {
  const all: ProcessName[] = [];
  for (let look = 0; look < looksMax; look++) {
    let killed = 0;
    const ids = processIds();
    for (let at = 0; at < ids.length; at += pieceLength) {
      for (const pid of ids.slice(at, at + pieceLength)) {
        const startTime = killIfMarked(pid, marker, isWanted);
        if (startTime === undefined) continue;
        killed += 1;
        all.push({ pid, startTime });
      }
      await Bun.sleep(0);
    }
    if (killed === 0) break;
  }
  await waitOver(all);
}

const looksMax = 10;
const pieceLength = 32;

/** Since when it ran that was killed; undefined: none was. */
function killIfMarked(pid: number, marker: string, isWanted: (attempt: string) => boolean): number | undefined {
  const value = environmentValue(pid, markerVariable);
  if (value === undefined || !value.startsWith(`${marker}:`) || !isWanted(value.slice(marker.length + 1)))
    return undefined;
  // Of few only: the kernel takes longer to say this than all else.
  const startTime = processStartTime(pid);
  try {
    if (startTime !== undefined) process.kill(pid, "SIGKILL");
    return startTime;
  } catch {
    return undefined; // ended meanwhile, or not ours to signal
  }
}
