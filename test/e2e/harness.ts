/**
 * The binary for tests. A mesh is `await using mesh = await Mesh.start({ nodes: 3 })` from scripts/mesh.ts, its jobs scripts/mesh-jobs.ts; here is
 * what a test of single commands needs. Wait for events with `until`, never for time.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { binary } from "../../scripts/build.ts";
import { runSkein, type Said } from "../../scripts/mesh.ts";

/** A temporary directory that goes with its scope: `using scratch = temporaryDirectory()`. */
export function temporaryDirectory(): { readonly path: string } & Disposable {
  const directory = mkdtempSync(path.join(tmpdir(), "skein-e2e-"));
  return {
    path: directory,
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }),
  };
}

/** Runs the binary with no context of its own: its configuration directory is `home`, which a test makes and removes. */
export async function skein(
  home: string,
  words: readonly string[],
  options: { readonly stdin?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Said> {
  return await runSkein(binary, words, { ...options, env: { XDG_CONFIG_HOME: home, HOME: home, ...options.env } });
}
