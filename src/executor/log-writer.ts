import { closeSync, mkdirSync, openSync, writevSync } from "node:fs";
import { dirname } from "node:path";
import { type LogStream, recordBytesMax, recordHeader } from "./log-record.ts";

/**
 * Writes one attempt's log. Every write goes to the file before it returns, so that the log can be read while the task
 * runs, memory stays flat, and a producer that is faster than the disk waits in its pipe.
 */
export class LogWriter {
  readonly #path: string;
  readonly #keepBytes: number;
  readonly #hash = new Bun.CryptoHasher("sha256");
  #file: number | undefined;
  #bytes = 0;
  #dropped = 0;
  #fault: string | undefined;

  /** `keepBytes`: output past it is counted and thrown away. The file is made when the first byte comes. */
  constructor(path: string, keepBytes: number) {
    this.#path = path;
    this.#keepBytes = keepBytes;
  }

  /** Bytes of output that are not in the file. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Why the rest was not written (a full disk); undefined when only the limit stands in the way. */
  get fault(): string | undefined {
    return this.#fault;
  }

  write(stream: LogStream, at: number, bytes: Uint8Array): void {
    const room = this.#fault === undefined ? this.#keepBytes - this.#bytes : 0;
    const kept = bytes.length > room ? bytes.subarray(0, room) : bytes;
    this.#dropped += bytes.length - kept.length;
    for (let from = 0; from < kept.length; from += recordBytesMax) {
      this.#record(stream, at, kept.subarray(from, from + recordBytesMax));
    }
  }

  #record(stream: LogStream, at: number, bytes: Uint8Array): void {
    try {
      this.#file ??= this.#open();
      const header = recordHeader(stream, bytes.length, at);
      let written = writevSync(this.#file, [header, bytes]);
      if (written < header.length + bytes.length) {
        const rest = Buffer.concat([header, bytes]);
        while (written < rest.length) written += writevSync(this.#file, [rest.subarray(written)]);
      }
    } catch (error) {
      // The task goes on without a log: its result counts for more.
      this.#fault ??= error instanceof Error ? error.message : String(error);
      this.#dropped += bytes.length;
      return;
    }
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
  }

  #open(): number {
    try {
      return openSync(this.#path, "w", 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      return openSync(this.#path, "w", 0o600);
    }
  }

  /** Closes the file. Size and hash are of the output in it, headers aside; undefined when there was no output. */
  close(): { readonly bytes: number; readonly sha256: string } | undefined {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
    return this.#bytes === 0 ? undefined : { bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }
}
