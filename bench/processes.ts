/** What a node with its guard uses, as Linux counts it: shared by the questions about cost. */
import { readdirSync, readFileSync } from "node:fs";
import type { MeshNode } from "../scripts/mesh.ts";

/** Linux counts processor time in hundredths of a second. */
const msPerTick = 10;

export interface Usage {
  /** Processor time so far, all threads. */
  readonly cpuMs: number;
  readonly rssBytes: number;
}

/** Of the node's process alone. */
export function usageOf(node: MeshNode): Usage {
  return read(node.pid);
}

/** Of the node's process and its guard's. */
export function usageWithGuard(node: MeshNode): Usage {
  const [own, guard] = [read(node.pid), read(guardOf(node))];
  return { cpuMs: own.cpuMs + guard.cpuMs, rssBytes: own.rssBytes + guard.rssBytes };
}

/** Processor time so far of a node's process, in ms, by what its threads do. */
export interface ThreadTimes {
  /** The loop: HTTP, JSON, checks, consensus, peers, planning. */
  readonly main: number;
  /** The writers of the log and of the state. */
  readonly writers: number;
  /** Of JavaScript, in the background. */
  readonly compiler: number;
  /** The collector's helpers, the pools of the runtime, and threads that have ended. */
  readonly others: number;
}

/** By the names that the runtime gives its threads. */
export function threadTimesOf(node: MeshNode): ThreadTimes {
  const times = { main: 0, writers: 0, compiler: 0, others: 0 };
  for (const thread of readdirSync(`/proc/${node.pid}/task`)) {
    try {
      const place = `/proc/${node.pid}/task/${thread}`;
      const name = readFileSync(`${place}/comm`, "utf8").trim();
      const spent = cpuMsIn(readFileSync(`${place}/stat`, "utf8"));
      if (Number(thread) === node.pid) times.main += spent;
      else if (name === "Worker") times.writers += spent;
      else if (name === "JITWorker") times.compiler += spent;
    } catch {
      // It has ended.
    }
  }
  times.others = read(node.pid).cpuMs - times.main - times.writers - times.compiler;
  return times;
}

/** The most that the node's process had in memory since it began. */
export function peakRssBytes(node: MeshNode): number {
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${node.pid}/status`, "utf8"));
  return Number(peak![1]) * 1024;
}

function read(pid: number): Usage {
  return {
    cpuMs: cpuMsIn(readFileSync(`/proc/${pid}/stat`, "utf8")),
    rssBytes: Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * 4096,
  };
}

/** User and system time in a line of /proc. */
function cpuMsIn(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * msPerTick;
}

const guards = new Map<string, number>();

function guardOf(node: MeshNode): number {
  const known = guards.get(node.data);
  if (known !== undefined && isGuardOf(known, node.data)) return known;
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || !isGuardOf(Number(name), node.data)) continue;
    guards.set(node.data, Number(name));
    return Number(name);
  }
  throw new Error(`the guard of ${node.data} was not found`);
}

function isGuardOf(pid: number, data: string): boolean {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return words[1] === "guard" && words[3] === data;
  } catch {
    return false; // it ended while we looked
  }
}
