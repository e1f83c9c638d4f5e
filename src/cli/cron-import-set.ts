import { ApiError } from "../client/errors.ts";
import type { ScheduleSpec } from "../client/schedule-spec.ts";
import { limits } from "../lib/limits.ts";
import type { Problem } from "../lib/outcome.ts";
import type { ScheduleView } from "../state/answers.ts";
import type { Session } from "./cli.ts";
import type { ImportedSchedule, ImportRead } from "./cron-import-types.ts";
import { CliError, exit, exitOfRefusal } from "./exit.ts";

/** All or none, where one request holds them all; of more, those of the requests before one that is refused are set, which is said. */
export async function setImported(
  { client, output }: Session,
  { schedules, notes }: ImportRead,
  replace: boolean,
): Promise<number> {
  const before = replace ? await client.schedulesNamed(schedules.map(({ spec }) => spec.name)) : [];
  const made: { readonly name: string; readonly changed: boolean }[] = [];
  for (let at = 0; at < schedules.length; at += limits.schedulesPerRequest) {
    const some = schedules.slice(at, at + limits.schedulesPerRequest);
    const specs = some.map(({ spec }) => spec as ScheduleSpec);
    try {
      made.push(...(await client.setSchedules(specs, { onlyNew: !replace })));
    } catch (error) {
      throw error instanceof ApiError && Array.isArray(error.details) ? refused(error, some, made.length) : error;
    }
  }
  const changed = made.filter((one) => one.changed).length;
  const pauses = notesOfPauses(schedules, before);
  for (const { path, message } of pauses) output.note(`${path}: ${message}`);
  output.result({
    value: { schedules: made, notes: [...notes, ...pauses] },
    ids: made.map(({ name }) => name),
    table: (out) =>
      out.line(`${counted(changed)} set${changed === made.length ? "" : `, ${made.length - changed} as before`}`),
  });
  return exit.done;
}

/** What was paused here: whether it goes on is what the file says, and where that says nothing somebody has to know that it does not. */
function notesOfPauses(schedules: readonly ImportedSchedule[], before: readonly ScheduleView[]): readonly Problem[] {
  const paused = new Set(before.flatMap((view) => (view.paused ? [view.name] : [])));
  return schedules.flatMap(({ spec: { name, paused: isToBe }, where }) => {
    if (!paused.has(name) || isToBe === true) return [];
    const message =
      isToBe === false
        ? `${name} was paused here, and goes on: the file says so`
        : `${name} is paused here, and stays so, since the file says nothing of it: skein cron resume ${name}`;
    return [{ path: where, message }];
  });
}

/** With the places of the file instead of those of the request. */
function refused(error: ApiError, asked: readonly ImportedSchedule[], made: number): CliError {
  // Of names that are taken as well, which are no mistakes of the input.
  const problems = (error.details as readonly Problem[]).map(({ path, message }) => {
    const [, at, rest] = /^schedules\[(\d+)\]\.?(.*)$/s.exec(path) ?? [];
    const where = asked[Number(at)]?.where;
    return { path: where === undefined ? path : rest === "" ? where : `${where}: ${rest}`, message };
  });
  const before = made === 0 ? "nothing was set" : `${counted(made)} set before this`;
  return new CliError(exitOfRefusal(error.code), `${before}: ${error.message}`, problems);
}

function counted(count: number): string {
  return count === 1 ? "1 schedule was" : `${count} schedules were`;
}
