import { timerMsMax } from "../lib/clock.ts";
import { type Address, Addresses } from "./addresses.ts";
import type { RefusalCode } from "../lib/outcome.ts";
import { ApiError, errorOf, Unreachable } from "./errors.ts";

/** fetch, as every runtime has it; tests and proxies bring their own. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface TransportOptions {
  readonly addrs: readonly string[];
  readonly token?: string | undefined;
  /**
   * Certificates of the authorities that servers are judged by, PEM; undefined: those that the host believes. Bun's fetch takes it; Node's does not:
   * there, give `fetch` an agent that knows it, or start Node with NODE_EXTRA_CA_CERTS. In a browser the browser decides.
   */
  readonly ca?: string | undefined;
  readonly fetch?: Fetch | undefined;
}

export interface Call {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  readonly path: string;
  /** Encoded once, so that a repeat has the same bytes and the same digest. */
  readonly body?: string | Uint8Array<ArrayBuffer> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** "freely": a read, or a write under a key. "unless-sent": only when the node certainly did nothing. */
  readonly repeat: "freely" | "unless-sent";
  /** How long one node may take for its answer (for a stream: for its head). Default 10 s. */
  readonly timeoutMs?: number | undefined;
  /** How long to go on trying. Default 10 s, and 1 s when all addresses refuse the connection. */
  readonly patienceMs?: number | undefined;
  /** Answers of one node that another one may not give: the others are asked before it is thrown. */
  readonly elsewhere?: RefusalCode | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How a node answered last. */
export interface AddressHealth {
  readonly url: string;
  /** It did, or was never asked. */
  readonly isUp: boolean;
  /** Why it is thought to be down. */
  readonly cause: string | undefined;
}

/** What came of one attempt at one address. */
type Attempt<Value> =
  | { readonly kind: "answer"; readonly value: Value }
  | {
      readonly kind: "failed";
      readonly error: unknown;
      readonly next: "repeat" | "give-up" | "elsewhere";
      readonly refused: boolean;
    };

/**
 * Requests against a mesh: any node serves any request, so a node that is down or cannot serve is passed over for the next one.
 * A write is repeated only when nothing was done, or under a key. Carries the index of its last write, so that no later
 * read is older (R1).
 */
export class Transport {
  readonly #addresses: Addresses;
  readonly #token: string | undefined;
  readonly #fetch: Fetch;
  #lastWrite = 0;

  constructor(options: TransportOptions) {
    this.#addresses = new Addresses(options.addrs, () => performance.now());
    this.#token = options.token;
    const tls = options.ca === undefined ? {} : { tls: { ca: options.ca } };
    this.#fetch = options.fetch ?? ((url, init) => fetch(url, { ...init, ...tls }));
  }

  /** What is known of each address, in the order in which they would be asked. */
  get addresses(): readonly AddressHealth[] {
    return this.#addresses.inOrder().map(({ url, failures, cause }) => ({ url, isUp: failures === 0, cause }));
  }

