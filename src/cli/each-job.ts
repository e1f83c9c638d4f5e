import { ApiError } from "../client/errors.ts";
import type { Session } from "./cli.ts";
import { endingOf, exit } from "./exit.ts";
import { parseIds } from "./selectors.ts";

/**
 * Does something to each of these jobs. Goes on past those that are not there or in the wrong state, which are told; the first one's exit code counts.
 */
export async function eachJob<Value>(
  session: Session,
  texts: readonly string[],
  act: (id: number) => Promise<Value>,
): Promise<{ readonly code: number; readonly done: readonly Value[] }> {
  const done: Value[] = [];
  let code: number = exit.done;
  for (const id of await parseIds(texts, session.findLast)) {
    try {
      done.push(await act(id));
    } catch (error) {
      if (!(error instanceof ApiError) || (error.code !== "not-found" && error.code !== "conflict")) throw error;
      session.output.note(`skein: ${error.message}`, "red");
      if (code === exit.done) ({ code } = endingOf(error));
    }
  }
  return { code, done };
}
