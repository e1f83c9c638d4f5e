/** Running other programs from scripts: bounded in time, output kept, the whole process group ended when time is up. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import path from "node:path";

/** The top of the checkout; scripts are started there by npm, and go there by themselves otherwise. */
export const root = path.dirname(import.meta.dirname);

export interface Ended {
  /** Exit code; null when a signal ended it, or when it could not be started. */
  readonly code: number | null;
  /** stdout and stderr in order of arrival, the last `outputBytesMax` of them. */
  readonly output: string;
  readonly timedOut: boolean;
  readonly ms: number;
}

const outputBytesMax = 256 * 1024;

/** The process and what it starts are served after others. Where the kernel shares by session first, the session is what yields. */
function yieldTo(pid: number, niceness: number): void {
  try {
    setPriority(pid, niceness);
    writeFileSync(`/proc/${pid}/autogroup`, String(niceness));
  } catch {
    // it is as important as everything else then
  }
}

/**
 * Runs a program in a process group of its own and waits for its end. Never throws: a program that cannot be started has code null
 * and says why in `output`. Past `timeoutMs` the group is killed.
 */
export async function run(
  command: string,
  args: readonly string[],
  options: {
    readonly timeoutMs: number;
    readonly env?: Readonly<Record<string, string>>;
    readonly cwd?: string;
    /** 0 (default) to 19, the last to be served. */
    readonly niceness?: number;
  },
): Promise<Ended> {
  const began = performance.now();
  const child = spawn(command, args, {
    cwd: options.cwd ?? root,
    env: { ...process.env, FORCE_COLOR: "0", NO_COLOR: "1", ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  if (child.pid !== undefined && options.niceness !== undefined && options.niceness > 0)
    yieldTo(child.pid, options.niceness);
  let output = "";
  let timedOut = false;
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString("utf8")).slice(-outputBytesMax);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const bound = setTimeout(() => {
    timedOut = true;
    killGroup(child.pid);
  }, options.timeoutMs);
  running.add(child.pid ?? 0);
  const code = await new Promise<number | null>((resolve) => {
    child.on("error", (error) => {
      output += `${command}: ${error.message}\n`;
      resolve(null);
    });
    // "exit", and not "close": a stray grandchild that holds the pipe must not hold us.
    child.on("exit", (status) => setTimeout(resolve, 20, status));
  });
  clearTimeout(bound);
  running.delete(child.pid ?? 0);
  child.stdout.destroy();
  child.stderr.destroy();
  return { code, output, timedOut, ms: performance.now() - began };
}

const running = new Set<number>();

function killGroup(pid: number | undefined): void {
  if (pid === undefined || pid === 0) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/** Calls `stop` once when a person or the parent asks this script to end, then exits with `128 + signal`; also when npm dies above us. */
export function onInterrupt(stop: (signal: string) => void | Promise<void>): void {
  let asked = false;
  const end = (signal: string, code: number): void => {
    if (asked) return;
    asked = true;
    for (const pid of running) killGroup(pid);
    void (async () => {
      try {
        await stop(signal);
      } finally {
        process.exit(code);
      }
    })();
  };
  process.on("SIGINT", () => end("SIGINT", 130));
  process.on("SIGTERM", () => end("SIGTERM", 143));
  process.on("SIGHUP", () => end("SIGHUP", 129));
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && end("the parent's end", 129), 500).unref();
}

/** Files below `folder` (relative to the top, "/" between names, sorted) whose name passes; node_modules and dist are never entered. */
export function filesBelow(folder: string, accept: (file: string) => boolean): string[] {
  const found: string[] = [];
  const visit = (place: string): void => {
    let names;
    try {
      names = readdirSync(path.join(root, place), { withFileTypes: true });
    } catch {
      return;
    }
    for (const name of names) {
      const file = place === "" ? name.name : `${place}/${name.name}`;
      if (name.isDirectory()) {
        if (name.name !== "node_modules" && name.name !== "dist" && name.name !== ".git") visit(file);
      } else if (name.isFile() && accept(file)) found.push(file);
    }
  };
  visit(folder);
  return found.sort();
}

/** One hash over names and contents of files, in the order given; hexadecimal. */
export function hashFiles(files: readonly string[]): string {
  const hash = createHash("sha256");
  for (const file of files) {
    const content = readFileSync(path.join(root, file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return hash.digest("hex");
}

/** "0.42 s", "1 min 5 s". */
export function formatMs(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** An executable of an installed package. */
export function tool(name: string): string {
  return path.join(root, "node_modules", ".bin", name);
}

/** What stands after `--name` or in `--name=` of the command line. */
export function textOption(name: string): string | undefined {
  const at = process.argv.findIndex((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`));
  if (at < 0) return undefined;
  const word = process.argv[at]!;
  return word.includes("=") ? word.slice(word.indexOf("=") + 1) : process.argv[at + 1];
}

/** The number after `--name` or in `--name=N` of the command line, or the default. Ends the process with exit code 2 when it is none above 0. */
export function numberOption(name: string, otherwise: number): number {
  const text = textOption(name);
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) {
    console.error(`--${name} needs a number above 0`);
    process.exit(2);
  }
  return value;
}

/**
 * Ends the process with exit code 2 when the command line has an option that is not one of these, or a word that belongs to none: an hour of measuring
 * must not begin with a misspelt `--only`. With `--help` it names them and ends with 0.
 */
export function onlyOptions(script: string, names: readonly string[]): void {
  const told = `${script} takes ${names.map((name) => `--${name}`).join(", ")}`;
  const words = process.argv.slice(2);
  const isKnown = (word: string): boolean =>
    names.some((name) => word === `--${name}` || word.startsWith(`--${name}=`));
  const wrong = words.find((word, at) =>
    word.startsWith("--") ? !isKnown(word) : at === 0 || !isKnown(words[at - 1]!) || words[at - 1]!.includes("="),
  );
  if (wrong === undefined) return;
  if (wrong === "--help") console.log(told);
  else console.error(`${script}: "${wrong}" is not known; ${told}`);
  process.exit(wrong === "--help" ? 0 : 2);
}
