import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { type Configuration, decodeConfiguration } from "../lib/configuration.ts";
import { Fault } from "../lib/fault.ts";
import { index, term } from "../lib/ids.ts";
import type { Entry } from "../raft/types.ts";
import { type EntryRow, entryOf, isIntact } from "./log-format.ts";
import { readLost } from "./log-lost.ts";
import { hasGoneBack, numberIn } from "./log-mark.ts";
import { walDamageOf } from "./wal-damage.ts";

/** What a log holds beyond the state beside it, read from the files of a node that does not run, without changing them. */
export interface LogSurvey {
  /** The highest term that this node has heard of; 0 when the file cannot be read. */
  readonly term: number;
  readonly commit: number;
  /** The last entry that can be used: at least what the state has applied. */
  readonly last: { readonly index: number; readonly term: number };
  /** The configuration in force at `last`, and the entry that brought it; undefined: the log says nothing of it, the state does. */
  readonly configuration: { readonly index: number; readonly value: Configuration } | undefined;
  /** Entries from here on were stored and are damaged or lost; undefined: none are. */
  readonly damagedFrom: number | undefined;
}

/**
 * Reads every entry after `applied` (a state of term `appliedTerm`) and gives each to `each`. What does not follow on, or is not what was written,
 * ends it: that, and a file that cannot be read at all, is in the answer and no error.
 */
export function surveyLog(
  path: string,
  applied: { readonly index: number; readonly term: number },
  each: (entry: Entry) => void,
): LogSurvey {
  const nothing = { term: applied.term, commit: applied.index, last: applied, configuration: undefined };
  if (!existsSync(path)) return { ...nothing, damagedFrom: applied.index + 1 };
  let database: Database | undefined;
  try {
    database = new Database(path, { readonly: true });
    return survey(database, path, applied, each);
  } catch (error) {
    // Only what SQLite cannot read. An error of `each` is the caller's.
    if ((error as { readonly name?: unknown }).name !== "SQLiteError") throw error;
    return { ...nothing, damagedFrom: applied.index + 1 };
  } finally {
    database?.close();
  }
}

function survey(
  database: Database,
  path: string,
  applied: { readonly index: number; readonly term: number },
  each: (entry: Entry) => void,
): LogSurvey {
  const hard = database.query(`select term, "commit" from hard`).get() as { term: number; commit: number };
  const meta = database.query("select base_index as base, base_configuration as configuration from meta").get() as {
    readonly base: number;
    readonly configuration: Uint8Array | null;
  };
  const repair = database.query("select until from repair").get() as { until: number } | null;
  const ends = database.query("select max(idx) as last from entry").get() as { last: number | null };
  let configuration =
    newestConfiguration(database, path, applied.index) ?? configurationIn(meta.base, meta.configuration);
  let last = applied;
  const rows = database.query("select * from entry where idx > ? order by idx").iterate(applied.index);
  for (const row of rows as Iterable<EntryRow>) {
    if (row.idx !== last.index + 1 || row.term < last.term || !isIntact(row)) break;
    const entry = entryOf(row, path);
    if (entry.kind === "configuration") configuration = configurationIn(entry.index, entry.data) ?? configuration;
    each(entry);
    last = { index: entry.index, term: entry.term };
  }
  const stored = Math.max(ends.last ?? 0, meta.base, repair?.until ?? 0);
  // SQLite has read no further than to the damage, and nothing of a WAL that is gone.
  const isCut = stored > last.index || walDamageOf(path) !== undefined || isKnownToLack(path, database, last.index);
  return {
    term: Math.max(hard.term, last.term),
    commit: Math.max(applied.index, Math.min(hard.commit, last.index)),
    last: { index: index(last.index), term: term(last.term) },
    configuration,
    damagedFrom: isCut ? last.index + 1 : undefined,
  };
}

/** By the files beside the log. One that cannot be read says nothing good of it, and keeps nobody from looking. */
function isKnownToLack(path: string, database: Database, last: number): boolean {
  try {
    return readLost(path) > last || hasGoneBack(path, numberIn(database) ?? 0);
  } catch (error) {
    if (error instanceof Fault) return true;
    throw error;
  }
}

/** The newest one at or before `upTo` that can be read. */
function newestConfiguration(database: Database, path: string, upTo: number): LogSurvey["configuration"] {
  const rows = database
    .query("select * from entry where kind = 2 and idx <= ? order by idx desc limit 8")
    .all(upTo) as EntryRow[];
  const row = rows.find(isIntact);
  return row === undefined ? undefined : configurationIn(row.idx, entryOf(row, path).data);
}

function configurationIn(at: number, data: Uint8Array | null): LogSurvey["configuration"] {
  const value = data === null ? undefined : decodeConfiguration(data);
  return value === undefined ? undefined : { index: at, value };
}
