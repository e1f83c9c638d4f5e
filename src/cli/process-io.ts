import { createInterface } from "node:readline/promises";
import { isatty } from "node:tty";
import type { CliIo, Sink } from "./io.ts";
import { CliError } from "./exit.ts";
import { formatSize } from "../lib/units.ts";

/** The real streams and signals of this process. */
export function processIo(): CliIo {
  return {
    stdout: sinkOf(process.stdout, 1),
    stderr: sinkOf(process.stderr, 2),
    readStdin,
    stdin: () => process.stdin as AsyncIterable<Uint8Array>,
    ask,
    onInterrupt(listener) {
      process.on("SIGINT", listener);
      process.on("SIGTERM", listener);
      return () => {
        process.off("SIGINT", listener);
        process.off("SIGTERM", listener);
      };
    },
  };
}

function sinkOf(stream: NodeJS.WriteStream, descriptor: number): Sink {
  const closed = new AbortController();
  let written: Promise<void> = Promise.resolve();
  // EPIPE comes as an event, and unhandled it would end the process with a stack trace.
  stream.on("error", () => closed.abort());
  return {
    isTty: isatty(descriptor),
    get columns() {
      return isatty(descriptor) ? (stream.columns ?? 80) : 0;
    },
    closed: closed.signal,
    write(chunk) {
      if (closed.signal.aborted) return;
      written = new Promise((resolve) => {
        stream.write(chunk, (error) => {
          if (error !== null && error !== undefined) closed.abort();
          resolve();
        });
      });
    },
    drained: () => written,
  };
}

async function ask(question: string): Promise<string | undefined> {
  if (!isatty(0) || !isatty(2)) return undefined;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    // Ctrl-D at the question is no answer.
    return await Promise.race([
      lines.question(question),
      new Promise<string>((resolve) => lines.once("close", () => resolve(""))),
    ]);
  } finally {
    lines.close();
  }
}

async function readStdin(bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > bytesMax)
      throw new CliError(6, `standard input is larger than ${formatSize(bytesMax)}: send it in parts`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
