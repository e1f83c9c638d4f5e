import type { LogPiece } from "../client/follow.ts";
import type { SkeinClient } from "../client/client.ts";
import { sleep } from "../client/transport.ts";
import type { TaskView } from "../state/types.ts";
import { diffOf, type Folding, type Group, type Outcome, referenceOf } from "./fold.ts";
import type { Output } from "./output.ts";
import { cut, paint, printable } from "./text.ts";

/** Of one task: what is longer is cut, and says so. */
const textBytesMax = 1024 * 1024;
const rule = "-".repeat(15);
const namesWidth = 100;

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

/** One comparison takes no longer, so that an interruption waits no longer for it. */
const diffMsMax = 1000;
/** All of them together. */
const diffsMsMax = 10_000;
/** So many differences are shown. */
const diffsShownMax = 200;
/** Between looks at whether somebody has interrupted. */
const turnMs = 50;

/** How folded results are shown. */
export interface PrintOptions {
  readonly job: number;
  readonly diff: boolean;
  readonly signal: AbortSignal;
  /** For all comparisons together. */
  readonly budgetMs?: number;
}

/**
 * Folded results: for each group a head with its names and how it ended, then what they printed, once. With `diff` what differs from the most of them, whose own
 * output comes last. Rejects with the signal's reason.
 */
export async function printFolded(out: Output, folding: Folding, options: PrintOptions): Promise<void> {
  const { job, diff, signal, budgetMs = diffsMsMax } = options;
  const groups = folding.groups();
  const reference = diff ? referenceOf(groups) : undefined;
  const others = groups.filter((one) => one !== reference);
  const shown = reference === undefined ? others : others.slice(0, diffsShownMax);
  let leftMs = budgetMs;
  let uncompared = 0;
  let turn = performance.now();
  for (const group of shown) {
    if (performance.now() - turn >= turnMs) {
      await sleep(0, signal);
      turn = performance.now();
    }
    signal.throwIfAborted();
    head(out, group, false);
    if (reference === undefined || group.text === undefined) body(out, group);
    else {
      const began = performance.now();
      const lines = leftMs <= 0 ? undefined : diffOf(reference, group, Math.min(leftMs, diffMsMax));
      leftMs -= performance.now() - began;
      if (lines === undefined) uncompared += 1;
      difference(out, reference, lines);
    }
  }
  const leftOut = others.slice(shown.length);
  if (leftOut.length > 0) {
    const hosts = leftOut.reduce((sum, { size }) => sum + size, 0);
    out.line(rule);
    out.line(`(${leftOut.length} more outputs, of ${hosts}, are not shown: \`skein logs ${job} -b\` shows them)`);
  }
  if (reference !== undefined) {
    head(out, reference, groups.length > 1);
    body(out, reference);
  }
  if (uncompared > 0)
    out.note(
      `skein: ${uncompared} of ${shown.length} outputs were not compared, since that takes too long: \`skein logs ${job} -b\` shows them`,
      "yellow",
    );
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

/** undefined: there was no time to compare. */
function difference(out: Output, reference: Group, lines: string | undefined): void {
  if (lines === undefined) return out.line(`(not compared with ${cut(reference.names, namesWidth)})`);
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
