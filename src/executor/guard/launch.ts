import { closeSync, openSync, readFileSync } from "node:fs";
import { Fault } from "../../lib/fault.ts";
import type { Places } from "./places.ts";
import { markerVariable } from "./sweep.ts";

/** Starts the guard as a process of its own session: it must not end with this process, nor hold its output open. */
export function startGuard(places: Places, command: readonly string[]): { readonly exitCode: number | null } {
  let log: number | undefined;
  try {
    log = openSync(places.log, logTooLong(places.log) ? "w" : "a", 0o600);
    const child = Bun.spawn([...command], {
      detached: true,
      stdin: "ignore",
      stdout: log,
      stderr: log,
      env: withoutSecrets(process.env),
    });
    child.unref();
    return child;
  } catch (error) {
    throw new Fault(
      "guard",
      `cannot start the guard (${command.join(" ")}): ${error instanceof Error ? error.message : String(error)}`,
      "safe",
      error,
    );
  } finally {
    if (log !== undefined) closeSync(log);
  }
}

/** Tokens that were meant for `up` are nobody else's. The marker stays: a node that runs inside a task ends with that task. */
function withoutSecrets(environment: Readonly<Record<string, string | undefined>>): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !name.startsWith("SKEIN_") || name === markerVariable),
  );
}

function logTooLong(path: string): boolean {
  return Bun.file(path).size > guardLogBytes;
}

/** Why there is no guard, with its last words. */
export function notReached(places: Places, command: readonly string[]): Fault {
  let lastWords = "";
  try {
    lastWords = readFileSync(places.log, "utf8").trimEnd().split("\n").slice(-3).join(" | ");
  } catch {
    // it never wrote any
  }
  const said = lastWords === "" ? "it said nothing" : `it said: ${lastWords}`;
  return new Fault(
    "guard",
    `the guard of ${places.dataDir} did not answer; ${said} (started with: ${command.join(" ")}; log: ${places.log})`,
    "safe",
  );
}

const guardLogBytes = 1024 * 1024;
