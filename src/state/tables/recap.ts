import { percentOf } from "../../lib/percent.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";
import type { PlaybookRecap, RecapView, TaskCounts } from "../types.ts";

/**
 * What became of playbooks, over the hosts that have ended: added to with each of them, so that a job of a hundred thousand hosts says it from one row. Each host counts once, as its
 * last attempt left it.
 */
interface StoredRecap {
  readonly tasks: number;
  readonly ok: number;
  readonly failed: number;
  readonly changed_hosts: number;
  readonly unreachable_hosts: number;
}

/** As it stands in the text of a spec that has a playbook. */
export const playbookKey = '"playbook":';

const add = change(
  "playbook_recap.add",
  `insert into playbook_recap (job, tasks, ok, failed, changed_hosts, unreachable_hosts) values (?, ?, ?, ?, ?, ?)
   on conflict (job) do update set tasks = tasks + excluded.tasks, ok = ok + excluded.ok, failed = failed + excluded.failed,
   changed_hosts = changed_hosts + excluded.changed_hosts, unreachable_hosts = unreachable_hosts + excluded.unreachable_hosts`,
);

/** A host of the job has ended. `recap` undefined: it has told nothing of its tasks, as one that was lost. */
export function addRecap(
  tx: Tx,
  job: number,
  recap: PlaybookRecap | undefined,
  how: { readonly isChanged: boolean; readonly isUnreachable: boolean },
): void {
  const { tasks = 0, ok = 0, failed = 0 } = recap ?? {};
  tx.run(add, job, tasks, ok, failed, how.isChanged ? 1 : 0, how.isUnreachable ? 1 : 0);
}

const remove = change("playbook_recap.remove", "delete from playbook_recap where job = ?");

/** The job is gone. */
export function removeRecap(tx: Tx, job: number): void {
  tx.run(remove, job);
}

const select = sql("select tasks, ok, failed, changed_hosts, unreachable_hosts from playbook_recap where job = ?");

/** undefined: the job has no playbook, or none of its hosts has ended. */
export function recapOf(tx: ReadTx, job: number, counts: TaskCounts): RecapView | undefined {
  const row = tx.get<StoredRecap>(select, job);
  if (row === undefined) return undefined;
  const { tasks, ok, failed, changed_hosts: changed, unreachable_hosts: unreachable } = row;
  const bad = counts.failed + counts.timeout + counts.lost;
  return {
    hosts: { ok: counts.succeeded, changed, failed: bad - unreachable, unreachable },
    tasks: { total: tasks, ok, failed },
    success_percent: percentOf(row),
  };
}
