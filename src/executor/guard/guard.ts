import type { UnixSocketListener } from "bun";
import { chmodSync, rmSync } from "node:fs";
import { Fault } from "../../lib/fault.ts";
import { limits } from "../../lib/limits.ts";
import type { Report } from "../../state/types.ts";
import { monotonicMs, wallMs } from "../../lib/clock.ts";
import { disowned } from "../identity.ts";
import { attemptKey, nameOf } from "../names.ts";
import { PackWriter } from "../pack-writer.ts";
import type { AttemptName } from "../types.ts";
import { AnsibleGroup } from "./ansible-group.ts";
import { Attempt, type AttemptContext, type RunningAttempt } from "./attempt.ts";
import { Cgroups } from "./cgroup.ts";
import { Channel } from "./channel.ts";
import {
  batchReports,
  type FromGuard,
  groupsKnown,
  guardProtocol,
  heldInputKnown,
  type Start,
  type Started,
  type ToGuard,
} from "./frames.ts";
import { clearLeftovers } from "./leftovers.ts";
import { HttpAttempt } from "./http-attempt.ts";
import { GuardLease } from "./lease.ts";
import { Lock } from "./lock.ts";
import { Outbox, type Running } from "./outbox.ts";
import { chooseSocket, type Places, placesOf, writeGuardFile } from "./places.ts";
import { bootId, bootTicks, processStartTime } from "./processes.ts";
import { Scratch } from "./scratch.ts";
import { Sentinel } from "./sentinel.ts";
import { SshAttempt } from "./ssh-attempt.ts";
import { Sweeper } from "./sweep.ts";

/**
 * The guard's whole life (J3), for the hidden verb `skein guard --data DIR`. Resolves with the exit code when nothing
 * runs and no node will come: 0, or 1 when another guard owns the directory. Throws Fault "data".
 */
export async function runGuard(options: { readonly dataDir: string }): Promise<number> {
  const places = placesOf(options.dataDir);
  process.chdir("/"); // holds no file system busy
  const lock = await takeLock(places);
  if (lock === undefined) return 1;
  const guard = new Guard(places, process.env);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => guard.end());
  process.on("SIGHUP", () => {});
  await guard.run();
  lock.release();
  return 0;
}

/** The one before may be on its way out: then the lock is free in a moment. */
async function takeLock(places: Places): Promise<Lock | undefined> {
  const deadline = monotonicMs() + lockWaitMs;
  while (true) {
    const lock = Lock.take(places.lock);
    if (lock !== undefined) return lock;
    if (monotonicMs() >= deadline) {
      say(`another guard owns ${places.dataDir}`);
      return undefined;
    }
    await Bun.sleep(20);
  }
}

const lockWaitMs = 1_000;

/** Lines for DIR/guard.log. */
function say(message: string): void {
  process.stderr.write(`${new Date(wallMs()).toISOString()} guard ${process.pid}: ${message}\n`);
}

/** Owns the work of one data directory: nothing starts without a lease, nothing outlives it, no result is told before it is kept. */
class Guard {
  readonly #places: Places;
  readonly #context: AttemptContext;
  readonly #outbox: Outbox;
  readonly #packs: PackWriter;
  readonly #scratch: Scratch;
  readonly #sweeper: Sweeper;
  readonly #sentinel = new Sentinel(say);
  readonly #lease = new GuardLease(() => this.#onLeaseEnded());
  readonly #attempts = new Map<string, RunningAttempt>();
  /** Of attempts that run here, or whose results wait, by their keys: see identityOf(). */
  readonly #identities = new Map<string, string>();
  /** Keys of attempts that end because they were begun for other tasks. */
  readonly #disowned = new Set<string>();
  /** Since the last turn, to be told in one frame. */
  #untold: Report[] = [];
  /** Attempts that have not been announced as started, oldest first. */
  #unannounced: RunningAttempt[] = [];
  #announcer: ReturnType<typeof setTimeout> | undefined;
  #node: Channel | undefined;
  /** See FromGuard "listed". */
  #exact: boolean;
  /** The node said goodbye: it is not expected back. */
  #leaving = false;
  /** Somebody ends this process. */
  #ending = false;
  #onDone: () => void = () => {};

