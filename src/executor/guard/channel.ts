import type { Socket } from "bun";
import { encodeFrame, FrameDecoder } from "./frames.ts";

/**
 * One end of the socket between node and guard: frames in, frames out. What the socket does not take at once waits here;
 * it is bounded by what the other side asked for (slots times a start, the results of one lease).
 */
export class Channel {
  readonly #socket: Socket<unknown>;
  readonly #decoder = new FrameDecoder();
  #queue: Uint8Array[] = [];
  #ended = false;

  constructor(socket: Socket<unknown>) {
    this.#socket = socket;
  }

  send(frame: unknown): void {
    if (this.#ended) return;
    const bytes = encodeFrame(frame);
    this.#queue.push(bytes);
    if (this.#queue.length === 1) this.flush();
  }

  /** Called when the socket takes bytes again. */
  flush(): void {
    while (this.#queue.length > 0) {
      const bytes = this.#queue[0]!;
      const written = this.#socket.write(bytes);
      if (written < 0) return;
      if (written < bytes.length) {
        this.#queue[0] = bytes.subarray(written);
        return;
      }
      this.#queue.shift();
    }
    if (this.#ended) this.#socket.end();
  }

  /** Throws Fault "protocol" on bytes that make no sense. */
  receive(bytes: Uint8Array): unknown[] {
    return this.#decoder.push(bytes);
  }

  /** Closes after what was sent has left. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.flush();
  }

  /** Closes at once. */
  destroy(): void {
    this.#ended = true;
    this.#queue = [];
    this.#socket.terminate();
  }
}
