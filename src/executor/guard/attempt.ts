import { rm } from "node:fs/promises";
import { limits } from "../../lib/limits.ts";
import { formatDuration, formatSize } from "../../lib/units.ts";
import type { Report } from "../../state/types.ts";
import { wallMs } from "../../lib/clock.ts";
import { attemptKey, nameOf } from "../names.ts";
import { type LogSink, Output } from "../stream.ts";
import { Tail } from "../tail.ts";
import type { AttemptName } from "../types.ts";
import type { Cgroup, Cgroups } from "./cgroup.ts";
import { Countdown } from "./countdown.ts";
import type { Start } from "./frames.ts";
import type { Places } from "./places.ts";
import type { Scratch, ScratchDirectory } from "./scratch.ts";
import { type Child, type NotSpawned, spawn } from "./spawn.ts";
import type { Sweeper } from "./sweep.ts";
import { signalGroup, terminateGroup } from "./terminate.ts";

/** Why the guard ends an attempt that would go on. The later word wins, except that nothing undoes a drop. */
export type Ending = "timeout" | "cancelled" | "lost" | "dropped";

export interface AttemptContext {
  readonly places: Places;
  readonly scratch: Scratch;
  readonly inherited: Readonly<Record<string, string | undefined>>;
  readonly sweeper: Sweeper;
  readonly packs: { open(name: AttemptName, keepBytes: number): LogSink };
  readonly cgroups: Cgroups;
  log(message: string): void;
}

/** What the guard holds of an attempt that runs. */
export interface RunningAttempt {
  readonly name: AttemptName;
  /** Wall time, epoch ms. */
  readonly startedAt: number;
  /** Head and number of its process group; undefined: it has none. */
  readonly pid: number | undefined;
  /** The result; undefined when it was dropped. */
  readonly ended: Promise<Report | undefined>;
  stop(ending: "timeout" | "cancelled"): void;
  kill(ending: "lost" | "dropped"): void;
  /** Its timeout, counted from its start, is this now. */
  extend(timeoutMs: number): void;
}

/** What a driver does with the process of its attempt beside keeping its output. */
export interface Watching {
  /** What is kept of its standard error. */
  readonly filter?: (stream: ReadableStream<Uint8Array>) => ReadableStream<Uint8Array>;
  /** It was started. */
  readonly onChild?: (child: Child) => void;
}

/** One attempt from its first process to its last: nothing of it is alive or open when {@link ended} resolves (J3). */
export class Attempt implements RunningAttempt {
  readonly name: AttemptName;
  readonly startedAt = wallMs();
  /** Head and number of the process group; undefined when it could not be started. */
  readonly pid: number | undefined;
  /** The result; undefined when it was dropped. */
  readonly ended: Promise<Report | undefined>;
  readonly #start: Start;
  readonly #filter: Watching["filter"];
  readonly #context: AttemptContext;
  readonly #log: LogSink;
  readonly #tail: Tail;
  readonly #countdown: Countdown;
  #cgroup: Cgroup | undefined;
  #cpuWatch: ReturnType<typeof setInterval> | undefined;
  /** A limit that it went past, which is its end. */
  #exceeded: string | undefined;
  #ending: Ending | undefined;
  #mainEnded = false;
  /** Nobody may signal it any more: its number may be another's. */
  #groupGone = false;
  #terminated: Promise<void> | undefined;
  /** Nobody of it is alive after that; at once where nobody was started. */
  #swept: Promise<void> = Promise.resolve();

