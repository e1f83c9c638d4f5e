import { ApiError } from "../client/errors.ts";
import type { ScheduleSpec } from "../client/schedule-spec.ts";
import { limits } from "../lib/limits.ts";
import type { Problem } from "../lib/outcome.ts";
import type { Session } from "./cli.ts";
import type { Present } from "./cron-import-kept.ts";
import { noMoreIn } from "./cron-import-source.ts";
import type { ImportedSchedule, ImportRead } from "./cron-import-types.ts";
import { CliError, exit, exitOfRefusal } from "./exit.ts";

interface SetOptions {
  readonly replace: boolean;
  readonly present: Present;
  /** undefined: nobody knows what else came from there. */
  readonly source: string | undefined;
}

/** So many of a kind are shown. */
const shown = 100;

/** All or none, where one request holds them all; of more, those of the requests before one that is refused are set, which is said. */
export async function setImported(
  session: Session,
  { schedules, notes }: ImportRead,
  { replace, present, source }: SetOptions,
): Promise<number> {
  const { client, output } = session;
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
  const pauses = replace ? notesOfPauses(schedules, present) : [];
  const left = source === undefined ? [] : await noMoreIn(session, source, made);
  for (const { path, message } of pauses.slice(0, shown)) output.note(`${path}: ${message}`);
  if (pauses.length > shown) output.note(`and ${pauses.length - shown} more are or were paused`);
  if (left.length > 0) output.note(leftText(left, source!));
  output.result({
    value: { schedules: made, notes: [...notes, ...pauses], left },
    ids: made.map(({ name }) => name),
    table: (out) =>
      out.line(`${counted(changed)} set${changed === made.length ? "" : `, ${made.length - changed} as before`}`),
  });
  return exit.done;
}

/** What was paused here: whether it goes on is what the file says, and where that says nothing somebody has to know that it does not. */
function notesOfPauses(schedules: readonly ImportedSchedule[], present: Present): readonly Problem[] {
  return schedules.flatMap(({ spec: { name, paused: isToBe }, where }) => {
    if (present.get(name)?.paused !== true || isToBe === true) return [];
    const message =
      isToBe === false
        ? `${name} was paused here, and goes on: the file says so`
        : `${name} is paused here, and stays so, since the file says nothing of it: skein cron resume ${name}`;
    return [{ path: where, message }];
  });
}

/** Nothing is removed by an import; and what goes on unseen would run beside what has taken its place. */
function leftText(left: readonly string[], source: string): string {
  const names = left.slice(0, shown).join(" ");
  const more = left.length > shown ? ` and ${left.length - shown} more` : "";
  return `not in ${source} any more, and still set: ${names}${more} (of label imported-from=${source}; skein cron rm removes them)`;
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
