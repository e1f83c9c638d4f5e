import { assert } from "../../lib/assert.ts";
import { memoOfTexts } from "../../lib/memo.ts";
import { formatRanges, numberAt, parseRanges, type Range, type RangeList, rangeList } from "../../lib/ranges.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/**
 * Which tasks of its spec a job runs, when it runs some of them: the tasks of a job that retries others are numbered from 0 without gaps, and here is which
 * number of the spec each of them has, so that its index and its point of a matrix stay what they were. Kept as ranges, in rows of a bounded size: whoever asks about one task reads one row.
 */
const rangesPerRow = 256;

const insert = change("pick.add", "insert into pick (job, first, tasks) values (?, ?, ?)");

/** `ranges` in ascending order: the job's tasks, as numbers of its spec. */
export function insertPick(tx: Tx, job: number, ranges: Iterable<Range>): void {
  let first = 0;
  let row: Range[] = [];
  const write = (): void => {
    if (row.length === 0) return;
    tx.run(insert, job, first, formatRanges(row));
    first += rangeList(row).count;
    row = [];
  };
  for (const range of ranges) {
    row.push(range);
    if (row.length === rangesPerRow) write();
  }
  write();
}

const copy = change(
  "pick.copy",
  "insert into pick (job, first, tasks) select ?, first, tasks from pick where job = ? order by first",
);

/** The tasks of one job are those of another. */
export function copyPick(tx: Tx, from: number, to: number): void {
  tx.run(copy, to, from);
}

const remove = change("pick.remove-of-job", "delete from pick where job = ?");

/** The job is gone. */
export function removePick(tx: Tx, job: number): void {
  tx.run(remove, job);
}

interface PickRow {
  readonly first: number;
  readonly tasks: string;
}

const readRow = memoOfTexts(
  (text): RangeList => {
    const list = parseRanges(text);
    assert(typeof list !== "string", "the ranges of a pick were written by this module");
    return list;
  },
  { entries: 64, textLength: 64 * 1024 },
);

const selectRow = sql("select first, tasks from pick where job = ? and first <= ? order by first desc limit 1");
const selectAll = sql("select first, tasks from pick where job = ? order by first");

/** The number that a job's task has in its spec. */
export function pickedTask(tx: ReadTx, job: number, task: number): number {
  const row = tx.get<PickRow>(selectRow, job, task);
  const number = row === undefined ? undefined : numberAt(readRow(row.tasks), task - row.first);
  assert(number !== undefined, `job ${job} does not say which task of its spec ${task} is`);
  return number;
}

/** All of them, by the job's own numbers; undefined: the job runs all tasks of its spec. */
export function pickOf(tx: ReadTx, job: number): RangeList | undefined {
  const rows = tx.all<PickRow>(selectAll, job);
  return rows.length === 0 ? undefined : rangeList(rows.flatMap((row) => readRow(row.tasks).ranges));
}
