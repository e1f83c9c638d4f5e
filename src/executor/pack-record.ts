import { crc32 } from "node:zlib";
import type { AttemptName, LogChunk } from "./types.ts";

/**
 * Packs: how a node keeps what its tasks print (N1).
 *
 * Written here, by the guard (and by the node for driver noop): output of all attempts goes, record after record, into one file that is only appended to,
 * `DIR/logs/packs/NAME.pack`. So ten thousand tiny tasks make one file, and the end of a task costs one write. A pack is sealed, and another one begun,
 * at limits.packBytes or when nothing came for limits.packIdleMs. What an attempt prints past limits.packOwnAfterBytes goes into packs of its own, of the same
 * form, so that a flood neither fills the packs of others nor stays for their sake. A process never appends to a pack of an earlier one: what a
 * crash has cut short stays as it is.
 *
 * Found through an index (pack-shelf.ts), which knows nothing that is not in the packs: each record says whose it is, and how much that attempt
 * had printed before it. Copied to a second node while they are written (node/pack-copies.ts), byte for byte: the same code reads them there.
 * They go when the last of their jobs goes (node/log-retention.ts); of a large one that is wanted to less than half, what is wanted is written into a new one.
 *
 * A pack is an opening of 8 bytes and records. A record is a header of 40 bytes, all big-endian, and the bytes of one chunk:
 *
 *    0  checksum (CRC-32) of all that follows, chunk included     20  task, 32 bits
 *    4  kind: 1 stdout, 2 stderr, 3 sealed                        24  attempt, 32 bits
 *    5  length, 24 bits                                           28  bytes that the attempt printed before, 48 bits
 *    8  wall time of arrival, epoch ms, 48 bits                   34  those of them that were stdout, 48 bits
 *   14  job, 48 bits
 *
 * What does not check is the end of a pack to whoever reads it: it is being written, or was cut short or damaged; then a copy may have more.
 */
export const packOpening = Buffer.from("SKPACK1\n", "latin1");
export const packHeaderBytes = 40;
/** The most output in one record. */
export const packChunkBytes = 64 * 1024;

export type LogStream = LogChunk["stream"];

export interface PackRecord extends AttemptName {
  /** "sealed": nothing follows, and the other fields say nothing. */
  readonly kind: LogStream | "sealed";
  readonly length: number;
  readonly at: number;
  readonly before: number;
  readonly stdoutBefore: number;
}

const kinds = [undefined, "stdout", "stderr", "sealed"] as const;

/** Names of packs, with whatever made them first and when second: their order is that of their making. */
export const packName = /^[gnc][0-9a-z]{8,12}-[0-9a-f]{8}\.pack$/;

/** Writes the record at `at`, where its `record.length` bytes of output are in place after the header already. */
export function writePackRecord(buffer: Buffer, at: number, record: PackRecord): void {
  buffer[at + 4] = kinds.indexOf(record.kind);
  buffer.writeUIntBE(record.length, at + 5, 3);
  buffer.writeUIntBE(record.at, at + 8, 6);
  buffer.writeUIntBE(record.job, at + 14, 6);
  buffer.writeUInt32BE(record.task, at + 20);
  buffer.writeUInt32BE(record.attempt, at + 24);
  buffer.writeUIntBE(record.before, at + 28, 6);
  buffer.writeUIntBE(record.stdoutBefore, at + 34, 6);
  buffer.writeUInt32BE(crc32(buffer.subarray(at + 4, at + packHeaderBytes + record.length)), at);
}

/** The last record of a pack that was made at `at` (epoch ms). */
export function sealedRecord(at: number): Buffer {
  const record = Buffer.alloc(packHeaderBytes);
  const nobody = { job: 0 as PackRecord["job"], task: 0, attempt: 0 };
  writePackRecord(record, 0, { ...nobody, kind: "sealed", length: 0, at, before: 0, stdoutBefore: 0 });
  return record;
}

/** The record at `at`; "short" when there are not enough bytes to tell, "damaged" when they are none. */
export function readPackRecord(buffer: Buffer, at: number): PackRecord | "short" | "damaged" {
  if (at + packHeaderBytes > buffer.length) return "short";
  const kind = kinds[buffer[at + 4]!];
  const length = buffer.readUIntBE(at + 5, 3);
  if (kind === undefined || length > packChunkBytes) return "damaged";
  const end = at + packHeaderBytes + length;
  if (end > buffer.length) return "short";
  if (crc32(buffer.subarray(at + 4, end)) !== buffer.readUInt32BE(at)) return "damaged";
  return {
    kind,
    length,
    at: buffer.readUIntBE(at + 8, 6),
    job: buffer.readUIntBE(at + 14, 6) as PackRecord["job"],
    task: buffer.readUInt32BE(at + 20),
    attempt: buffer.readUInt32BE(at + 24),
    before: buffer.readUIntBE(at + 28, 6),
    stdoutBefore: buffer.readUIntBE(at + 34, 6),
  };
}
