/** The outside of the command line: two streams out, one in, and Ctrl-C. Tests bring their own. */
export interface CliIo {
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** All of standard input; rejects with CliError past `bytesMax`. */
  readStdin(bytesMax: number): Promise<Uint8Array>;
  /** Standard input as it comes. */
  stdin(): AsyncIterable<Uint8Array>;
  /** Asks the person at the terminal; undefined: there is none. */
  ask(question: string): Promise<string | undefined>;
  /** Calls back at SIGINT and SIGTERM, which then do not end the process. Gives the way to stop listening. */
  onInterrupt(listener: () => void): () => void;
}

/** A stream out. Writing never throws: what a reader that has gone away does not take is dropped. */
export interface Sink {
  readonly isTty: boolean;
  /** Width in characters; 0 when it is not a terminal. */
  readonly columns: number;
  /** Aborted when the reader has gone away (`| head`). */
  readonly closed: AbortSignal;
  write(chunk: string | Uint8Array): void;
  /** Resolves when all that was written has been handed over, so that a slow reader slows its writer. */
  drained(): Promise<void>;
}