  constructor(places: Places, inherited: Readonly<Record<string, string | undefined>>) {
    this.#places = places;
    this.#sweeper = new Sweeper(places.marker);
    this.#packs = new PackWriter(places.dataDir, "g");
    this.#scratch = new Scratch(places.scratch);
    this.#context = {
      places,
      scratch: this.#scratch,
      inherited,
      sweeper: this.#sweeper,
      packs: this.#packs,
      cgroups: new Cgroups(places.marker, say),
      log: say,
    };
    this.#outbox = new Outbox(places.outbox, bootId(), say);
    this.#exact = this.#outbox.restored.exact;
  }

  async run(): Promise<void> {
    await this.#takeOver();
    const done = new Promise<void>((resolve) => {
      this.#onDone = resolve;
    });
    const listener = this.#listen();
    // Whoever started this guard is about to connect; when nobody does, there is nothing to stay for.
    const alone = setTimeout(() => this.#endIfDone(), limits.guardStartMs);
    await done;
    clearTimeout(alone);
    clearTimeout(this.#announcer);
    listener.stop(true);
    rmSync(this.#places.file, { force: true });
    this.#lease.close();
    await this.#sweeper.idle();
    this.#packs.close();
    this.#outbox.close(this.#exact);
    this.#scratch.close();
  }

  /** Ends all work and the guard: the machine is going down, or a person means this process. */
  end(): void {
    say("told to end: all work is killed");
    this.#ending = true;
    this.#killAll();
    this.#endIfDone();
  }

  /** What an earlier guard left running when it was killed is ended here and now, and told as lost. */
  async #takeOver(): Promise<void> {
    const { restored } = this.#outbox;
    await clearLeftovers(restored, this.#places);
    for (const running of restored.running) {
      this.#outbox.addFinished(
        lostReport(running, running.startedAt, "its guard was killed while it ran, and what was left of it then"),
      );
    }
    if (restored.running.length > 0)
      say(`killed what ${restored.running.length} attempts of an earlier guard had left`);
  }

  #listen(): UnixSocketListener<Channel> {
    const socket = chooseSocket(this.#places);
    rmSync(socket, { force: true }); // the lock is ours: whoever made it is dead
    const mask = process.umask(0o177);
    const listener = Bun.listen<Channel>({
      unix: socket,
      socket: {
        open: (peer) => {
          peer.data = new Channel(peer);
        },
        data: (peer, bytes) => this.#onBytes(peer.data, bytes),
        drain: (peer) => peer.data.flush(),
        close: (peer) => this.#onClosed(peer.data),
        error: () => {}, // followed by close
      },
    });
    process.umask(mask);
    chmodSync(socket, 0o600);
    writeGuardFile(this.#places, { version: 1, marker: this.#places.marker, pid: process.pid, socket });
    return listener;
  }

  #onBytes(from: Channel, bytes: Uint8Array): void {
    this.#lease.check();
    try {
      for (const frame of from.receive(bytes)) this.#onFrame(from, frame as ToGuard);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      say(`closed a connection: ${error.message}`);
      from.destroy();
    }
  }

  #onFrame(from: Channel, frame: ToGuard): void {
    if (frame.kind === "hello") return this.#welcome(from);
    if (from !== this.#node) return undefined; // a node that a newer one has taken the place of
    switch (frame.kind) {
      case "start":
        return this.#startAttempt(frame.start);
      case "stop":
        for (const name of frame.names) this.#attempts.get(attemptKey(name))?.stop("cancelled");
        return undefined;
      case "extend":
        for (const one of frame.timeouts) this.#attempts.get(attemptKey(one))?.extend(one.timeoutMs);
        return undefined;
      case "drop":
        for (const name of frame.names) this.#attempts.get(attemptKey(name))?.kill("dropped");
        return this.#forget(frame.names.filter((name) => !this.#attempts.has(attemptKey(name))));
      case "lease":
        this.#lease.renew(frame.endsAt);
        return this.#send({ kind: "clock", clock: monotonicMs() });
      case "ack":
        return this.#forget(frame.names);
      case "lost":
        return this.#keepLost(frame.names);
      case "disown":
        return this.#disown(frame.names);
      case "goodbye":
        this.#leaving = true;
        from.end();
        return undefined;
      default:
        return undefined; // of a later release: see guardProtocol
    }
  }

  /** Tells the node all that is known here; what happens from now on is told as it happens. */
  #welcome(from: Channel): void {
    if (this.#node !== undefined && this.#node !== from) this.#node.end();
    this.#node = from;
    this.#leaving = false;
    this.#untold = [];
    this.#send({ kind: "hello", protocol: guardProtocol, pid: process.pid, clock: monotonicMs() });
    for (const reports of batchReports([...this.#outbox.finished.values()])) this.#send({ kind: "finished", reports });
    this.#send({
      kind: "listed",
      running: [...this.#attempts.values()].map(startedOf),
      exact: this.#exact,
      identities: Object.fromEntries(this.#identities),
      knows: [groupsKnown, heldInputKnown],
    });
  }

  #startAttempt(start: Start): void {
    const names: readonly AttemptName[] = start.ansible?.members ?? [start];
    const isKnown = (name: AttemptName): boolean =>
      this.#attempts.has(attemptKey(name)) || this.#outbox.finished.has(attemptKey(name));
    if (names.some(isKnown)) return; // said twice
    if (this.#ending || !this.#lease.check()) {
      this.#send({ kind: "refused", names: names.map(nameOf) });
      return;
    }
    const before = bootTicks();
    const { pid, attempts, over } = begin(start, this.#context);
    const head = pid === undefined ? undefined : { pid, ...startTimesOf(pid, before, bootTicks()) };
    if (pid !== undefined) {
      this.#sentinel.watch(pid);
      void over.then(() => this.#sentinel.forget(pid));
    }
    for (const attempt of attempts) {
      const key = attemptKey(attempt.name);
      this.#attempts.set(key, attempt);
      if (start.identity !== undefined) this.#identities.set(key, start.identity);
      if (head !== undefined) this.#outbox.addRunning({ ...attempt.name, ...head, startedAt: attempt.startedAt });
      this.#unannounced.push(attempt);
      void attempt.ended.then((report) => this.#onEnded(attempt, report));
    }
    this.#announcer ??= setTimeout(() => this.#announce(), limits.startedAfterMs);
  }

  #onEnded(attempt: RunningAttempt, report: Report | undefined): void {
    const key = attemptKey(attempt.name);
    this.#attempts.delete(key);
    const isDisowned = this.#disowned.delete(key);
    if (report === undefined) this.#forget([attempt.name]);
    else this.#tell(isDisowned ? disowned(report) : report);
    this.#endIfDone();
  }

  #forget(names: readonly AttemptName[]): void {
    for (const name of names) this.#identities.delete(attemptKey(name));
    this.#outbox.forget(names);
  }

  /** Their node's process may end before it has told the log, so that they are lost is kept here. */
  #disown(names: readonly AttemptName[]): void {
    for (const name of names) {
      const key = attemptKey(name);
      const attempt = this.#attempts.get(key);
      const report = this.#outbox.finished.get(key);
      if (attempt !== undefined) {
        this.#disowned.add(key);
        attempt.kill("lost");
      } else if (report !== undefined) this.#tell(disowned(report));
    }
  }

  /** Kept first, told then. */
  #tell(report: Report): void {
    this.#outbox.addFinished(report);
    if (this.#node === undefined) return; // the next hello lists it
    this.#untold.push(report);
    if (this.#untold.length === 1) {
      setImmediate(() => {
        const reports = this.#untold;
        this.#untold = [];
        for (const batch of batchReports(reports)) this.#send({ kind: "finished", reports: batch });
      });
    }
  }

  #keepLost(names: readonly AttemptName[]): void {
    for (const name of names) {
      const key = attemptKey(name);
      if (this.#attempts.has(key) || this.#outbox.finished.has(key)) continue;
      this.#tell(lostReport(name, wallMs(), "nothing is known of it after a crash of its guard or its host"));
    }
    this.#exact = true; // all that the past may hide is a result now
  }

  /** Announces those that are old enough and still run; young ones wait for the next time. */
  #announce(): void {
    this.#announcer = undefined;
    const now = wallMs();
    const young = this.#unannounced.findIndex(
      (attempt) => now - attempt.startedAt < limits.startedAfterMs && now >= attempt.startedAt,
    );
    const due = this.#unannounced.splice(0, young < 0 ? this.#unannounced.length : young);
    const running = due.filter((attempt) => this.#attempts.get(attemptKey(attempt.name)) === attempt);
    if (running.length > 0) this.#send({ kind: "started", attempts: running.map(startedOf) });
    if (this.#unannounced.length > 0) this.#announcer = setTimeout(() => this.#announce(), limits.startedAfterMs / 2);
  }

  #onLeaseEnded(): void {
    if (this.#attempts.size > 0) say(`the lease has ended: ${this.#attempts.size} attempts are killed`);
    this.#killAll();
    this.#endIfDone();
  }

  #killAll(): void {
    for (const attempt of this.#attempts.values()) attempt.kill("lost");
  }

  #onClosed(from: Channel): void {
    if (from !== this.#node) return;
    this.#node = undefined;
    this.#endIfDone();
  }

  /** Without a node and work there is nothing to guard, once no node can come back under the lease or will not. */
  #endIfDone(): void {
    if (this.#attempts.size > 0) return;
    const isAlone = this.#node === undefined && !this.#lease.check();
    if (isAlone || this.#leaving || this.#ending) this.#onDone();
  }

  #send(frame: FromGuard): void {
    this.#node?.send(frame);
  }
}

/** See {@link Running}. Where containers are shown an uptime of their own, the clock says nothing of start times, and the kernel is asked. */
function startTimesOf(pid: number, before: number | undefined, after: number | undefined): Pick<Running, "startTimes"> {
  if (isBootClockTrue && before !== undefined && after !== undefined) return { startTimes: [before, after] };
  const startTime = processStartTime(pid);
  return startTime === undefined ? {} : { startTimes: [startTime, startTime] };
}

const isBootClockTrue = (processStartTime(process.pid) ?? Infinity) <= (bootTicks() ?? -1);

/** What a start has begun: a process, a request, a command on another host, or a process for several attempts. */
interface Begun {
  readonly pid: number | undefined;
  readonly attempts: readonly RunningAttempt[];
  /** Nothing of the process is left. */
  readonly over: Promise<unknown>;
}

function begin(start: Start, context: AttemptContext): Begun {
  if (start.ansible !== undefined) {
    const { pid, members, over } = new AnsibleGroup(start, start.ansible, context);
    return { pid, attempts: members, over };
  }
  const attempt = beginOne(start, context);
  return { pid: attempt.pid, attempts: [attempt], over: attempt.ended };
}

function beginOne(start: Start, context: AttemptContext): RunningAttempt {
  if (start.ssh !== undefined) return new SshAttempt(start, start.ssh, context);
  return start.http === undefined ? new Attempt(start, context) : new HttpAttempt(start, start.http, context);
}

function startedOf(attempt: RunningAttempt): Started {
  return { ...attempt.name, startedAt: attempt.startedAt };
}

function lostReport(name: AttemptName, startedAt: number, reason: string): Report {
  return {
    job: name.job,
    task: name.task,
    attempt: name.attempt,
    state: "lost",
    exitCode: null,
    signal: null,
    reason,
    startedAt,
    finishedAt: wallMs(),
    tail: new Uint8Array(0),
    log: undefined,
  };
}
