import type { Problem } from "../lib/outcome.ts";

/** A schedule as people write it, with the keys that those of other systems come to. */
export interface WrittenSchedule {
  name: string;
  description?: string;
  cron?: string;
  every?: string;
  at?: string;
  tz?: string;
  start?: string;
  end?: string;
  jitter?: string;
  missed?: Missed;
  catch_up?: string;
  overlap?: Overlap;
  paused?: boolean;
  limit?: number;
  history?: number;
  labels?: Record<string, string>;
  owner?: string;
  job?: Record<string, unknown>;
}

export const missedWays = ["latest", "all", "skip"] as const;
export type Missed = (typeof missedWays)[number];
export const overlapWays = ["skip", "queue", "queue_all", "replace", "allow"] as const;
export type Overlap = (typeof overlapWays)[number];

/** What a person says about all schedules of a file. */
export interface ImportOptions {
  /** Its name, for paths and guesses. */
  readonly file: string;
  /** Put before every name. */
  readonly prefix?: string | undefined;
  /** The zone of what names none. */
  readonly tz?: string | undefined;
  readonly overlap?: Overlap | undefined;
  readonly missed?: Missed | undefined;
  /** Which nodes may run the jobs. */
  readonly on?: string | undefined;
}

/** A schedule that was read. */
export interface ImportedSchedule {
  readonly spec: WrittenSchedule;
  /** "FILE:LINE", or the file and a path in it. */
  readonly where: string;
  readonly former?: FormerNames;
}

/** Of what has its name by what else its file holds: how it may be called in the mesh from a time when that was other things. */
export interface FormerNames {
  readonly names: readonly string[];
  /** "job.run": a schedule of such a name is this one if these are equal. */
  readonly keys: readonly string[];
}

/** What a file comes to: schedules without a problem, and all problems, with which nothing is to be set of it. Notes say what is otherwise than it was. */
export interface ImportRead {
  readonly schedules: readonly ImportedSchedule[];
  readonly problems: readonly Problem[];
  readonly notes: readonly Problem[];
}

/** Gathers what is read, so that all that is wrong with a file is told at once. */
export class Gathering implements ImportRead {
  readonly schedules: ImportedSchedule[] = [];
  readonly problems: Problem[] = [];
  readonly notes: Problem[] = [];

  /** Reads one schedule; kept is what came without a problem. */
  one(read: () => ImportedSchedule | undefined): void {
    const before = this.problems.length;
    const schedule = read();
    if (schedule !== undefined && this.problems.length === before) this.schedules.push(schedule);
  }

  problem(path: string, message: string): void {
    this.problems.push({ path, message });
  }

  note(path: string, message: string): void {
    this.notes.push({ path, message });
  }
}
