import type { Problem } from "../lib/outcome.ts";
import type { Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";

/**
 * Does something to each of these nodes, one after the other. Nothing is done where one of them is no member: whoever mistypes the second name has not removed the first node. What was done
 * before a later one was refused is told.
 */
export async function eachNode<Value extends { readonly node: number }>(
  session: Session,
  names: readonly string[],
  change: (name: string) => Promise<Value>,
): Promise<Value[]> {
  if (names.length > 1) {
    const members = await session.client.nodes();
    const known = new Set(members.flatMap(({ id, name }) => [String(id), name]));
    const problems = names
      .filter((name) => !known.has(name))
      .map((name): Problem => ({ path: "", message: `there is no node ${name}` }));
    if (problems.length > 0) throw new CliError(exit.notFound, "nothing was done", problems);
  }
  return eachOf(session, names, change, ({ node }) => `node ${node}`);
}

/** The same without a look before. */
export async function eachOf<Value>(
  session: Session,
  texts: readonly string[],
  change: (text: string) => Promise<Value>,
  nameOf: (value: Value) => string,
): Promise<Value[]> {
  const changed: Value[] = [];
  for (const text of texts) {
    try {
      changed.push(await change(text));
    } catch (error) {
      if (changed.length > 0) session.output.note(`skein: done before: ${changed.map(nameOf).join(", ")}`, "yellow");
      throw error;
    }
  }
  return changed;
}
