import { limits } from "../../lib/limits.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/** How many jobs the cluster takes and keeps. */
export interface Bounds {
  /** Unfinished ones, of all submitters together. More are refused before the log (node/job-admission.ts). */
  readonly unfinishedJobs: number;
  /** Finished ones. What is more is forgotten, the first to expire first (scheduler/expire.ts). */
  readonly finishedJobs: number;
}

const usual: Bounds = { unfinishedJobs: limits.unfinishedJobs, finishedJobs: limits.finishedJobs };

const select = sql("select unfinished as unfinishedJobs, finished as finishedJobs from job_bounds");
const write = change("job_bounds.set", "insert or replace into job_bounds (id, unfinished, finished) values (1, ?, ?)");

/** What was set, or what holds before anything was. */
export function boundsOf(tx: ReadTx): Bounds {
  return tx.get<Bounds>(select) ?? usual;
}

/** From this entry on. */
export function setBounds(tx: Tx, { unfinishedJobs, finishedJobs }: Bounds): void {
  tx.run(write, unfinishedJobs, finishedJobs);
}
