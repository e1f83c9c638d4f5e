import { memoOfTexts } from "../lib/memo.ts";
import type { Timing } from "../lib/schedule-timing.ts";
import { limits } from "../lib/limits.ts";
import type { StoredSchedule } from "./tables/schedule.ts";
import type { Spec } from "./types.ts";

/** What a schedule says, as its row holds it. Reading what people write is commands/schedule-schema.ts. */
export interface Definition {
  readonly description?: string;
  readonly rules: ScheduleRules;
  readonly overlap?: Overlap;
  /** It ends after so many jobs of its instants. */
  readonly limit?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly tags?: readonly string[];
  /** Whom to ask about it; nothing goes by it. */
  readonly owner?: string;
  /** Lines of its history that are kept. */
  readonly history?: number;
  /** Normalised; what its targets and its bundle stand for is found out anew for each fire. */
  readonly job?: Spec;
  readonly template?: string;
  readonly params?: Readonly<Record<string, unknown>>;
}

/** What decides which instants it has, and what becomes of those that were not looked at in time. */
export interface ScheduleRules {
  readonly timing: Timing;
  readonly jitterMs?: number;
  readonly missed?: Missed;
  /** What was missed longer ago is never made up. */
  readonly catchUpMs?: number;
  /** With `missed: all`: so many are made up at once, the newest ones. */
  readonly missedMost?: number;
  readonly calendars?: readonly CalendarUse[];
}

/** A calendar in which the schedule does not fire, or (`only`) outside of which it does not. */
export interface CalendarUse {
  readonly name: string;
  readonly only?: true;
}

export type Missed = "latest" | "all" | "skip";
export type Overlap = "skip" | "queue" | "queue_all" | "replace" | "allow";

/** What held until an instant, that one included; without `rules`: those of the next in the list, at last the present ones. */
export interface FormerRules {
  /** Epoch ms. */
  readonly until: number;
  readonly paused: boolean;
  readonly rules?: ScheduleRules;
}

export const scheduleDefaults = {
  tz: "UTC",
  missed: "latest",
  catchUpMs: 3_600_000,
  missedMost: 100,
  overlap: "skip",
  history: limits.firesKept,
} as const;

const read = memoOfTexts((text) => JSON.parse(text) as Definition, { entries: 4096, textLength: 4096 });

/** Of a schedule's row; shared by all who read the same. */
export function definitionOf({ definition }: Pick<StoredSchedule, "definition">): Definition {
  return read(definition);
}

/** Of a schedule's row. */
export function formerOf({ former }: Pick<StoredSchedule, "former">): readonly FormerRules[] {
  return former === null ? [] : (JSON.parse(former) as FormerRules[]);
}

/** How much later than its instants it fires, in [0, jitterMs): by its name alone, so that it is always the same. FNV-1a, mixed once more for the high bits. */
export function jitterOf(name: string, jitterMs: number | undefined): number {
  if (jitterMs === undefined || jitterMs === 0) return 0;
  let hash = 0x811c9dc5;
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return Math.floor((((hash ^ (hash >>> 16)) >>> 0) / 0x1_0000_0000) * jitterMs);
}

/** Its job can be made of what the schedule holds, without a look at templates, inventories or bundles. */
export function isPlain(definition: Definition): definition is Definition & { readonly job: Spec } {
  const { job } = definition;
  return job !== undefined && job.targets === undefined && job.bundle === undefined;
}
