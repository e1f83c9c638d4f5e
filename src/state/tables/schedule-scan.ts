import { type ReadTx, sql } from "../tx.ts";
import type { StoredSchedule } from "./schedule.ts";

const selectSizes = sql(
  "select octet_length(definition) as bytes from schedule where name > ? order by name limit ?", // which reads no definition
);
const selectRows = sql(
  `select id, name, revision, definition, former, paused, watermark, check_at, runs, fires, fired_at, job, last_state, failing, set_at, set_by
   from schedule where name > ? order by name limit ?`,
);

/** The next schedules by name, `most` at most and as many as their definitions together stay within `bytesMost`, but one. `isLast`: there are no more. */
export function scanSchedules(
  tx: ReadTx,
  after: string,
  most: number,
  bytesMost: number,
): { readonly rows: readonly StoredSchedule[]; readonly bytes: number; readonly isLast: boolean } {
  const sizes = tx.all<{ bytes: number }>(selectSizes, after, most);
  let count = 0;
  let bytes = 0;
  for (const size of sizes) {
    if (count > 0 && bytes + size.bytes > bytesMost) break;
    bytes += size.bytes;
    count += 1;
  }
  const rows = count === 0 ? [] : tx.all<StoredSchedule>(selectRows, after, count);
  return { rows, bytes, isLast: count === sizes.length && sizes.length < most };
}
