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

/** Rows are numbered over all classes as well: that is `seq`. */
const allClasses = "";

/**
 * The last numbers, by class, as apply gave them last: every entry of a change asks for two. What is held is what the table would give, so where cuts
 * fall and what is held shows in no row and no hash (S1).
 */
interface Held {
  /** The applied index that they belong to; at another one they are worth nothing (D2). */
  applied: number;
  /** Within a cut; whoever writes outside of one reads them from the table. */
  isOpen: boolean;
  readonly last: Map<string, number>;
}

const held = new WeakMap<ReadTx, Held>();

/** A cut begins on a database that stands at `applied`. */
export function openHeldAudit(tx: Tx, applied: number): void {
  const numbers = held.get(tx);
  if (numbers?.applied === applied) numbers.isOpen = true;
  else held.set(tx, { applied, isOpen: true, last: new Map() });
}

/** The cut was committed, and the database stands at `applied`. */
export function closeHeldAudit(tx: Tx, applied: number): void {
  const numbers = held.get(tx);
  if (numbers === undefined) return;
  numbers.applied = applied;
  numbers.isOpen = false;
}

/** Rows that were written are taken back. */
export function forgetHeldAudit(tx: Tx): void {
  held.get(tx)?.last.clear();
}

function lastOf(tx: Tx, known: Map<string, number>, kind: string): number {
  const last = known.get(kind);
  if (last !== undefined) return last;
  const row =
    kind === allClasses ? tx.get<{ last: number | null }>(lastSeq) : tx.get<{ last: number | null }>(lastNumber, kind);
  return row?.last ?? 0;
}

/** What an entry brought, at least one row; the newest row always stays, so that `seq` never falls. */
export function writeAudit(tx: Tx, entry: { readonly index: number; readonly at: number }, facts: AuditFacts[]): void {
  const numbers = held.get(tx);
  const known = numbers?.isOpen === true ? numbers.last : new Map<string, number>();
  let seq = lastOf(tx, known, allClasses);
  for (const one of facts) {
    const kind = one.command.startsWith("job.") ? "jobs" : "cluster";
    const number = lastOf(tx, known, kind) + 1;
    seq += 1;
    known.set(kind, number);
    const { token, by, role, node, command, what, outcome, times } = one;
    const { index, at } = entry;
    tx.run(insert, seq, kind, number, index, at, token, by, role, node, command, what, outcome, times);
    if (number > limits.auditRows) tx.run(dropNumbers, kind, number - limits.auditRows);
  }
  known.set(allClasses, seq);
  // The last row of a class may be among those that go: its numbers begin anew then.
  if (tx.run(dropOld, entry.at - limits.auditKeepMs, seq) > 0) known.clear();
}

const select = sql(
  `select seq, entry, at, token, name, role, origin, command, what, outcome, times from audit
   where seq < ? order by seq desc limit ?`,
);

/** Newest first, those before `seq`. */
export function auditBefore(tx: ReadTx, seq: number, rows: number): AuditRow[] {
  return tx.all<AuditRow>(select, seq, rows);
}
