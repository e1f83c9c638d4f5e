import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PackShelf } from "../../src/executor/pack-shelf.ts";
import { placesOf } from "../../src/executor/guard/places.ts";
import { monotonicMs } from "../../src/lib/clock.ts";
import { openExecutor } from "../../src/executor/run.ts";
import type { AttemptName, Executor, ExecutorOptions } from "../../src/executor/types.ts";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import type { HostFacts } from "../../src/lib/inventory.ts";
import { type Outcome, refuse } from "../../src/lib/outcome.ts";
import type { Assignment, Report, Spec, UnitAssignment } from "../../src/state/types.ts";

export const guardCommand = (dataDir: string): string[] => [
  process.execPath,
  join(import.meta.dir, "guard-main.ts"),
  dataDir,
];

/** Waits for an event that another process makes, by looking. Throws when it never comes. */
export async function until<Value>(
  what: string,
  look: () => Value | undefined | false | Promise<Value | undefined | false>,
  timeoutMs = 15_000,
): Promise<Value> {
  const deadline = monotonicMs() + timeoutMs;
  while (true) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (monotonicMs() > deadline) throw new Error(`never happened: ${what}`);
    await Bun.sleep(10);
  }
}

/** Tasks about targets that a node is given together, by what can be said to another process. */
export interface UnitOfTargets {
  readonly job: number;
  readonly first: number;
  readonly fence: number;
  readonly targets: readonly string[];
  readonly spec: Spec;
}

/** The same as the state gives it. */
export function unitAssignmentOf({ job: number, first, fence, targets, spec }: UnitOfTargets): UnitAssignment {
  const [job, count] = [jobId(number), targets.length];
  return {
    job,
    first,
    count,
    width: 1,
    fence,
    spec,
    running: [{ first, count }],
    extended: [],
    at: (task) => ({ job, task, attempt: 1, fence, spec, point: undefined, target: targets[task - first] }),
  };
}

/** A process that exists and is not a zombie. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat[stat.lastIndexOf(")") + 2] !== "Z";
  } catch {
    return false;
  }
}

/** One data directory and the executors and guards that live on it; nothing of it is left after close(). */
export class Rig {
  readonly dataDir: string;
  readonly reports: Report[] = [];
  readonly started: (AttemptName & { readonly startedAt: number })[] = [];
  readonly batches: number[] = [];
  readonly messages: string[] = [];
  readonly #guards = new Set<number>();
  leasesWanted = 0;
  /** What inventories say, by the target. */
  readonly hostFacts = new Map<string, HostFacts>();
  /** Set to make report() fail. */
  logDown = false;
  /** Answers for the second node. */
  copied: ExecutorOptions["copied"] = () => Promise.resolve(true);
  /** Called with each message, in the turn that it is said. */
  onMessage: (message: string) => void = () => {};
  /** What the node would give. */
  secrets: (attempt: AttemptName) => Promise<Outcome<Readonly<Record<string, string>>>> = () =>
    Promise.resolve(refuse("not-found", "there are no secrets here"));
  /** Where the node would lay a bundle out. */
  bundle: ExecutorOptions["bundle"] = () => Promise.resolve(refuse("unavailable", "there are no bundles here"));
  /** Jobs of which nothing may begin any more; what had not is given back. */
  unwanted: ReturnType<ExecutorOptions["unwanted"]> = new Set();
  readonly givenBack: AttemptName[] = [];
  /** Of a new executor. */
  cgroupRoot: string | undefined;
  executor: Executor;
  #nextFence = 1;

  constructor(parent = tmpdir()) {
    this.dataDir = mkdtempSync(join(parent, "skein-executor-"));
    this.executor = this.newExecutor();
  }

  newExecutor(): Executor {
    const executor = openExecutor({
      node: nodeId(7),
      cluster: "c1",
      dataDir: this.dataDir,
      capacity: { slots: 64, ioTasks: 64 },
      guardCommand: guardCommand(this.dataDir),
      report: async (reports) => {
        await Promise.resolve();
        if (this.logDown) throw new Error("no leader");
        this.batches.push(reports.length);
        this.reports.push(...reports);
      },
      started: (attempts) => this.started.push(...attempts),
      secrets: (attempt) => this.secrets(attempt),
      bundle: (attempt, spec) => this.bundle(attempt, spec),
      cgroupRoot: this.cgroupRoot,
      mayGiveBack: () => this.unwanted.size > 0,
      giveBack: (attempts) => {
        this.givenBack.push(...attempts);
        return Promise.resolve();
      },
      unwanted: () => this.unwanted,
      hostFacts: ({ target }) => this.hostFacts.get(target ?? ""),
      copied: (attempt, bytes, withinMs) => this.copied(attempt, bytes, withinMs),
      log: (_level, message) => {
        this.messages.push(message);
        this.onMessage(message);
      },
    });
    executor.onLeaseWanted(() => {
      this.leasesWanted += 1;
    });
    return executor;
  }

