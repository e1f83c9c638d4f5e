import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/** Jobs of which nothing more is started, and of which more tasks waited (for a retry, or for their node) than one command ends; ending.ts goes on with them. */

const insert = change("job_stopped.add", "insert or replace into job_stopped (job) values (?)");
const remove = change("job_stopped.remove", "delete from job_stopped where job = ?");
const first = sql("select job from job_stopped order by job limit 1");

/** Leaves it to later commands to end the rest of its waiting tasks. */
export function leaveStopped(tx: Tx, job: number): void {
  tx.run(insert, job);
}

/** None of its tasks waits any more. */
export function stoppedDone(tx: Tx, job: number): void {
  tx.run(remove, job);
}

/** What was left to later commands; undefined: nothing. */
export function leftStopped(tx: ReadTx): number | undefined {
  return tx.get<{ job: number }>(first)?.job;
}
