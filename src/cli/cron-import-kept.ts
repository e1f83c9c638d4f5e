import type { ScheduleView } from "../state/answers.ts";
import { scheduleInput, scheduleName } from "../state/commands/schedule-schema.ts";
import { shownAs } from "./cron-apply-plan.ts";
import type { ImportedSchedule } from "./cron-import-types.ts";

/** What the mesh has by the names of a file, former ones as well. */
export type Present = ReadonlyMap<string, ScheduleView>;

/** All names by which schedules of a file may be there. */
export function namesToLookFor(schedules: readonly ImportedSchedule[]): readonly string[] {
  const names = new Set(schedules.flatMap(({ spec, former }) => [spec.name, ...(former?.names ?? [])]));
  return [...names].filter((name) => scheduleName.safeParse(name).success);
}

/** What is there under a former name keeps that: under its new one it would run beside itself. */
export function keepNames(schedules: readonly ImportedSchedule[], present: Present): readonly ImportedSchedule[] {
  const kept = new Map<ImportedSchedule, string>();
  const claimed = new Set<string>();
  const wanted = new Set(schedules.map(({ spec }) => spec.name));
  const keep = (one: ImportedSchedule, names: readonly string[]): void => {
    const name = kept.has(one) ? undefined : names.find((name) => !claimed.has(name) && isThis(one, present.get(name)));
    if (name === undefined) return;
    kept.set(one, name);
    claimed.add(name);
  };
  for (const one of schedules) keep(one, [one.spec.name]);
  for (const one of schedules)
    keep(
      one,
      (one.former?.names ?? []).filter((name) => !wanted.has(name)),
    );
  return schedules.map((one) => ({ ...one, spec: { ...one.spec, name: kept.get(one) ?? one.spec.name } }));
}

function isThis({ spec, former }: ImportedSchedule, view: ScheduleView | undefined): boolean {
  if (view === undefined || former === undefined) return false;
  const read = scheduleInput.safeParse(spec);
  if (!read.success) return false;
  const shown = shownAs(read.data);
  return former.keys.every((path) => textAt(shown, path) === textAt(view, path));
}

function textAt(value: object, path: string): string | undefined {
  const found = path
    .split(".")
    .reduce<unknown>((part, key) => (part as Readonly<Record<string, unknown>>)?.[key], value);
  return JSON.stringify(found);
}
