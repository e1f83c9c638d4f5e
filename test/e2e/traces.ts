/** What attempts write about themselves into files, and what can be read from that: how many ran at once, in which order, on which node. */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

/** Times are of the host's clock, ms. */
export interface Trace {
  readonly job: number;
  readonly task: number;
  readonly attempt: number;
  readonly node: number;
  readonly began: number;
  /** undefined: it did not get that far. */
  readonly ended: number | undefined;
}

/** A shell line that leaves a trace in `directory` around `body`. */
export function traced(directory: string, body: string): string {
  const file = `${directory}/$SKEIN_JOB.$SKEIN_TASK.$SKEIN_ATTEMPT`;
  return `echo "$SKEIN_NODE $(date +%s%3N)" > ${file}; ${body}; date +%s%3N >> ${file}`;
}

export function tracesIn(directory: string): Trace[] {
  const files = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isFile());
  return files.map(({ name }) => {
    const [job, task, attempt] = name.split(".").map(Number);
    const [node, began, ended] = readFileSync(path.join(directory, name), "utf8").trim().split(/\s+/).map(Number);
    return { job: job!, task: task!, attempt: attempt!, node: node!, began: began!, ended };
  });
}

/** The most traces that were alive at the same moment; one that ended in the millisecond in which another began was not. */
export function mostAtOnce(traces: readonly Trace[]): number {
  return Math.max(
    0,
    ...traces.map(({ began }) => traces.filter((one) => one.began <= began && (one.ended ?? Infinity) > began).length),
  );
}
