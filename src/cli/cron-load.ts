import { ApiError } from "../client/errors.ts";
import type { ScheduleSpec } from "../client/schedule-spec.ts";
import { abreast } from "../lib/abreast.ts";
import { monotonicMs, wallMs } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import { formatDuration } from "../lib/units.ts";
import type { FireView } from "../state/answers.ts";
import type { Session } from "./cli.ts";
import { type Due, FireLateness, reaches } from "./fire-lateness.ts";
import { Histogram } from "./histogram.ts";

/** Schedules that are made to be measured. */
export interface CronLoad {
  readonly count: number;
  readonly everyMs: number;
  /** By jitter over the interval; otherwise all are due at one instant. */
  readonly isSpread: boolean;
  /** Instants of each that are looked at. */
  readonly instants: number;
}

/** What became of them. */
export interface CronMeasured {
  readonly setMs: number;
  readonly lateness: FireLateness;
  /** Of some jobs: from the moment at which they were due to their start on a node, by the clock of that node. */
  readonly started: Histogram;
}

/** Histories and jobs that are read at once. */
const readsAtOnce = 16;
/** At most so many jobs, evenly chosen, are looked at for when they were started. */
const sampledJobsMax = 500;
/** What is due at the end of the measurement has so long to come, and then counts as missed. */
const patienceMs = 60_000;
const againMs = 200;
const waitStepMs = 1_000;

/** Makes the schedules, waits for their instants, reads all their histories, and removes them, whatever happened. */
export async function measureCron(session: Session, load: CronLoad): Promise<CronMeasured> {
  const names = namesOf(load.count);
  const asked: string[][] = [];
  try {
    return await session.interruptible(async (signal) => {
      const began = monotonicMs();
      for (let at = 0; at < names.length; at += limits.schedulesPerRequest) {
        signal.throwIfAborted();
        const some = names.slice(at, at + limits.schedulesPerRequest);
        asked.push(some);
        await session.client.setSchedules(
          some.map((name) => specOf(name, load)),
          { onlyNew: true },
        );
      }
      const setMs = monotonicMs() - began;
      const due = dueFrom(wallMs(), load);
      await untilPast(session, due.last + (load.isSpread ? load.everyMs : 0), signal);
      const fires = load.count * load.instants;
      const lateness = new FireLateness(due, Math.max(1, Math.ceil(fires / sampledJobsMax)));
      const deadline = monotonicMs() + patienceMs;
      await abreast(names, readsAtOnce, async (name) =>
        lateness.look(await historyOf(session, name, due.last, deadline, signal)),
      );
      return { setMs, lateness, started: await startsOf(session, lateness, signal) };
    });
  } finally {
    for (const some of asked) await remove(session, some);
  }
}

/** Nobody else has them. */
function namesOf(count: number): string[] {
  const mark = `bench-cron-${crypto.randomUUID().slice(0, 8)}`;
  return Array.from({ length: count }, (_, at) => `${mark}-${at}`);
}

function specOf(name: string, { everyMs, isSpread }: CronLoad): ScheduleSpec {
  return {
    name,
    every: formatDuration(everyMs),
    jitter: isSpread ? formatDuration(everyMs) : undefined,
    overlap: "allow",
    history: limits.firesKept,
    job: { driver: "noop", ttl: "10m" },
  };
}

/** What is measured begins after an interval of warming up. */
function dueFrom(now: number, { everyMs, instants }: CronLoad): Due {
  const first = (Math.floor(now / everyMs) + 2) * everyMs;
  return { first, last: first + (instants - 1) * everyMs, everyMs };
}

/** Waits until that instant has passed by this host's clock, and says how long it takes. */
async function untilPast(session: Session, instant: number, signal: AbortSignal): Promise<void> {
  session.io.stderr.write(`measuring for ${Math.ceil((instant - wallMs()) / 1_000)} s\n`);
  for (let leftMs = instant - wallMs(); leftMs > 0; leftMs = instant - wallMs()) {
    signal.throwIfAborted();
    await sleep(Math.min(leftMs, waitStepMs));
  }
}

/** Once it tells of that instant, or when the time is up. */
async function historyOf(
  session: Session,
  name: string,
  last: number,
  deadline: number,
  signal: AbortSignal,
): Promise<readonly FireView[]> {
  for (;;) {
    signal.throwIfAborted();
    const { fires } = await session.client.scheduleFires(name, { limit: limits.firesKept });
    if (reaches(fires, last) || monotonicMs() > deadline) return fires;
    await sleep(againMs);
  }
}

async function startsOf(session: Session, { sample }: FireLateness, signal: AbortSignal): Promise<Histogram> {
  const starts = new Histogram();
  await abreast(sample, readsAtOnce, async ({ job, dueAt }) => {
    signal.throwIfAborted();
    for await (const { started_at: startedAt } of session.client.everyTask(job))
      if (startedAt !== null) starts.add(Math.max(0, Date.parse(startedAt) - dueAt));
  });
  return starts;
}

/** Of a request all are there or none: it may have been refused, or never have come. */
async function remove(session: Session, names: readonly string[]): Promise<void> {
  try {
    await session.client.removeSchedules(names);
  } catch (error) {
    if (!(error instanceof ApiError && error.code === "not-found")) throw error;
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