  /** Opens the executor with nothing held and, unless told otherwise, a lease that covers everything. */
  async open(
    options: { held?: readonly Assignment[]; units?: readonly UnitOfTargets[]; leaseMs?: number } = {},
  ): Promise<void> {
    await this.executor.open();
    this.#guards.add(this.guardPid());
    this.executor.reconcile(options.held ?? [], (options.units ?? []).map(unitAssignmentOf));
    if (options.leaseMs !== 0) this.executor.lease(monotonicMs() + (options.leaseMs ?? 60_000), 1_000_000);
  }

  /** A node process of its own that holds these attempts: SIGKILL it to crash. `ready` once it has handed them to the guard. */
  async otherNode(
    held: readonly Assignment[],
    leaseMs = 60_000,
    units: readonly UnitOfTargets[] = [],
  ): Promise<{ pid: number; crash(): Promise<void> }> {
    const words = [this.dataDir, JSON.stringify(held), String(leaseMs), JSON.stringify(units)];
    const node = Bun.spawn([process.execPath, join(import.meta.dir, "node-main.ts"), ...words], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    const reader = node.stdout.getReader();
    const { value } = await reader.read();
    if (value === undefined || !new TextDecoder().decode(value).startsWith("ready"))
      throw new Error("the other node did not start");
    this.#guards.add(this.guardPid());
    return {
      pid: node.pid,
      crash: async () => {
        node.kill("SIGKILL");
        await node.exited;
        await reader.cancel();
      },
    };
  }

  guardPid(): number {
    return (JSON.parse(readFileSync(join(this.dataDir, "guard.json"), "utf8")) as { pid: number }).pid;
  }

  assignment(spec: Spec, more: { job?: number; task?: number; attempt?: number; target?: string } = {}): Assignment {
    return {
      job: jobId(more.job ?? 1),
      task: more.task ?? 0,
      attempt: more.attempt ?? 1,
      fence: this.#nextFence++,
      spec,
      point: spec.count === undefined ? undefined : { index: more.task ?? 0 },
      target: more.target,
    };
  }

  /** Tasks of its own for each of the targets, of one unit. */
  unit(spec: Spec, targets: readonly string[], first = 0): UnitOfTargets {
    return { job: 1, first, fence: this.#nextFence++, targets, spec };
  }

  /** Runs one shell attempt to its report. */
  async run(
    spec: Spec,
    more: { job?: number; task?: number; attempt?: number; target?: string } = {},
  ): Promise<Report> {
    const assignment = this.assignment(spec, more);
    this.executor.assign([assignment]);
    return this.reportOf(assignment);
  }

  reportOf(name: AttemptName, timeoutMs?: number): Promise<Report> {
    return until(
      `a report of ${name.job}.${name.task}.${name.attempt} (messages: ${this.messages.join("; ")})`,
      () =>
        this.reports.find(
          (report) => report.job === name.job && report.task === name.task && report.attempt === name.attempt,
        ),
      timeoutMs,
    );
  }

  /** The text of an attempt's log. */
  async logText(name: AttemptName, stream?: "stdout" | "stderr"): Promise<string> {
    const shelf = new PackShelf(this.dataDir, 7);
    const page = await shelf.read(7, { ...name, stream, offset: 0, maxBytes: 1 << 30 });
    shelf.close();
    return Buffer.concat(page.chunks.map((chunk) => chunk.bytes)).toString();
  }

  /** The number that a task wrote to a file. */
  pidIn(path: string): Promise<number> {
    return until(`a pid in ${path}`, () => {
      const pid = existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
      return pid > 0 && pid;
    });
  }

  path(name: string): string {
    return join(this.dataDir, name);
  }

  /** Processes that carry this data directory's marker. */
  marked(): number[] {
    const marker = `SKEIN_GUARD=${placesOf(this.dataDir).marker}:`;
    return readdirSync("/proc")
      .map(Number)
      .filter((pid) => {
        try {
          return pid > 0 && readFileSync(`/proc/${pid}/environ`, "latin1").includes(marker);
        } catch {
          return false;
        }
      });
  }

  /** Ends everything and throws when a process of an attempt, or a guard, is left. */
  async close(): Promise<void> {
    this.logDown = false;
    try {
      this.#guards.add(this.guardPid());
    } catch {
      // the guard has gone by itself
    }
    this.executor.lease(monotonicMs() + 60_000, 1_000_000);
    await this.executor.close();
    for (const pid of this.#guards) {
      // A guard with work stays after the goodbye: told to end, it kills what is left.
      if (isAlive(pid)) process.kill(pid, "SIGTERM");
      await until(`the end of guard ${pid}`, () => !isAlive(pid));
    }
    // What the guard killed as it ended needs a moment to be gone; what stays is left behind.
    let left = this.marked();
    await until("the end of all processes", () => (left = this.marked()).length === 0, 5000).catch(() => undefined);
    rmSync(this.dataDir, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`processes left: ${left.join(", ")}`);
  }
}
