import { Fault } from "../lib/fault.ts";
import { unresolvedWords } from "../lib/unresolved.ts";
import type { NodeApi } from "../node/api.ts";
import { createApp } from "./app.ts";
import type { DistributeSettings } from "./route.ts";
import { forOrigins, type Serve } from "./cors.ts";

export interface ServeOptions {
  readonly node: NodeApi;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly hasOwnCertificate?: boolean;
  /** What TLS shows, PEM, as it is now; undefined: served in the clear. */
  readonly tls?: (() => { readonly key: string; readonly cert: string }) | undefined;
  /** Of pages that browsers may let read answers: `https://host`, or "*" (cors.ts). */
  readonly origins?: readonly string[];
  readonly backupStallMs?: number;
  /** Distribute's API is answered, too. */
  readonly distribute?: DistributeSettings | undefined;
  /** Told of errors that no route expects. */
  readonly onBug?: (error: unknown) => void;
}

export interface HttpServer {
  /** http://HOST:PORT or https://HOST:PORT, as it was really bound. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Shows what `tls` says now to whoever connects from now on; requests and streams that are under way go on. */
  renewed(): void;
  /** Takes no more requests, ends waits and streams, lets requests under way finish (at most 5 s), and closes all connections. */
  stop(): Promise<void>;
}

/** Between two requests of a connection, or two pieces of a request. Waits and streams are exempt. */
const idleSeconds = 120;
const finishMs = 5000;

/** Serves the HTTP API on one address. Throws Fault "port" when it cannot be bound. */
export function serveHttp(options: ServeOptions): HttpServer {
  const closing = new AbortController();
  const app = createApp(options.node, {
    closing: closing.signal,
    hasOwnCertificate: options.hasOwnCertificate === true,
    distribute: options.distribute,
    ...(options.backupStallMs === undefined ? {} : { backupStallMs: options.backupStallMs }),
    ...(options.onBug === undefined ? {} : { onBug: options.onBug }),
  });
  const fetch = forOrigins<Bun.Server<undefined>>(options.origins ?? [], (request, server) =>
    app.fetch(request, { server }),
  );
  let server = listen(options, fetch);
  /** Listeners of before, which still serve what was under way. */
  const former = new Set<Bun.Server<undefined>>();
  const port = server.port ?? options.port;
  return {
    url: `${options.tls === undefined ? "http" : "https"}://${options.host.includes(":") ? `[${options.host}]` : options.host}:${port}`,
    host: options.host,
    port,
    renewed() {
      if (options.tls === undefined || closing.signal.aborted) return;
      const before = server;
      former.add(before);
      // The runtime knows no other way: the listener is replaced within this turn.
      void before.stop(false).then(() => former.delete(before));
      server = listen({ ...options, port }, fetch);
    },
    async stop() {
      closing.abort();
      const finished = Promise.all([server, ...former].map((one) => one.stop(false)));
      let timer: ReturnType<typeof setTimeout> | undefined;
      await Promise.race([finished, new Promise((resolve) => (timer = setTimeout(resolve, finishMs)))]);
      clearTimeout(timer);
      await Promise.all([server, ...former].map((one) => one.stop(true)));
    },
  };
}

function listen({ host, port, tls }: ServeOptions, fetch: Serve<Bun.Server<undefined>>): Bun.Server<undefined> {
  try {
    return Bun.serve({
      ...(tls === undefined ? {} : { tls: tls() }),
      hostname: host,
      port,
      idleTimeout: idleSeconds,
      // Bodies are bounded by http/body.ts, which answers 413 in our own words before reading them.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      fetch,
    });
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    const address = `${host}:${port}`;
    const unresolved = unresolvedWords(error, host);
    const why =
      code === "EADDRINUSE"
        ? "it is in use: stop the program that has it, or choose another with --api HOST:PORT"
        : code === "EACCES"
          ? "it needs more rights than this user has: choose a port above 1023 with --api HOST:PORT"
          : code === "EADDRNOTAVAIL"
            ? "this host has no such address: choose one that it has with --api HOST:PORT"
            : unresolved !== undefined
              ? `${unresolved}: is it spelled right? Choose an address of this host with --api HOST:PORT`
              : `${error instanceof Error ? error.message : String(error)}: choose another with --api HOST:PORT`;
    throw new Fault("port", `cannot serve the API on ${address}: ${why}`, "never", error);
  }
}
