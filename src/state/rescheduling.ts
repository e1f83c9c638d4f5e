import { limits } from "../lib/limits.ts";
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
  const last = former.at(-1)?.until ?? row.watermark;
  // Nothing of it lies between: what held since then held for no instant.
  if (at <= last) return row.former;
  if (former.length >= limits.scheduleChangesAhead) return undefined;
  const { rules } = definitionOf(row);
  const isSame = next === undefined || JSON.stringify(next) === JSON.stringify(rules);
  const held: FormerRules = { until: at, paused: row.paused === 1, ...(isSame ? {} : { rules }) };
  return JSON.stringify([...former, held]);
}
