import { renderSchedule } from "../state/schedule-rendering.ts";
import type { ScheduleDetailView, ScheduleView } from "../state/answers.ts";
import type { DeclaredSchedule } from "./cron-apply-files.ts";
import { isOver } from "./cron-over.ts";

/** What is to be done so that the mesh has what files declare. */
export interface ApplyPlan {
  readonly added: readonly DeclaredSchedule[];
  readonly changed: readonly PlannedChange[];
  readonly removed: readonly string[];
  /** New, or changed in what is not its time, and without an instant to come: the mesh would refuse it, and all others with it. */
  readonly over: readonly DeclaredSchedule[];
  /** So many are as they are declared. */
  readonly same: number;
}

/** A schedule that is there, and is declared otherwise. */
export interface PlannedChange {
  readonly declared: DeclaredSchedule;
  readonly fields: readonly FieldChange[];
}

/** undefined: it does not say that. */
export interface FieldChange {
  /** "cron", "labels.team", "job.retries.max" */
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** `views`: those of the declared ones that are there, with their jobs. `now`: epoch ms. */
export function planOf(
  declared: readonly DeclaredSchedule[],
  views: ReadonlyMap<string, ScheduleView>,
  removed: readonly string[],
  now: number,
): ApplyPlan {
  const added: DeclaredSchedule[] = [];
  const changed: PlannedChange[] = [];
  const over: DeclaredSchedule[] = [];
  const isNoMore = ({ read }: DeclaredSchedule): boolean => isOver(read.definition.rules.timing, read.name, now);
  for (const one of declared) {
    const view = views.get(one.read.name);
    if (view === undefined) {
      (isNoMore(one) ? over : added).push(one);
      continue;
    }
    const fields = changesOf(view, one);
    if (fields.length === 0) continue;
    // Whoever moves it into the past has made a mistake, which the mesh tells.
    const isMoved = fields.some(({ path }) => timingKeys.has(path));
    if (!isMoved && isNoMore(one)) over.push(one);
    else changed.push({ declared: one, fields });
  }
  return { added, changed, removed, over, same: declared.length - added.length - changed.length - over.length };
}

/** What says when it is due. */
const timingKeys: ReadonlySet<string> = new Set(["cron", "every", "at", "tz", "start", "end"]);

/** Both are told as the mesh would show them, so that defaults and other ways to write the same make no difference. */
function changesOf(view: ScheduleView, { read }: DeclaredSchedule): FieldChange[] {
  const after = leavesOf(shownAs(read, view.paused));
  const before = leavesOf(writtenPart(view));
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((path) => {
    const [old, next] = [before.get(path), after.get(path)];
    return sameText(old) === sameText(next) ? [] : [{ path, before: old, after: next }];
  });
}

/** A schedule of a file as the mesh would show it. One that does not say whether it is paused stays as it is. */
export function shownAs({ name, definition, paused }: DeclaredSchedule["read"], isPaused = false): object {
  return renderSchedule(name, definition, paused ?? isPaused);
}

/** What only the mesh says of a schedule. */
const meshKeys: ReadonlySet<string> = new Set<keyof ScheduleDetailView>([
  "id",
  "revision",
  "state",
  "mesh_paused",
  "runs",
  "next",
  "no_next",
  "last",
  "failing",
  "set_at",
  "set_by",
  "node",
  "upcoming",
  "upcoming_end",
]);

function writtenPart(view: ScheduleView): object {
  return Object.fromEntries(Object.entries(view).filter(([key]) => !meshKeys.has(key)));
}

/** Values by their paths. Lists are values: what moves in one has no place of its own. */
function leavesOf(value: object, root = "", found = new Map<string, unknown>()): Map<string, unknown> {
  for (const [key, one] of Object.entries(value) as [string, unknown][]) {
    const path = root === "" ? key : `${root}.${key}`;
    const isMap = typeof one === "object" && one !== null && !Array.isArray(one);
    if (isMap && Object.keys(one).length > 0) leavesOf(one, path, found);
    else if (one !== undefined) found.set(path, one);
  }
  return found;
}

/** Of equal values, whatever the order of their keys. */
function sameText(value: unknown): string | undefined {
  return JSON.stringify(value, (_key, one: unknown) =>
    typeof one === "object" && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  );
}
