import { limits } from "../../lib/limits.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";
import type { AuditFacts, Role } from "../types.ts";

/**
 * Every change that a person or a node asked for, in the order of the log, written in the transaction that applied it. Bounded by
 * count and age; old rows go a few at a time, with the entries that bring new ones.
 */
export interface AuditRow {
  /** Grows by one with each row, for ever. */
  readonly seq: number;
  readonly entry: number;
  /** Epoch ms, of the entry. */
  readonly at: number;
  readonly token: string;
  readonly name: string;
  readonly role: Role | "node";
  readonly origin: number;
  readonly command: string;
  readonly what: string;
  readonly outcome: string;
  readonly times: number;
}

const lastSeq = sql("select max(seq) as last from audit");
const lastNumber = sql("select max(number) as last from audit where class = ?");
const insert = change(
  "audit.add",
  `insert into audit (seq, class, number, entry, at, token, name, role, origin, command, what, outcome, times)
   values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
);
const dropNumbers = change("audit.drop-numbers", "delete from audit where class = ? and number <= ?");
const dropOld = change(
  "audit.drop-old",
  "delete from audit where at < ? and seq in (select seq from audit where seq < ? order by seq limit 8)",
);

/** What an entry brought, at least one row; the newest row always stays, so that `seq` never falls. */
export function writeAudit(tx: Tx, entry: { readonly index: number; readonly at: number }, facts: AuditFacts[]): void {
  let seq = tx.get<{ last: number | null }>(lastSeq)?.last ?? 0;
  for (const one of facts) {
    const kind = one.command.startsWith("job.") ? "jobs" : "cluster";
    const number = (tx.get<{ last: number | null }>(lastNumber, kind)?.last ?? 0) + 1;
    seq += 1;
    const { token, by, role, node, command, what, outcome, times } = one;
    const { index, at } = entry;
    tx.run(insert, seq, kind, number, index, at, token, by, role, node, command, what, outcome, times);
    if (number > limits.auditRows) tx.run(dropNumbers, kind, number - limits.auditRows);
  }
  tx.run(dropOld, entry.at - limits.auditKeepMs, seq);
}

const select = sql(
  `select seq, entry, at, token, name, role, origin, command, what, outcome, times from audit
   where seq < ? order by seq desc limit ?`,
);

/** Newest first, those before `seq`. */
export function auditBefore(tx: ReadTx, seq: number, rows: number): AuditRow[] {
  return tx.all<AuditRow>(select, seq, rows);
}
