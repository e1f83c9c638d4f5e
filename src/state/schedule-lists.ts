import { limits } from "../lib/limits.ts";
import { matchesSelector, parseSelector } from "../lib/selector.ts";
import type { ScheduleState } from "./answers.ts";
import { found, type FoundSchedules, stateOf } from "./schedule-views.ts";
import { definitionOf } from "./schedules.ts";
import { scanSchedules } from "./tables/schedule-scan.ts";
import { scheduleScope } from "./tables/schedule-scope.ts";
import { scheduleByName, type StoredSchedule } from "./tables/schedule.ts";
import type { ReadTx } from "./tx.ts";

/** Lists of schedules, page by page: what each page costs is bounded, however few of many schedules are asked for. */

export interface ScheduleFilter {
  /** What names begin with. */
  readonly name?: string | undefined;
  /** A label selector. */
  readonly label?: string | undefined;
  readonly tag?: string | undefined;
  readonly state?: ScheduleState | undefined;
  /** Whose last job failed, or could not be made. */
  readonly failing?: boolean | undefined;
  /** Of these alone those that are there. */
  readonly names?: readonly string[] | undefined;
  readonly limit: number;
  readonly next?: string | undefined;
}

const scanRows = 1_000;
const scanMax = 50_000;

/** By name. A page may hold fewer than `limit` of them and still have a `next`: the look at those that do not fit is bounded. */
export function listSchedules(tx: ReadTx, filter: ScheduleFilter): FoundSchedules & { readonly next?: string } {
  const { name: prefix = "", label, tag, state, failing, names } = filter;
  const terms = label === undefined ? [] : parseSelector(label);
  if (typeof terms === "string") return found(tx, []);
  const limit = Math.min(filter.limit, limits.listMax);
  const meshPaused = scheduleScope(tx).pausedAt !== null;
  const isAsked = (row: StoredSchedule): boolean =>
    (state === undefined || stateOf(row, meshPaused) === state) &&
    (failing === undefined || row.failing > 0 === failing) &&
    (tag === undefined || (definitionOf(row).tags ?? []).includes(tag)) &&
    (terms.length === 0 || matchesSelector(terms, definitionOf(row).labels ?? {}));
  const pieceAfter =
    names === undefined
      ? (after: string) => scanSchedules(tx, after, Math.min(scanRows, Math.max(limit + 1, 100)), limits.pageBytes)
      : (after: string) => namedAfter(tx, names, prefix, after);
  const rows: StoredSchedule[] = [];
  let after = filter.next ?? beforeAll(prefix);
  let bytesShown = 0;
  for (let scanned = 0, scannedBytes = 0; scanned < scanMax && scannedBytes < limits.scanBytes;) {
    const piece = pieceAfter(after);
    scanned += piece.rows.length;
    scannedBytes += piece.bytes;
    for (const row of piece.rows) {
      if (!row.name.startsWith(prefix)) return found(tx, rows);
      if (!isAsked(row)) {
        after = row.name;
        continue;
      }
      const isFull =
        rows.length === limit || (rows.length > 0 && bytesShown + row.definition.length > limits.pageBytes);
      if (isFull) return { ...found(tx, rows), next: after };
      after = row.name;
      rows.push(row);
      bytesShown += row.definition.length;
    }
    if (piece.isLast) return found(tx, rows);
  }
  return { ...found(tx, rows), next: after };
}

/** What is before all names that begin so, and behind those that are before them: names have no such character. */
function beforeAll(prefix: string): string {
  if (prefix === "") return "";
  return `${prefix.slice(0, -1)}${String.fromCharCode(prefix.charCodeAt(prefix.length - 1) - 1)}\u007F`;
}

/** Of these the next ones by name, as many as a page may weigh, but one. */
function namedAfter(
  tx: ReadTx,
  names: readonly string[],
  prefix: string,
  after: string,
): ReturnType<typeof scanSchedules> {
  const rows: StoredSchedule[] = [];
  let bytes = 0;
  for (const name of [...new Set(names)].toSorted()) {
    if (name <= after || !name.startsWith(prefix)) continue;
    const row = scheduleByName(tx, name);
    if (row === undefined) continue;
    if (rows.length > 0 && bytes + row.definition.length > limits.pageBytes) return { rows, bytes, isLast: false };
    rows.push(row);
    bytes += row.definition.length;
  }
  return { rows, bytes, isLast: true };
}
