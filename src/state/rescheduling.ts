import { limits } from "../lib/limits.ts";
import type { Refusal } from "../lib/outcome.ts";
import type { ApplyContext } from "./command.ts";
import { definitionOf, type FormerRules, formerOf, type ScheduleRules } from "./schedules.ts";
import { allNodes } from "./tables/node.ts";
import type { StoredSchedule } from "./tables/schedule.ts";
import type { ReadTx } from "./tx.ts";

/**
 * Since when (epoch ms) a change of schedules holds. By the state's clock, which a leader whose own is behind does not put back: what came before a schedule was set would be made up. A mesh of
 * one node has no other clock to believe than its host's, and where that was ahead for a while the state's stays ahead: schedules would be silent until real time has come as far (J4).
 */
export function changesAt(tx: ReadTx, { at, stampedAt }: Pick<ApplyContext, "at" | "stampedAt">): number {
  return stampedAt < at && allNodes(tx).length === 1 ? stampedAt : at;
}

/**
 * What a schedule's former rules are once others hold from `at` on: its instants up to then that are not dealt with yet are still dealt with by what held when they came. undefined: it was
 * changed too often for its owner to follow.
 */
export function formerAt(row: StoredSchedule, at: number, next: ScheduleRules | undefined): string | null | undefined {
  const former = formerOf(row);
  const last = former.at(-1);
  // Nothing of it lies between: what held since then held for no instant.
  if (at <= (last?.until ?? row.watermark)) return row.former;
  const { rules } = definitionOf(row);
  const isSame = next === undefined || JSON.stringify(next) === JSON.stringify(rules);
  const held: FormerRules = { until: at, paused: row.paused === 1, ...(isSame ? {} : { rules }) };
  // What held before the last change has gone on: that one was of other things.
  const goesOn = last !== undefined && last.rules === undefined && last.paused === held.paused;
  const all = [...(goesOn ? former.slice(0, -1) : former), held];
  const withRules = all.filter((one) => one.rules !== undefined).length;
  const isTooOften = withRules > limits.scheduleChangesAhead || all.length > limits.schedulePausesAhead;
  return isTooOften ? undefined : JSON.stringify(all);
}

/** Why a schedule is not changed once more: see {@link formerAt}. */
export function changedTooOften({ name }: StoredSchedule): Refusal {
  const message = `schedule ${name} was changed too often since it last dealt with an instant (one that waits for its jitter holds up the others): wait until it has, or remove it`;
  return { code: "conflict", message };
}
