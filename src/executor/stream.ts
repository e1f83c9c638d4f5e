import { monotonicMs, wallMs } from "../lib/clock.ts";
import type { LogStream } from "./pack-record.ts";
import type { AttemptLog } from "./pack-writer.ts";
import { Redactor } from "./redact.ts";
import type { Tail } from "./tail.ts";

/** Where output is kept. */
export type LogSink = Pick<AttemptLog, "write" | "close" | "dropped" | "fault">;

interface Reader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
  cancel(): Promise<unknown>;
}

/**
 * The output of one attempt: each chunk is stamped and written the moment it is read, both streams into one order, that of
 * arrival. A stream is not read on before its chunk is on its way to the file, so that nothing piles up here.
 */
export class Output {
  readonly #log: LogSink;
  readonly #tail: Tail;
  readonly #readers: Reader[];
  #open: number;
  #lastAt = monotonicMs();
  #onEnd: () => void = () => {};
  readonly #ended: Promise<void>;

  constructor(
    streams: { readonly stdout: ReadableStream<Uint8Array>; readonly stderr: ReadableStream<Uint8Array> },
    log: LogSink,
    tail: Tail,
    redact: readonly string[] | undefined,
  ) {
    this.#log = log;
    this.#tail = tail;
    this.#ended = new Promise((resolve) => {
      this.#onEnd = resolve;
    });
    const stdout = streams.stdout.getReader();
    const stderr = streams.stderr.getReader();
    this.#readers = [stdout, stderr];
    this.#open = 2;
    const redactor = redact === undefined ? undefined : () => new Redactor(redact);
    void this.#drain("stdout", stdout, redactor?.());
    void this.#drain("stderr", stderr, redactor?.());
  }

  async #drain(stream: LogStream, reader: Reader, redactor: Redactor | undefined): Promise<void> {
    const write = (bytes: Uint8Array): void => {
      if (bytes.length === 0) return;
      this.#log.write(stream, wallMs(), bytes);
      this.#tail.push(bytes);
    };
    try {
      while (true) {
        const { done, value } = await reader.read();
        if (done || value === undefined) break;
        this.#lastAt = monotonicMs();
        write(redactor === undefined ? value : redactor.push(value));
      }
    } catch {
      // A pipe that breaks has ended.
    }
    if (redactor !== undefined) write(redactor.end());
    this.#open -= 1;
    if (this.#open === 0) this.#onEnd();
  }

  /**
   * Waits for the end of both streams, but not for one that a process outside our reach holds open: true when they ended, false when nothing
   * came for silentMs, or something came for heldMs on end.
   */
  async settle(silentMs: number, heldMs: number): Promise<boolean> {
    if (this.#open === 0) return true;
    const since = monotonicMs();
    // In small steps: each lets the loop read what is there, so that a busy moment of this process is not taken for silence.
    for (let silentSteps = 0; silentSteps < stepsOfSilence && monotonicMs() - since < heldMs;) {
      const seenAt = this.#lastAt;
      await Promise.race([this.#ended, Bun.sleep(silentMs / stepsOfSilence)]);
      if (this.#open === 0) return true;
      silentSteps = this.#lastAt === seenAt ? silentSteps + 1 : 0;
    }
    return false;
  }

  /** Stops reading. */
  async cancel(): Promise<void> {
    await Promise.all(this.#readers.map((reader) => reader.cancel().catch(() => {})));
    await this.#ended;
  }
}

const stepsOfSilence = 10;
