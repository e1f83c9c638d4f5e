import { CliError, exit } from "./exit.ts";

/** More ids than this are not taken from one command line. */
const idsMax = 10_000;

/** Finds the newest job; undefined: there is none. */
export type FindLast = () => Promise<number | undefined>;

/**
 * Job ids as people write them: `5`, `1-10`, `1,3,5-8`, `last`, each argument any of them. In order, each once. Throws
 * CliError: usage for text that is none, not found for `last` of an empty mesh.
 */
export async function parseIds(texts: readonly string[], findLast: FindLast): Promise<number[]> {
  const ids = new Set<number>();
  for (const part of texts.flatMap((text) => text.split(","))) {
    for (const id of await idsOf(part.trim(), findLast)) {
      ids.add(id);
      if (ids.size > idsMax)
        throw new CliError(exit.usage, `more than ${idsMax} ids at once: split them over several calls`);
    }
  }
  return [...ids];
}

/** `5/3` or `last/3`: a task; `5`: a whole job. Errors as {@link parseIds}. */
export async function parseTask(
  text: string,
  findLast: FindLast,
): Promise<{ readonly job: number; readonly task: number | undefined }> {
  const [job, task, ...rest] = text.split("/");
  if (rest.length > 0 || (task !== undefined && wholeNumber(task) === undefined)) {
    throw new CliError(exit.usage, `"${text}" is no task: write JOB/TASK, for example 5/0`);
  }
  const ids = await parseIds([job!], findLast);
  if (ids.length !== 1) throw new CliError(exit.usage, `"${text}" names ${ids.length} jobs: give one`);
  return { job: ids[0]!, task: task === undefined ? undefined : wholeNumber(task) };
}

async function idsOf(part: string, findLast: FindLast): Promise<Iterable<number>> {
  if (part === "last") {
    const last = await findLast();
    if (last === undefined) throw new CliError(exit.notFound, "there is no job yet, so `last` names none");
    return [last];
  }
  const match = /^(\d+)(?:-(\d+))?$/.exec(part);
  const first = match === null ? undefined : wholeNumber(match[1]!);
  const last = match?.[2] === undefined ? first : wholeNumber(match[2]);
  if (first === undefined || last === undefined || first === 0) {
    throw new CliError(exit.usage, `"${part}" is no job id: write 5, 1-10, 1,3,5-8 or last`);
  }
  if (last < first) throw new CliError(exit.usage, `"${part}" is empty: the first id is the larger one`);
  return numbersFrom(first, last);
}

function* numbersFrom(first: number, last: number): Iterable<number> {
  for (let id = first; id <= last; id++) yield id;
}

function wholeNumber(text: string): number | undefined {
  const value = Number(text);
  return /^\d+$/.test(text) && Number.isSafeInteger(value) ? value : undefined;
}
