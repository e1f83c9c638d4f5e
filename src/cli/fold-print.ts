import type { LogPiece } from "../client/follow.ts";
import type { SkeinClient } from "../client/client.ts";
import type { TaskView } from "../state/types.ts";
import { diffOf, type Folding, type Group, type Outcome, referenceOf } from "./fold.ts";
import type { Output } from "./output.ts";
import { paint, printable } from "./text.ts";

/** Of one task: what is longer is cut, and says so. */
const textBytesMax = 1024 * 1024;
const rule = "-".repeat(15);

/** A task with all of its output. What cannot be had of that is said in the text: a result without its output is still one. */
export async function outcomeOf(client: SkeinClient, task: TaskView, signal: AbortSignal): Promise<Outcome> {
  return {
    name: nameOf(task),
    state: task.state,
    exitCode: task.exit_code,
    signal: task.signal,
    reason: task.reason,
    text: await textOf(client, task, signal),
  };
}

/** What it is about, or its number. */
export function nameOf(task: TaskView): string {
  return task.target ?? String(task.task);
}

/** What a task printed, both streams in order of arrival. */
export interface TaskOutput {
  /** Up to 1 MiB of it. */
  readonly text: string;
  readonly isCut: boolean;
  /** Why parts of it cannot be had. */
  readonly problems: readonly string[];
}

/** All of a task's output, up to what is taken of one. The end of it that is in the result is all for most, and asks nobody; otherwise the log is read. */
export async function outputOf(client: SkeinClient, task: TaskView, signal: AbortSignal): Promise<TaskOutput> {
  const tail = { text: task.tail, isCut: false, problems: [] };
  if (task.log === null) return tail;
  const isWhole = !task.tail.includes("\ufffd") && Buffer.byteLength(task.tail) === task.log.bytes;
  if (isWhole && task.tail_dropped !== true) return tail;
  const parts: Uint8Array[] = [];
  let bytes = 0;
  const problems: string[] = [];
  for await (const piece of client.logs(task.job, { task: task.task, signal })) {
    if (piece.kind === "problem") problems.push(piece.message);
    else bytes += keep(piece, parts, textBytesMax - bytes);
    if (bytes >= textBytesMax) break;
  }
  const isCut = bytes >= textBytesMax && task.log.bytes > textBytesMax;
  return { text: Buffer.concat(parts).toString("utf8"), isCut, problems };
}

async function textOf(client: SkeinClient, task: TaskView, signal: AbortSignal): Promise<string> {
  const { text, isCut, problems } = await outputOf(client, task, signal);
  const notes = problems.map((problem) => `(a part of the output is missing: ${problem})\n`);
  if (isCut)
    notes.push(`(the first 1 MiB of ${task.log?.bytes} bytes; \`skein logs ${task.job}/${task.task}\` has all)\n`);
  return notes.length === 0 ? text : withNewline(text) + notes.join("");
}

function keep(piece: LogPiece & { kind: "output" }, parts: Uint8Array[], room: number): number {
  const kept = piece.bytes.length <= room ? piece.bytes : piece.bytes.subarray(0, room);
  parts.push(kept);
  return kept.length;
}

function withNewline(text: string): string {
  return text === "" || text.endsWith("\n") ? text : `${text}\n`;
}

/**
 * Folded results: for each group a head with its names and how it ended, then what they printed, once. With `diff` what differs from the most of them, whose own
 * output comes last.
 */
export function printFolded(out: Output, folding: Folding, { diff }: { readonly diff: boolean }): void {
  const groups = folding.groups();
  const reference = diff ? referenceOf(groups) : undefined;
  const isShort = (group: Group): boolean => reference === undefined || group === reference;
  for (const group of reference === undefined ? groups : [...groups.filter((one) => one !== reference), reference]) {
    head(out, group, group === reference && groups.length > 1);
    if (isShort(group)) body(out, group);
    else difference(out, reference!, group);
  }
}

function head(out: Output, group: Group, isReference: boolean): void {
  const count = group.size === 1 ? "" : ` (${group.size})`;
  const colour =
    group.state === "succeeded" ? "green" : group.state === "cancelled" || group.state === "skipped" ? "yellow" : "red";
  const how = group.how === "" ? "" : `: ${group.how}`;
  out.line(rule);
  out.line(
    paint(printable(`${group.names}${count}${how}`), colour, out.colours) +
      (isReference ? "  (what the others are compared with)" : ""),
  );
  out.line(rule);
}

function body(out: Output, { text, names }: Group): void {
  if (text === undefined) out.line(`(no room for this output here; \`skein logs JOB/TASK\` has it: ${names})`);
  else if (text !== "") out.text(withNewline(text));
}

function difference(out: Output, reference: Group, group: Group): void {
  if (group.text === undefined) return body(out, group);
  const lines = diffOf(reference, group);
  if (lines === "") return out.line(`(the same output as ${reference.names})`);
  for (const line of withNewline(lines).slice(0, -1).split("\n")) {
    const colour = line.startsWith("+")
      ? "green"
      : line.startsWith("-")
        ? "red"
        : line.startsWith("@@")
          ? "cyan"
          : undefined;
    out.line(paint(line, colour, out.colours));
  }
}