  /** Starts it. Never throws: what goes wrong is its result. */
  constructor(start: Start, context: AttemptContext, watching: Watching = {}) {
    this.#start = start;
    this.#filter = watching.filter;
    this.#context = context;
    this.name = nameOf(start);
    this.#log = context.packs.open(start, start.keepBytes);
    this.#tail = new Tail(start.tailBytes);
    const { limits: wanted } = start;
    if (wanted !== undefined) this.#cgroup = context.cgroups.open(start.cgroupRoot, attemptKey(start), wanted);
    const spawned = spawn(start, context.places, context.inherited, context.scratch, this.#cgroup);
    this.pid = spawned.ok ? spawned.child.pid : undefined;
    this.#countdown = new Countdown(spawned.ok ? start.timeoutMs : undefined, () => this.stop("timeout"));
    if (spawned.ok) {
      this.#watchCpu();
      watching.onChild?.(spawned.child);
    }
    this.ended = this.#live(spawned.ok ? spawned.child : spawned.why, spawned.scratch);
  }

  /** TERM to the group, KILL after the attempt's grace. */
  stop(ending: "timeout" | "cancelled"): void {
    if (this.#mainEnded || this.#ending !== undefined) return;
    this.#ending = ending;
    if (this.pid !== undefined) this.#terminated = terminateGroup(this.pid, this.#start.graceMs);
  }

  /** KILL to the group, before this returns. */
  kill(ending: "lost" | "dropped"): void {
    if (this.#ending !== "dropped" && (!this.#mainEnded || ending === "dropped")) this.#ending = ending;
    if (this.pid !== undefined && !this.#groupGone) signalGroup(this.pid, "SIGKILL");
  }

  /** A control group counts all processes together, and nobody but this watch ends them. */
  #watchCpu(): void {
    const cpuMs = this.#start.limits?.cpuMs;
    const cgroup = this.#cgroup;
    if (cpuMs === undefined || cgroup === undefined) return;
    this.#cpuWatch = setInterval(() => {
      if (this.#mainEnded || this.#exceeded !== undefined || cgroup.cpuMs() <= cpuMs) return;
      this.#exceeded = `used more CPU time than limits.cpu allows (${formatDuration(cpuMs)}, counted by its cgroup)`;
      if (this.#ending === undefined && this.pid !== undefined)
        this.#terminated = terminateGroup(this.pid, this.#start.graceMs);
    }, limits.cpuWatchMs);
  }

  extend(timeoutMs: number): void {
    this.#countdown.move(timeoutMs);
  }

  async #live(child: Child | NotSpawned, scratch: ScratchDirectory | undefined): Promise<Report | undefined> {
    const result = "pid" in child ? await this.#watch(child) : failure(child);
    clearInterval(this.#cpuWatch);
    const hit = this.#exceeded ?? hitOf(this.#start, result, this.#cgroup);
    await this.#cgroup?.end();
    const log = this.#log.close();
    await this.#clear(scratch);
    if (this.#ending === "dropped") return undefined;
    const reason = [this.#reason(result, hit), this.truncation()].filter((text) => text !== undefined).join("; ");
    return {
      ...this.name,
      state: this.#ending ?? (result.exitCode === 0 && this.#exceeded === undefined ? "succeeded" : "failed"),
      exitCode: result.exitCode,
      signal: result.signal,
      startedAt: this.startedAt,
      finishedAt: wallMs(),
      tail: this.#tail.bytes(),
      reason: reason === "" ? undefined : reason,
      log,
    };
  }

  /** From start to the moment when neither the process nor anything that it started is left. */
  async #watch(child: Child): Promise<Result> {
    const { stdout, stderr } = child;
    const streams = { stdout, stderr: this.#filter?.(stderr) ?? stderr };
    const output = new Output(streams, this.#log, this.#tail, this.#start.redact);
    await child.exited;
    this.#mainEnded = true;
    this.#countdown.stop();
    const settled = await this.#endGroup(child.pid, output);
    if (!settled) await output.cancel();
    // A pipe that stays open, or a group that had to be killed: somebody may have left the group. Else the next sweep is soon enough.
    this.#swept = this.#context.sweeper.sweep(attemptKey(this.name));
    if (!settled || this.#ending !== undefined) await this.#swept;
    return {
      exitCode: child.signalCode === null ? child.exitCode : null,
      signal: child.signalCode === null ? null : String(child.signalCode),
      reason: undefined,
    };
  }

  /** The group after its main process: what is left of it ends too. True when the output was read to its end. */
  async #endGroup(group: number, output: Output): Promise<boolean> {
    if (this.#terminated !== undefined) await this.#terminated;
    else if (signalGroup(group, 0)) {
      // The last words of a pipeline may still be on their way.
      await output.settle(lastWordsMs, lastWordsMs);
      await terminateGroup(group, limits.leftoverGraceMs);
    }
    this.#groupGone = true;
    return output.settle(limits.pipeSilentMs, limits.pipeHeldMs);
  }

  async #clear(scratch: ScratchDirectory | undefined): Promise<void> {
    try {
      if (scratch !== undefined) await this.#context.scratch.giveBack(scratch, this.#swept);
      const { dir, isDirOwn } = this.#start;
      if (isDirOwn === true && dir !== undefined) await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    } catch (error) {
      this.#context.log(
        `cannot clean up after ${attemptKey(this.name)}: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  #reason(result: Result, hit: string | undefined): string | undefined {
    if (result.reason !== undefined) return result.reason;
    if (this.#ending === "timeout")
      return `ran longer than its timeout of ${formatDuration(this.#countdown.timeoutMs ?? 0)}`;
    if (this.#ending === "lost") return "the lease of its node ended while it ran: it was killed";
    if (hit !== undefined) return hit;
    if (typeof this.#start.run !== "string") return undefined;
    if (result.exitCode === 127) return "the shell found no such command: see the end of the output";
    if (result.exitCode === 126) return "the shell could not execute a command: see the end of the output";
    return undefined;
  }

  /** What of its output was not kept. */
  truncation(): string | undefined {
    return truncationWords(this.#log, this.#start.keepBytes);
  }
}

/** What of an output was not kept, and why; undefined: all of it was. */
export function truncationWords({ dropped, fault }: LogSink, keepBytes: number): string | undefined {
  if (dropped === 0) return undefined;
  const why = fault ?? `output.keep is ${formatSize(keepBytes)}`;
  return `the log is truncated, ${dropped} bytes of output were not kept (${why})`;
}

interface Result {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly reason: string | undefined;
}

/** Which limit it was that ended it, as far as that can be told, and what held it. */
function hitOf(start: Start, { exitCode, signal }: Result, cgroup: Cgroup | undefined): string | undefined {
  const { limits: set } = start;
  if (set === undefined || exitCode === 0) return undefined;
  const memory = set.memoryBytes === undefined ? undefined : formatSize(set.memoryBytes);
  const hits = cgroup?.hits();
  if (hits?.memory === true && memory !== undefined)
    return `used more memory than limits.memory allows (${memory}, by its cgroup)`;
  if (hits?.processes === true && set.processes !== undefined)
    return `wanted more processes than limits.processes allows (${set.processes}, by its cgroup)`;
  // A shell tells of a signal that ended its command by 128 and the signal's number.
  if (cgroup === undefined && set.cpuMs !== undefined && (signal === "SIGXCPU" || exitCode === 128 + 24))
    return `used more CPU time than limits.cpu allows (${formatDuration(set.cpuMs)} for each process, by rlimit)`;
  const byRlimit = [
    memory === undefined || cgroup?.holdsMemory === true
      ? undefined
      : `limits.memory (${memory} of addresses for each process)`,
    set.processes === undefined || cgroup?.holdsProcesses === true
      ? undefined
      : `limits.processes (${set.processes} of its user)`,
  ].filter((one) => one !== undefined);
  if (exitCode === 126 || exitCode === 127 || byRlimit.length === 0) return undefined;
  return `failed under rlimits, which do not tell whether they were hit: ${byRlimit.join(", ")}`;
}

function failure(why: NotSpawned): Result {
  return { exitCode: why.exitCode, signal: null, reason: why.reason };
}

const lastWordsMs = 50;
