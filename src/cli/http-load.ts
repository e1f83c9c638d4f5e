import type { Socket } from "bun";
import { Histogram } from "./histogram.ts";

/**
 * HTTP load: many keep-alive connections, each with one request under way, all the same bytes. Hand-written because fetch
 * queues past 256 requests and costs twice the processor time, which on one host is taken from the mesh that is measured.
 */

export interface LoadOptions {
  /** Origins; connections are dealt out over them in turn. */
  readonly origins: readonly string[];
  /** What https origins are judged by, PEM. */
  readonly ca?: string | undefined;
  readonly connections: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Not counted. */
  readonly warmupMs: number;
  readonly measuredMs: number;
  readonly signal: AbortSignal;
}

export interface LoadResult {
  readonly seconds: number;
  /** Answers by status, of the measured time. */
  readonly statuses: ReadonlyMap<number, number>;
  /** Connections that failed or broke, by cause. */
  readonly broken: ReadonlyMap<string, number>;
  /** Of the answers 2xx. */
  readonly latencies: Histogram;
}

/** After a failed connection, before the next one to that address. */
const reconnectMs = 200;

/** Makes load for the time given. Rejects with the signal's reason. */
export async function makeLoad(options: LoadOptions): Promise<LoadResult> {
  const start = performance.now();
  const from = start + options.warmupMs;
  const until = from + options.measuredMs;
  const tally: Tally = { from, until, statuses: new Map(), broken: new Map(), latencies: new Histogram() };
  const connections = Array.from(
    { length: options.connections },
    (_, at) => new Connection(options.origins[at % options.origins.length]!, options, tally),
  );
  const stop = (): void => connections.forEach((connection) => connection.stop());
  options.signal.addEventListener("abort", stop, { once: true });
  try {
    for (const connection of connections) connection.open();
    await Bun.sleep(until - performance.now());
    options.signal.throwIfAborted();
  } finally {
    options.signal.removeEventListener("abort", stop);
    stop();
  }
  const { statuses, broken, latencies } = tally;
  return { seconds: options.measuredMs / 1000, statuses, broken, latencies };
}

interface Tally {
  readonly from: number;
  readonly until: number;
  readonly statuses: Map<number, number>;
  readonly broken: Map<string, number>;
  readonly latencies: Histogram;
}

class Connection {
  readonly #url: URL;
  readonly #request: Buffer;
  readonly #ca: string | undefined;
  readonly #tally: Tally;
  readonly #reader = new AnswerReader();
  #socket: Socket | undefined;
  #unsent = 0;
  #sentAt = 0;
  #stopped = false;

  constructor(origin: string, options: LoadOptions, tally: Tally) {
    this.#url = new URL(origin);
    this.#tally = tally;
    this.#ca = options.ca;
    this.#request = requestBytes(this.#url, options);
  }

  open(): void {
    if (this.#stopped) return;
    const { hostname, port, protocol } = this.#url;
    const secure = protocol === "https:";
    Bun.connect({
      hostname: hostname.replace(/^\[|\]$/g, ""),
      port: port === "" ? (secure ? 443 : 80) : Number(port),
      tls: secure ? { ca: this.#ca, serverName: hostname } : false,
      socket: {
        open: (socket) => {
          this.#socket = socket;
          this.#reader.reset();
          this.#send();
        },
        data: (_socket, bytes) => this.#receive(bytes),
        drain: () => this.#flush(),
        close: () => this.#lost("closed by the node"),
        error: (_socket, error) => this.#lost(error.message),
      },
    }).catch((error: unknown) => this.#lost(error instanceof Error ? error.message : String(error)));
  }

  stop(): void {
    this.#stopped = true;
    this.#socket?.end();
  }

  #send(): void {
    this.#sentAt = performance.now();
    this.#unsent = 0;
    this.#flush();
  }

  #flush(): void {
    if (this.#socket === undefined || this.#unsent >= this.#request.length) return;
    this.#unsent += Math.max(0, this.#socket.write(this.#request, this.#unsent));
  }

  #receive(bytes: Uint8Array): void {
    const status = this.#reader.feed(bytes);
    if (status === undefined) return;
    const now = performance.now();
    const { from, until, statuses, latencies } = this.#tally;
    if (now >= from && now < until) {
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      if (status < 300) latencies.add(now - this.#sentAt);
    }
    if (!this.#stopped) this.#send();
  }

  #lost(cause: string): void {
    if (this.#stopped) return;
    this.#socket = undefined;
    this.#tally.broken.set(cause, (this.#tally.broken.get(cause) ?? 0) + 1);
    setTimeout(() => this.open(), reconnectMs);
  }
}

function requestBytes(url: URL, options: LoadOptions): Buffer {
  const body = Buffer.from(options.body);
  const headers = { host: url.host, "content-type": "application/json", ...options.headers };
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([
    Buffer.from(`POST ${options.path} HTTP/1.1\r\n${head.join("")}content-length: ${body.length}\r\n\r\n`),
    body,
  ]);
}

/** Reads one answer after another off a connection: status and length are all it looks at. */
export class AnswerReader {
  #head = "";
  #status = 0;
  /** Bytes of the body still to come; undefined while in the head, "chunked" until the last chunk. */
  #left: number | "chunked" | undefined;

  reset(): void {
    this.#head = "";
    this.#left = undefined;
  }

  /** The status of the answer that these bytes complete, or undefined when more is to come. */
  feed(bytes: Uint8Array): number | undefined {
    if (this.#left === undefined) {
      this.#head += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
      const end = this.#head.indexOf("\r\n\r\n");
      if (end === -1) return undefined;
      this.#status = Number(this.#head.slice(9, 12));
      const head = this.#head.slice(0, end);
      const length = /\r\ncontent-length: *(\d+)/i.exec(head);
      const after = this.#head.slice(end + 4);
      this.#head = after;
      if (length === null && /\r\ntransfer-encoding: *chunked/i.test(head)) this.#left = "chunked";
      else this.#left = Number(length?.[1] ?? 0) - after.length;
    } else if (this.#left === "chunked") {
      this.#head += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
    } else {
      this.#left -= bytes.length;
    }
    const complete = this.#left === "chunked" ? /(^|\r\n)0\r\n\r\n$/.test(this.#head) : this.#left <= 0;
    if (!complete) return undefined;
    this.reset();
    return this.#status;
  }
}
