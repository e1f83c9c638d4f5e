import { limits } from "../../lib/limits.ts";
import { type ReadTx, type Statement, sql } from "../tx.ts";
import { jobColumns, type StoredJob } from "./job.ts";

/** A list of jobs that is read piece by piece: a row holds its whole spec, and a thousand of these may be gigabytes. */
export interface JobScan {
  readonly sizes: Statement;
  readonly rows: Statement;
}

/** Of the jobs for which `condition` holds, which takes parameters. */
export function jobScan(condition: string, order: "id" | "id desc"): JobScan {
  const rest = `from job where ${condition} order by ${order} limit ?`;
  return {
    sizes: sql(`select octet_length(spec) as bytes ${rest}`), // which reads no spec
    rows: sql(`select ${jobColumns} ${rest}`),
  };
}

/** The next rows, `most` at most and as many as their specs together stay within limits.pageBytes, but one. `isLast`: there are no more. */
export function scanJobs(
  tx: ReadTx,
  scan: JobScan,
  parameters: readonly number[],
  most: number,
): { readonly rows: readonly StoredJob[]; readonly bytes: number; readonly isLast: boolean } {
  const sizes = tx.all<{ bytes: number }>(scan.sizes, ...parameters, most);
  let count = 0;
  let bytes = 0;
  for (const size of sizes) {
    if (count > 0 && bytes + size.bytes > limits.pageBytes) break;
    bytes += size.bytes;
    count += 1;
  }
  const rows = count === 0 ? [] : tx.all<StoredJob>(scan.rows, ...parameters, count);
  return { rows, bytes, isLast: count === sizes.length && sizes.length < most };
}
