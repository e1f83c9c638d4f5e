import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { monotonicMs } from "../../lib/clock.ts";
import type { AttemptLimits } from "./frames.ts";

/**
 * Control groups (version 2) for attempts with limits: one each, below a directory that this process may write to. They hold what a process does not get out
 * of: also one that left its process group and threw away its environment is counted, and killed at the end. Everything here is reading and
 * writing small files; a directory of ordinary files serves tests.
 */
export class Cgroups {
  readonly #marker: string;
  readonly #log: (message: string) => void;
  readonly #live = new Set<string>();
  readonly #tidied = new Set<string>();
  #complained = false;

  constructor(marker: string, log: (message: string) => void) {
    this.#marker = marker;
    this.#log = log;
  }

  /** A group with these limits, as far as its controllers go; undefined: this node has none to give, and rlimits have to do. */
  open(root: string | undefined, attempt: string, limits: AttemptLimits): Cgroup | undefined {
    const found = root ?? delegatedRoot();
    if (found === undefined) return undefined;
    const name = `skein-${this.#marker}-${attempt}`;
    try {
      const holds = enableControllers(found);
      const missing = wanted.filter((one) => !holds.has(one));
      if (missing.length > 0)
        this.#complain(`${found} lacks the controllers ${missing.join(" and ")}, so these limits are rlimits`);
      this.#tidy(found);
      const path = join(found, name);
      mkdirSync(path, { recursive: true });
      this.#live.add(name);
      if (limits.memoryBytes !== undefined && holds.has("memory")) {
        writeFileSync(join(path, "memory.max"), String(limits.memoryBytes));
        // Where there is swap, it is memory too; and a task without one of its processes is of no use.
        writeIfThere(path, "memory.swap.max", "0");
        writeIfThere(path, "memory.oom.group", "1");
      }
      if (limits.processes !== undefined && holds.has("pids"))
        writeFileSync(join(path, "pids.max"), String(limits.processes));
      return new Cgroup(path, holds, () => this.#live.delete(name));
    } catch (error) {
      if (root !== undefined)
        this.#complain(`no control groups below ${root}, so limits are rlimits: ${(error as Error).message}`);
      return undefined;
    }
  }

  #complain(message: string): void {
    if (!this.#complained) this.#log(message);
    this.#complained = true;
  }

  /** Once for each root: what a guard that was killed left is ended. */
  #tidy(root: string): void {
    if (this.#tidied.has(root)) return;
    this.#tidied.add(root);
    for (const name of readdirSync(root)) {
      if (name.startsWith(`skein-${this.#marker}-`) && !this.#live.has(name)) void new Cgroup(join(root, name)).end();
    }
  }
}

/** One attempt's. */
export class Cgroup {
  readonly #path: string;
  readonly #holds: ReadonlySet<Controller>;
  readonly #onEnd: () => void;

  constructor(path: string, holds: ReadonlySet<Controller> = new Set(), onEnd: () => void = () => {}) {
    this.#path = path;
    this.#holds = holds;
    this.#onEnd = onEnd;
  }

  /** It bounds these; processor time and the end of all processes are in its hands in any case. */
  get holdsMemory(): boolean {
    return this.#holds.has("memory");
  }

  get holdsProcesses(): boolean {
    return this.#holds.has("pids");
  }

  /** Who writes its number here is in the group, and with it whatever it starts. */
  get processes(): string {
    return join(this.#path, "cgroup.procs");
  }

  /** Time that its processes had of a processor; 0 where that is unknown. */
  cpuMs(): number {
    return (figure(this.#path, "cpu.stat", "usage_usec") ?? 0) / 1000;
  }

  /** What was refused to it, or cost it a process. */
  hits(): { readonly memory: boolean; readonly processes: boolean } {
    return {
      memory: (figure(this.#path, "memory.events", "oom_kill") ?? 0) > 0,
      processes: (figure(this.#path, "pids.events", "max") ?? 0) > 0,
    };
  }

  /** Kills what is left in it, and removes it once it is empty. */
  async end(): Promise<void> {
    const deadline = monotonicMs() + emptyMs;
    try {
      writeFileSync(join(this.#path, "cgroup.kill"), "1");
      while (figure(this.#path, "cgroup.events", "populated") === 1 && monotonicMs() < deadline) await Bun.sleep(5);
      rmdirSync(this.#path);
    } catch {
      // Gone, or held by what hangs in the kernel: the next guard tries again.
    }
    this.#onEnd();
  }
}

const emptyMs = 2_000;

/** The group that this process is in, if whoever set it up lets it have limited groups below. */
function delegatedRoot(): string | undefined {
  try {
    const own = /^0::(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1];
    const path = own === undefined ? undefined : join("/sys/fs/cgroup", own);
    if (path === undefined || !existsSync(join(path, "cgroup.subtree_control"))) return undefined;
    const enabled = readFileSync(join(path, "cgroup.subtree_control"), "utf8").split(/\s+/);
    return wanted.every((one) => enabled.includes(one)) ? path : undefined;
  } catch {
    return undefined;
  }
}

const wanted = ["memory", "pids"] as const;
type Controller = (typeof wanted)[number];

/** Those of the controllers that groups below have from now on. A hierarchy of version 2 beside those of version 1 has few. */
function enableControllers(root: string): ReadonlySet<Controller> {
  const listed = (name: string): string[] => readFileSync(join(root, name), "utf8").trim().split(/\s+/);
  const available = listed("cgroup.controllers");
  const enabled = listed("cgroup.subtree_control");
  const usable = wanted.filter((one) => available.includes(one));
  const toEnable = usable.filter((one) => !enabled.includes(one));
  if (toEnable.length > 0)
    writeFileSync(join(root, "cgroup.subtree_control"), toEnable.map((one) => `+${one}`).join(" "));
  return new Set(usable);
}

function writeIfThere(path: string, name: string, text: string): void {
  if (existsSync(join(path, name))) writeFileSync(join(path, name), text);
}

/** A line "name number" of a file of the kernel's; undefined: there is none. */
function figure(path: string, file: string, name: string): number | undefined {
  try {
    const text = readFileSync(join(path, file), "utf8");
    const value = new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1];
    return value === undefined ? undefined : Number(value);
  } catch {
    return undefined;
  }
}
