/** What the leader sees of the level (S2). Times are on its monotonic clock. */
export interface LevelInput {
  /** Of the cluster. */
  readonly level: number;
  /** What each member said last that it understands: learners and absent ones included. */
  readonly understood: readonly number[];
  /** A person keeps it from being raised. */
  readonly held: boolean;
  /** What the last look gave. */
  readonly before: LevelWatch | undefined;
  readonly now: number;
}

/** A level that could be the cluster's, and since when that has held without a break. */
export interface LevelWatch {
  readonly level: number;
  readonly since: number;
}

export interface LevelPlan {
  readonly watch: LevelWatch | undefined;
  /** Propose this level now. */
  readonly raiseTo: number | undefined;
}

/** For so long every member must have understood the level: a version that crashes at its start is rolled back by then. */
export const levelSettleMs = 60_000;

/** The lowest level of all members becomes the cluster's once that has held for levelSettleMs; it never falls. */
export function planLevel({ level, understood, held, before, now }: LevelInput): LevelPlan {
  const lowest = Math.min(...understood);
  if (held || understood.length === 0 || lowest <= level) return { watch: undefined, raiseTo: undefined };
  const watch = before?.level === lowest ? before : { level: lowest, since: now };
  return { watch, raiseTo: now - watch.since >= levelSettleMs ? lowest : undefined };
}
