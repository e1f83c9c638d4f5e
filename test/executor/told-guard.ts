import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { GuardEvents } from "../../src/executor/guard/client.ts";
import type { Start, Timeout } from "../../src/executor/guard/frames.ts";
import type { Listing } from "../../src/executor/guard/link.ts";
import { openExecutor } from "../../src/executor/run.ts";
import type { AttemptName, ExecutorOptions, UnitEnds } from "../../src/executor/types.ts";
import { monotonicMs } from "../../src/lib/clock.ts";
import type { Fault } from "../../src/lib/fault.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { refuse } from "../../src/lib/outcome.ts";
import type { Report } from "../../src/state/types.ts";
import { report } from "../state/support.ts";

export const wordOf = ({ task, attempt }: AttemptName): string => `${task}.${attempt}`;

/** A guard that does nothing but remember what it is told, and tells of ends when it is asked to. */
export class ToldGuard {
  readonly events: GuardEvents;
  readonly listing: Listing;
  starts: number[] = [];
  readonly started: Start[] = [];
  dropped: string[] = [];
  stopped: string[] = [];
  lost: string[] = [];
  disowned: string[] = [];
  acknowledged: string[] = [];
  timeouts: Timeout[] = [];

  constructor(events: GuardEvents, listing: Partial<Listing>) {
    this.events = events;
    this.listing = {
      running: [],
      finished: [],
      exact: true,
      identities: {},
      knowsGroups: true,
      holdsInput: true,
      ...listing,
    };
  }

  start = (start: Start): void => {
    this.started.push(start);
    this.starts.push(start.task);
  };
  drop = (names: readonly AttemptName[]): number => this.dropped.push(...names.map(wordOf));
  stop = (names: readonly AttemptName[]): number => this.stopped.push(...names.map(wordOf));
  acknowledge = (names: readonly AttemptName[]): number => this.acknowledged.push(...names.map(wordOf));
  declareLost = (names: readonly AttemptName[]): number => this.lost.push(...names.map(wordOf));
  disown = (names: readonly AttemptName[]): number => this.disowned.push(...names.map(wordOf));
  extend = (timeouts: readonly Timeout[]): number => this.timeouts.push(...timeouts);
  lease = (): void => {};
  close = (): Promise<void> => Promise.resolve();

  end(...tasks: number[]): void {
    this.events.onFinished(tasks.map((task) => plain(task)));
  }
}

export const plain = (task: number): Report =>
  report(1, task, 1, "succeeded", { tail: new Uint8Array(0), startedAt: 100 + task, finishedAt: 200 });

/** An executor on a directory of its own, with a guard that was told of the listing. `failures`: of the first attempts to have one. */
export async function rig(listing: Partial<Listing> = {}, more: Partial<ExecutorOptions> = {}, failures: Fault[] = []) {
  const dataDir = mkdtempSync(join(tmpdir(), "skein-units-"));
  const seen = { singles: [] as Report[], units: [] as UnitEnds[], batches: 0, leasesWanted: 0 };
  const guards: ToldGuard[] = [];
  let answer: () => Promise<void> = () => Promise.resolve();
  const executor = openExecutor({
    node: nodeId(7),
    cluster: "c",
    dataDir,
    capacity: { slots: 64, ioTasks: 64 },
    guardCommand: [],
    report: async (reports, units) => {
      await answer();
      seen.batches += 1;
      seen.singles.push(...reports);
      seen.units.push(...units);
    },
    started: () => {},
    secrets: () => Promise.resolve(refuse("not-found", "none")),
    bundle: () => Promise.resolve(refuse("unavailable", "none")),
    mayGiveBack: () => false,
    giveBack: () => Promise.resolve(),
    unwanted: () => new Set(),
    copied: () => Promise.resolve(true),
    log: () => {},
    ...more,
    openGuard: (events) => {
      const failure = failures.shift();
      if (failure !== undefined) return Promise.reject(failure);
      const guard = new ToldGuard(events, listing);
      guards.push(guard);
      events.onOpen(guard);
      return Promise.resolve();
    },
  });
  executor.onLeaseWanted(() => (seen.leasesWanted += 1));
  await executor.open();
  return {
    executor,
    guard: guards[0]!,
    seen,
    lease: (index = 1000) => executor.lease(monotonicMs() + 60_000, index),
    /** How reports are answered from now on. */
    answerWith: (how: () => Promise<void>) => (answer = how),
    async [Symbol.asyncDispose]() {
      await executor.close();
      rmSync(dataDir, { recursive: true });
    },
  };
}

/** Turns of the loop in which what is under way without timers settles. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}
