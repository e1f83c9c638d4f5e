import type { z } from "zod";
import { accept, type Outcome, type Problem, refuse } from "../lib/outcome.ts";
import { problemsOf } from "../state/commands/problems.ts";

type Path = readonly PropertyKey[];

/**
 * Checks an input and gives every problem of it at once, each with its path as the person wrote it ("jobs[3].retries.max").
 * `rename` maps a path of the schema to theirs.
 */
export function check<Output>(
  schema: z.ZodType<Output>,
  input: unknown,
  what: string,
  rename?: (path: Path) => Path,
): Outcome<Output> {
  const result = schema.safeParse(input);
  if (result.success) return accept(result.data);
  const issues =
    rename === undefined ? result.error.issues : result.error.issues.map((issue) => renamed(issue, rename));
  return invalid(problemsOf({ issues }), what);
}

function renamed(issue: z.core.$ZodIssue, rename: (path: Path) => Path): z.core.$ZodIssue {
  return { ...issue, path: [...rename(issue.path)] };
}

/** The refusal of an input with these problems; the first one stands in the message. */
export function invalid(problems: readonly Problem[], what: string): ReturnType<typeof refuse> {
  const [first] = problems;
  // Lines after the first one show a place in what was written.
  const words = first?.message.split("\n", 1)[0] ?? "";
  const example = first === undefined ? "" : `: ${first.path === "" ? "" : `${first.path}: `}${words}`;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more, see details)` : "";
  return refuse("invalid", `${what} is not valid${example}${more}`, { details: problems });
}
