import { createHash } from "node:crypto";
import { createTwoFilesPatch } from "diff";
import { foldNames } from "../lib/node-set-fold.ts";
import type { TaskState } from "../state/types.ts";

/** How one of many ended, and what it printed. */
export interface Outcome {
  /** Its target, or its number. */
  readonly name: string;
  readonly state: TaskState;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly reason: string | undefined;
  readonly text: string;
}

/** All that ended the same way with the same output. */
export interface Group {
  /** As a node set: `web[01-27,30]`. */
  readonly names: string;
  readonly size: number;
  readonly state: TaskState;
  /** `exit 3`, `killed by SIGKILL`, `timed out`, with the reason; "" of one that succeeded. */
  readonly how: string;
  /** undefined: there was no room for it (`textsBytesMax`). */
  readonly text: string | undefined;
}

/** Of all different outputs together: what is past it is counted, and not kept. */
const textsBytesMax = 256 * 1024 * 1024;

/**
 * Folds equal results into one, as `clush -b` does: equal means the same state, exit code, reason and output. Each output is kept once, however many printed it.
 * What a reason says of its own target is no difference.
 */
export class Folding {
  readonly #groups = new Map<string, { first: Outcome; how: string; text: string | undefined; names: string[] }>();
  #bytes = 0;

  add(outcome: Outcome): void {
    const how = howOf(outcome);
    const key = createHash("sha256").update(`${outcome.state}\n${how}\n`).update(outcome.text).digest("latin1");
    const known = this.#groups.get(key);
    if (known !== undefined) {
      known.names.push(outcome.name);
      return;
    }
    const bytes = Buffer.byteLength(outcome.text);
    const fits = this.#bytes + bytes <= textsBytesMax;
    if (fits) this.#bytes += bytes;
    const text = fits ? outcome.text : undefined;
    this.#groups.set(key, { first: { ...outcome, text: "" }, how, text, names: [outcome.name] });
  }

  /** Those that did not succeed first, and the odd ones before the many: what a person has to look at stands on top, the usual below. */
  groups(): Group[] {
    return [...this.#groups.values()]
      .map(({ first, how, text, names }) => ({
        names: foldNames(names),
        size: names.length,
        state: first.state,
        how,
        text,
      }))
      .sort(
        (a, b) =>
          Number(a.state === "succeeded") - Number(b.state === "succeeded") ||
          a.size - b.size ||
          (a.names < b.names ? -1 : 1),
      );
  }
}

/** Why it did not succeed, without its own name, so that equal reasons are equal. */
export function howOf({ name, state, exitCode, signal, reason }: Omit<Outcome, "text">): string {
  if (state === "succeeded") return "";
  const ended =
    state === "timeout"
      ? "timed out"
      : signal !== null
        ? `killed by ${signal}`
        : exitCode !== null
          ? `exit ${exitCode}`
          : state;
  return reason === undefined ? ended : `${ended}: ${withoutName(reason, name)}`;
}

/** Where it stands as a word of its own: a target called 1 or a is in many words that are about something else. */
function withoutName(reason: string, name: string): string {
  const word = name.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  return reason.replaceAll(new RegExp(`(?<![\\w.:-])${word}(?![\\w-]|[.:]\\w)`, "g"), "TARGET");
}

/** What the others are compared with: of those that succeeded (of all, if none did) the group of the most. */
export function referenceOf(groups: readonly Group[]): Group | undefined {
  const succeeded = groups.filter((group) => group.state === "succeeded" && group.text !== undefined);
  const among = succeeded.length > 0 ? succeeded : groups.filter((group) => group.text !== undefined);
  return among.reduce<Group | undefined>(
    (most, group) => (most === undefined || group.size > most.size ? group : most),
    undefined,
  );
}

/**
 * The unified diff of a group's output against the reference's, without the head; "" when they are equal, undefined when it takes longer than that. Lines as `diff -u`
 * writes them.
 */
export function diffOf(reference: Group, group: Group, timeoutMs: number): string | undefined {
  if (group.text === undefined || reference.text === undefined || group.text === reference.text) return "";
  const patch = createTwoFilesPatch("a", "b", reference.text, group.text, undefined, undefined, {
    context: 3,
    // A comparison of long outputs that have nothing in common takes time that grows with the square of what differs.
    timeout: timeoutMs,
  });
  // Three lines of head: a rule and two names.
  return patch?.split("\n").slice(3).join("\n");
}
