import { constants, Database, type SQLQueryBindings } from "bun:sqlite";
import { pathToFileURL } from "node:url";
import { limits } from "../lib/limits.ts";

/** Is asked while a copy is made whether it may go on. */
export interface CopyGuard {
  /** Before the first byte: the copy will take as many at most. Throws Fault. */
  begin(bytes: number): void;
  /** Between two pieces. Throws Fault, and the copy ends. */
  goOn(): void;
}

interface Thing {
  readonly type: "table" | "index";
  readonly name: string;
  readonly table: string;
  readonly sql: string;
}

type Values = SQLQueryBindings[];

/** SQLite's cache for the copy, in KiB: indexes whose order is another one than the rows' are filled in it. */
const cacheKiB = 32 * 1024;

/**
 * Copies tables, rows and indexes of one view of the database `from` into the empty file `to`, in order of their keys, so compactly, and without what was
 * deleted. In pieces, because VACUUM INTO, which does the same, cannot be ended once it has begun: it would go on to fill the disk, and its view would hold
 * back the WAL for as long as it takes. Throws what SQLite and the guard throw.
 */
export function copyRows(from: string, to: string, guard: CopyGuard | undefined): void {
  const { SQLITE_OPEN_READWRITE: readWrite, SQLITE_OPEN_URI: uri } = constants;
  const database = new Database(to, readWrite | uri);
  try {
    database.run("pragma busy_timeout = 2000");
    database.run("pragma journal_mode = off"); // a copy that breaks off is removed
    database.run("pragma synchronous = off"); // it is synced as a whole
    database.run(`pragma cache_size = -${cacheKiB}`);
    const source = pathToFileURL(from);
    source.search = "mode=ro"; // else closing it could tidy up, which is its owner's alone
    database.query("attach ? as source").run(source.href);
    database.run(`pragma page_size = ${numberOf(database, "pragma source.page_size")}`);
    database.run("begin");
    const things = database
      .query("select type, name, tbl_name as 'table', sql from source.sqlite_schema where sql is not null")
      .all() as Thing[];
    guard?.begin(bytesIn(database));
    for (const { type, name, sql } of things) {
      if (type !== "table") continue;
      database.run(sql);
      for (const index of things) if (index.type === "index" && index.table === name) database.run(index.sql);
      copyTable(database, name, guard);
    }
    database.run("commit");
  } finally {
    database.close();
  }
}

/** Of the pages in use. */
function bytesIn(database: Database): number {
  const [pages, free, size] = ["page_count", "freelist_count", "page_size"].map((name) =>
    numberOf(database, `pragma source.${name}`),
  ) as [number, number, number];
  return (pages - free) * size;
}

function numberOf(database: Database, query: string): number {
  return Number(database.query(query).values()[0]?.[0]);
}

function copyTable(database: Database, table: string, guard: CopyGuard | undefined): void {
  const { key, columns } = columnsOf(database, table);
  const [keyList, columnList, from] = [key.join(", "), columns.join(", "), `source.${quoted(table)}`];
  const marks = key.map(() => "?").join(", ");
  const after = `(${keyList}) > (${marks})`;
  let last: Values | undefined;
  do {
    guard?.goOn();
    const begin = last === undefined ? [] : [after];
    const lastOfPiece = `select ${keyList} from ${from} ${where(begin)} order by ${keyList} limit 1 offset ${limits.copyPieceRows - 1}`;
    const end = database.query(lastOfPiece).values(...(last ?? []))[0] as Values | undefined;
    const piece = where([...begin, ...(end === undefined ? [] : [`(${keyList}) <= (${marks})`])]);
    database
      .query(
        `insert into main.${quoted(table)} (${columnList}) select ${columnList} from ${from} ${piece} order by ${keyList}`,
      )
      .run(...(last ?? []), ...(end ?? []));
    last = end;
  } while (last !== undefined);
}

/** By what its rows are in order, and all that is in them. */
function columnsOf(database: Database, table: string): { readonly key: string[]; readonly columns: string[] } {
  const found = database.query("select name, type, pk from pragma_table_info(?, 'main')").all(table) as {
    readonly name: string;
    readonly type: string;
    readonly pk: number;
  }[];
  const columns = found.map(({ name }) => quoted(name));
  const primary = found.filter(({ pk }) => pk > 0).sort((one, other) => one.pk - other.pk);
  const query = database.query("select wr from pragma_table_list(?) where schema = 'main'");
  const { wr } = query.get(table) as { readonly wr: number };
  if (wr === 1) return { key: primary.map(({ name }) => quoted(name)), columns };
  const isRowId = primary.length === 1 && primary[0]!.type.toLowerCase() === "integer";
  return isRowId ? { key: [quoted(primary[0]!.name)], columns } : { key: ["rowid"], columns: ["rowid", ...columns] };
}

function where(conditions: readonly string[]): string {
  return conditions.length === 0 ? "" : `where ${conditions.join(" and ")}`;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
