import { join } from "node:path";
import type { LogStream } from "./pack-record.ts";
import type { AttemptName } from "./types.ts";

/**
 * Logs as releases before packs wrote them: a file per attempt, read until its job is gone. One file of records, appended as output arrived. A record is a header of 10 bytes and the bytes of
 * one chunk: stream (1 or 2), length (24 bits), wall time of arrival in epoch ms (48 bits), all big-endian. A record that is cut short
 * by a crash, or is being written right now, is the end of the file to every reader.
 */
export const recordHeaderBytes = 10;

export interface RecordHeader {
  readonly stream: LogStream;
  readonly length: number;
  readonly at: number;
}

/** DIR/logs/JOB/TASK.ATTEMPT.log */
export function logPath(dataDir: string, name: AttemptName): string {
  return join(dataDir, "logs", String(name.job), `${name.task}.${name.attempt}.log`);
}

/** The header at `offset`, or undefined when these bytes are not one. */
export function readRecordHeader(bytes: Buffer, offset: number): RecordHeader | undefined {
  const stream = bytes[offset];
  if (stream !== 1 && stream !== 2) return undefined;
  return {
    stream: stream === 1 ? "stdout" : "stderr",
    length: bytes.readUIntBE(offset + 1, 3),
    at: bytes.readUIntBE(offset + 4, 6),
  };
}