  /** The JSON of the answer, and its status. Throws ApiError, Unreachable, or the signal's reason. */
  async json<Value>(call: Call): Promise<{ readonly status: number; readonly value: Value }> {
    return this.#send(call, "whole", async (response) => {
      const text = await response.text();
      if (call.method !== "GET") this.#lastWrite = Math.max(this.#lastWrite, indexOf(response));
      return { status: response.status, value: JSON.parse(text) as Value };
    });
  }

  /** A response whose body is still to be read; the timeout covers its head only. Errors as {@link json}. */
  stream(call: Call): Promise<Response> {
    return this.#send(call, "head", (response) => Promise.resolve(response));
  }

  async #send<Value>(call: Call, part: "head" | "whole", read: (response: Response) => Promise<Value>): Promise<Value> {
    const start = performance.now();
    /** A node's own answer, for which others are asked. */
    let answer: unknown;
    for (let round = 0; ; round++) {
      let last: unknown;
      let allRefused = true;
      let allElsewhere = true;
      let waitMs = Math.min(1000, 50 * 2 ** round) * (0.5 + Math.random() / 2);
      const tried: Address[] = [];
      for (const address of this.#addresses.inOrder()) {
        tried.push(address);
        const attempt = await this.#attempt(address, call, part, read);
        if (attempt.kind === "answer") return attempt.value;
        last = attempt.error;
        allRefused &&= attempt.refused;
        if (attempt.next === "elsewhere") answer = attempt.error;
        else allElsewhere = false;
        if (attempt.next === "give-up") throw this.#final(attempt.error, tried, !attempt.refused);
        if (attempt.error instanceof ApiError && attempt.error.code === "busy") {
          // A little later each in its own way: those who were turned away together do not come back together.
          waitMs = Math.max(waitMs, (attempt.error.retryAfterMs ?? 0) * (1 + Math.random() / 4));
          if (attempt.error.limit === "jobs" || attempt.error.limit === "submitter") break; // the others say the same
        }
      }
      if (allElsewhere) throw answer as Error;
      const patienceMs = call.patienceMs ?? (allRefused ? 1000 : 10_000);
      if (performance.now() - start + waitMs > patienceMs) throw this.#final(answer ?? last, tried, false);
      await sleep(waitMs, call.signal);
    }
  }

  async #attempt<Value>(
    address: Address,
    call: Call,
    part: "head" | "whole",
    read: (response: Response) => Promise<Value>,
  ): Promise<Attempt<Value>> {
    call.signal?.throwIfAborted();
    const timeoutMs = Math.min(call.timeoutMs ?? 10_000, timerMsMax);
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(new Error(`no answer in ${timeoutMs / 1000} s`)), timeoutMs);
    const onAbort = (): void => abort.abort(call.signal?.reason);
    call.signal?.addEventListener("abort", onAbort, { once: true });
    let error: unknown;
    try {
      const response = await this.#fetch(address.url + call.path, {
        method: call.method,
        headers: this.#headers(call),
        signal: abort.signal,
        ...(call.body === undefined ? {} : { body: call.body }),
      });
      if (response.ok) {
        const value = await read(response);
        this.#addresses.worked(address);
        return { kind: "answer", value };
      }
      error = await errorOf(response);
    } catch (thrown) {
      if (call.signal?.aborted === true) throw call.signal.reason;
      error = abort.signal.aborted ? abort.signal.reason : thrown;
    } finally {
      clearTimeout(timer);
      // The body of a stream stays bound to the caller's signal.
      if (part === "whole" || error !== undefined) call.signal?.removeEventListener("abort", onAbort);
    }
    if (error instanceof ApiError) {
      if (error.code === call.elsewhere) return { kind: "failed", error, next: "elsewhere", refused: false };
      // Any other answer is the mesh's own: the next node would say the same.
      if (!["unavailable", "busy", "no-room"].includes(error.code)) {
        this.#addresses.worked(address);
        throw error;
      }
      if (error.code === "unavailable") this.#addresses.failed(address, error.message);
      const next = call.repeat === "freely" || error.safeToRepeat ? "repeat" : "give-up";
      return { kind: "failed", error, next, refused: false };
    }
    this.#addresses.failed(address, causeOf(error, address.url));
    const refused = neverSent(error);
    return { kind: "failed", error, next: call.repeat === "freely" || refused ? "repeat" : "give-up", refused };
  }

  #final(error: unknown, tried: readonly Address[], mayHaveHappened: boolean): Error {
    if (error instanceof ApiError) return error;
    const causes = tried.map((one) => ({ address: one.url, cause: one.cause ?? "not tried" }));
    return new Unreachable(causes, mayHaveHappened);
  }

  #headers(call: Call): Record<string, string> {
    const headers: Record<string, string> = { ...call.headers };
    if (this.#token !== undefined) headers["authorization"] = `Bearer ${this.#token}`;
    if (call.body !== undefined) headers["content-type"] ??= "application/json";
    if (this.#lastWrite > 0) headers["skein-min-index"] = String(this.#lastWrite);
    return headers;
  }
}

/** Resolves after `ms`; rejects with the signal's reason. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

function indexOf(response: Response): number {
  const value = Number(response.headers.get("skein-index") ?? "0");
  return Number.isSafeInteger(value) ? value : 0;
}

/** The certificate is of nobody that this client believes. */
const unknownAuthority = [
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
];

/** Codes of errors that come before the first byte was sent, in Bun and in Node. A browser does not tell: unknown there. */
const unsentCodes = new Set([
  "ConnectionRefused",
  "FailedToOpenSocket",
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
  // TLS came to nothing, so no request was sent.
  "EPROTO",
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  ...unknownAuthority,
]);

function codeOf(error: unknown): string {
  const { code, cause } = (error ?? {}) as { code?: string | number; cause?: { code?: string | number } };
  return String(code ?? cause?.code ?? "");
}

function neverSent(error: unknown): boolean {
  return unsentCodes.has(codeOf(error));
}

function causeOf(error: unknown, url: string): string {
  const code = codeOf(error);
  if (code === "ECONNRESET" && url.startsWith("http://"))
    return "the connection was closed: if the API is served over TLS there, write https://";
  if (code === "ConnectionRefused" || code === "ECONNREFUSED") return "connection refused";
  if (unknownAuthority.includes(code))
    return "its certificate is of an authority that is not known here: give the cluster's with --ca FILE or SKEIN_CA (on a member, `skein cluster ca` prints it)";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return "its certificate does not name this address: use one that it names, or start the node with --advertise for this one";
  if (code === "CERT_HAS_EXPIRED") return "its certificate has expired, or this host's clock is wrong";
  if (code === "CERT_NOT_YET_VALID") return "its certificate is not valid yet: this host's clock may be wrong";
  if (code === "EPROTO" || code === "ERR_SSL_WRONG_VERSION_NUMBER") return "it does not speak TLS there: write http://";
  if (code === "ENOTFOUND" || code === "FailedToOpenSocket") return "the address cannot be reached";
  return error instanceof Error ? error.message : String(error);
}
