/** A command of the binary while the mesh is in trouble: repeated while that may be why it fails, and no longer. */
import { exit } from "../src/cli/exit.ts";
import { type Mesh, type Said, until } from "./mesh.ts";

/** Nobody answered, or what it waits for is still under way. Any other refusal stays one however often the command is repeated. */
const passing: readonly (number | null)[] = [exit.unreachable, exit.refused];

/**
 * Runs it against all nodes that run until it is done, which `done` says: more exit codes that are as good as 0. Throws with its last words as soon as it is refused for good, or
 * after `timeoutMs`.
 */
export async function commandDone(
  mesh: Pick<Mesh, "skein">,
  words: readonly string[],
  options: { readonly done?: readonly number[]; readonly timeoutMs?: number } = {},
): Promise<Said> {
  const { done = [], timeoutMs = 60_000 } = options;
  let last = "";
  return await until(
    async () => {
      const said = await mesh.skein(words, { timeoutMs: attemptMs });
      if (said.code === exit.done || (said.code !== null && done.includes(said.code))) return said;
      last = said.code === null ? `no answer in ${attemptMs} ms` : `exit code ${said.code}: ${said.stderr.trim()}`;
      if (said.code !== null && !passing.includes(said.code)) throw new Error(`skein ${words.join(" ")}: ${last}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
      return undefined;
    },
    timeoutMs,
    () => `skein ${words.join(" ")} is not done: ${last}`,
  );
}

const attemptMs = 30_000;
