import type { z } from "zod";
import type { Problem } from "../../lib/outcome.ts";

/** Every problem of an input, for people: one per unknown key, paths like `jobs[3].retries.max`. `root` is put before each path. */
export function problemsOf(error: { readonly issues: readonly z.core.$ZodIssue[] }, root = ""): Problem[] {
  return error.issues.flatMap((issue) => problemsOfIssue(issue, root));
}

function problemsOfIssue(issue: z.core.$ZodIssue, root: string): Problem[] {
  const path = pathOf(issue.path, root);
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({ path: pathOf([key], path), message: "no such key" }));
  }
  if (issue.code === "invalid_type") {
    const missing = issue.message.endsWith("received undefined");
    if (missing) return [{ path, message: "is required" }];
  }
  return [{ path, message: issue.message.replace(/^Invalid input: /, "") }];
}

/** `["jobs", 3, "retries", "max"]` -> `jobs[3].retries.max`. */
export function pathOf(segments: readonly PropertyKey[], root = ""): string {
  let path = root;
  for (const segment of segments) {
    if (typeof segment === "number") path += `[${segment}]`;
    else path += path === "" ? String(segment) : `.${String(segment)}`;
  }
  return path;
}
