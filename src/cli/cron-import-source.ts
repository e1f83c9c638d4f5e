import { basename } from "node:path";
import { limits } from "../lib/limits.ts";
import { isLabel } from "../lib/selector.ts";
import type { Session } from "./cli.ts";
import type { ImportRead } from "./cron-import-types.ts";

const label = "imported-from";

/** What the label of schedules of a file says; undefined: nothing tells one text of standard input from another. Those of another prefix are of another host. */
export function sourceOf(path: string, prefix = ""): string | undefined {
  return path === "-"
    ? undefined
    : `${prefix}${basename(path)}`.replaceAll(/[^A-Za-z0-9_.:/-]/g, "-").slice(-limits.labelLength);
}

/** undefined: it can be one; else why not. */
export function wrongWithSource(source: string): string | undefined {
  return source !== "" && isLabel(label, source) && source.length <= limits.labelLength
    ? undefined
    : `"${source}" cannot be a label: letters, digits and -_./: only, at most ${limits.labelLength} characters`;
}

/** So that a later import knows what came from where. */
export function withSource(
  { schedules, problems, notes }: ImportRead,
  source: string | undefined,
  file: string,
): ImportRead {
  if (source === undefined) {
    const message =
      "has no name, so that a later import cannot tell what is not in it any more, and goes on: --source NAME gives it one";
    return { schedules, problems, notes: [...notes, { path: file, message }] };
  }
  const named = schedules.map((one) => ({
    ...one,
    spec: { ...one.spec, labels: { ...one.spec.labels, [label]: source } },
  }));
  return { schedules: named, problems, notes };
}

/** What an import from there has set and this one has not: it is not in the file any more, and goes on. */
export async function noMoreIn(
  { client }: Session,
  source: string,
  set: readonly { readonly name: string }[],
): Promise<readonly string[]> {
  const names = new Set(set.map(({ name }) => name));
  const found: string[] = [];
  let next: string | undefined;
  do {
    const page = await client.schedules({ label: `${label}=${source}`, limit: limits.listMax, next });
    for (const { name } of page.schedules) if (!names.has(name)) found.push(name);
    ({ next } = page);
  } while (next !== undefined);
  return found;
}
